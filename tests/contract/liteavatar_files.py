"""A LiteAvatar avatar made on the spot: the published files' names and shapes, with answers that are known.

The recogniser's encoder is not among them: tests put a function in its place, or a checkpoint of PyTorch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import simplejpeg
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from visavis.video import Picture

WIDTH, HEIGHT, FPS = 160, 120, 25
BOX = (30, 80, 50, 110)
"""Top, bottom, left, right of the face in the video."""
REST = np.linspace(-0.2, 0.2, 32, dtype=np.float32)
PARAFORMER = "speech_paraformer-large_asr_nat-zh-cn-16k-common-vocab8404-pytorch"


def shade(number: int) -> int:
    """How bright a frame of the video is."""
    return 40 + 20 * number


def avatar(folder: Path, frames: int = 5, references: int = 6) -> Path:
    """The folder of an avatar, without its two networks."""
    (folder / "ref_frames").mkdir(parents=True)
    np.save(folder / "neutral_pose.npy", REST)
    (folder / "face_box.txt").write_text(" ".join(map(str, BOX)) + "\n")
    for number in range(references):
        write_jpeg(folder / "ref_frames" / f"ref_{number:05d}.jpg", shade(number))
    write_video(folder / "bg_video.mp4", frames)
    return folder


def write_jpeg(file: Path, bright: int) -> None:
    file.write_bytes(simplejpeg.encode_jpeg(np.full((48, 48, 3), bright, np.uint8), quality=95))


def write_video(file: Path, frames: int, width: int = WIDTH, height: int = HEIGHT) -> None:
    container: Any
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(frames):
            picture = np.full((height, width, 3), shade(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def weights(folder: Path, parameters: int = 32) -> Path:
    """The folder of the networks that all avatars share, without the recogniser's checkpoint."""
    (folder / PARAFORMER).mkdir(parents=True)
    numbers = " ".join(["-8.0"] * 560), " ".join(["0.1"] * 560)
    (folder / PARAFORMER / "am.mvn").write_text(
        "<Nnet> \n<Splice> 560 560\n[ 0 ]\n"
        f"<AddShift> 560 560 \n<LearnRateCoef> 0 [ {numbers[0]} ]\n"
        f"<Rescale> 560 560\n<LearnRateCoef> 0 [ {numbers[1]} ]\n</Nnet> \n"
    )
    onnx.save(model(parameters), folder / "model_1.onnx")
    return folder


def model(parameters: int = 32, width: int = 512) -> onnx.ModelProto:
    """The interface of model_1.onnx: each parameter is the mean of all features."""
    spread = np.full((width, parameters), 1 / width, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["input_au"], ["feat"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["feat", "spread"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "w"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input_au", TensorProto.FLOAT, [1, 30, 50, width]),
        helper.make_tensor_value_info("input_ph", TensorProto.FLOAT, [1, 30, 2]),
        helper.make_tensor_value_info("input_sp", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 30, parameters]),
        helper.make_tensor_value_info("feat", TensorProto.FLOAT, [1, 30, width]),
    ]
    graph = helper.make_graph(
        nodes, "liteavatar", inputs, outputs, [numpy_helper.from_array(spread, "spread")]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


def hear(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """In the place of the encoder: how loud it is, everywhere: float32[n, 560] -> float32[n, 50, 512]."""
    return np.broadcast_to(features.mean(axis=1)[:, None, None], (len(features), 50, 512))


class Flat:
    """In the place of an avatar's networks: a face as bright as its reference, a mouth as its parameters."""

    def __init__(self) -> None:
        self.painted = 0

    def see(self, picture: Picture) -> float:
        assert picture.shape == (384, 384, 3) and picture.dtype == np.uint8
        return float(picture.mean())

    def paint(self, seen: float, parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        assert parameters.shape == (32,)
        self.painted += 1
        face = np.full((64, 64, 3), seen / 127.5 - 1, np.float32)
        face[32:, :, 0] = np.clip(parameters.mean(), -1, 1)
        return face
