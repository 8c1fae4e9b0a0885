"""Small ONNX graphs with the interface of `wav2arkit_cpu.onnx`, made on the spot, and ways to break them.

The graph is one whose right answer is known: each frame's weights follow the loudness of the frame and of the
two on either side. So a frame at the wrong time, or one that did not hear what follows it, shows.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from visavis.arkit import COUNT, INDEX, Weights

NAME = "wav2arkit_cpu.onnx"
SPREAD = np.array([0.1, 0.25, 0.3, 0.25, 0.1], np.float32)
"""How much of each neighbour's loudness a frame hears: two before, itself, two after."""


def gains(shapes: int = COUNT) -> NDArray[np.float32]:
    """What each blendshape makes of loudness: float32[1, shapes], the jaw most."""
    made = np.linspace(0.5, 1.5, shapes, dtype=np.float32)[None]
    made[0, INDEX["jawOpen"]] = 3.0
    return made


def expected(samples: NDArray[np.float32]) -> Weights:
    """What the graph answers when it hears all of `samples` (16 kHz) at once, computed another way."""
    frames = -(-len(samples) * 30 // 16_000)
    edges = np.minimum(np.arange(frames + 1) * 16_000 // 30, len(samples))
    energy = np.array([np.sum(samples[a:b].astype(np.float64) ** 2) for a, b in pairwise(edges)])
    loud = np.sqrt(energy / 533)
    spread = np.convolve(loud, SPREAD.astype(np.float64), "full")[2 : 2 + frames]
    weights: Weights = np.clip(spread[:, None] * gains(), 0, 1).astype(np.float32)
    return weights


def model(
    shapes: int = COUNT,
    round_up: int = 15_999,
    kind: int = TensorProto.FLOAT,
    scale: float = 1.0,
    samples: int | str = "samples",
) -> onnx.ModelProto:
    """The graph; the arguments are what can be wrong with it."""
    constants: dict[str, Any] = {
        "zero": np.array([[0.0]], np.float32),
        "one_axis": np.array(1, np.int64),
        "thirty": np.array(30, np.int64),
        "rate": np.array(16_000, np.int64),
        "round_up": np.array(round_up, np.int64),
        "start": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "minus_one": np.array([-1], np.int64),
        "far": np.array([2**31], np.int64),
        "per_frame": np.array(533, np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(1, np.float32),
        "spread": SPREAD[None, None],
        "gains": gains(shapes),
        "scale": np.array(scale, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["audio_waveform"], ["sound"], to=TensorProto.FLOAT),
        node("Mul", ["sound", "sound"], ["power"]),
        node("CumSum", ["power", "one_axis"], ["sum"]),
        node("Concat", ["zero", "sum"], ["sums"], axis=1),
        node("Shape", ["sound"], ["shape"]),
        node("Gather", ["shape", "one"], ["samples"]),
        node("Mul", ["samples", "thirty"], ["up"]),
        node("Add", ["up", "round_up"], ["rounded"]),
        node("Div", ["rounded", "rate"], ["frames"]),
        node("Add", ["frames", "one"], ["ends"]),
        node("Range", ["start", "ends", "one"], ["numbers"]),
        node("Mul", ["numbers", "rate"], ["times"]),
        node("Div", ["times", "thirty"], ["positions"]),
        node("Min", ["positions", "samples"], ["edges"]),
        node("Gather", ["sums", "edges"], ["at_edges"], axis=1),
        node("Slice", ["at_edges", "first", "minus_one", "second"], ["before"]),
        node("Slice", ["at_edges", "second", "far", "second"], ["after"]),
        node("Sub", ["after", "before"], ["energies"]),
        node("Div", ["energies", "per_frame"], ["means"]),
        node("Max", ["means", "low"], ["positive"]),
        node("Sqrt", ["positive"], ["loud"]),
        node("Unsqueeze", ["loud", "second"], ["channel"]),
        node("Conv", ["channel", "spread"], ["spread_out"], pads=[2, 2]),
        node("Transpose", ["spread_out"], ["column"], perm=[0, 2, 1]),
        node("MatMul", ["column", "gains"], ["all"]),
        node("Clip", ["all", "low", "high"], ["clipped"]),
        node("Mul", ["clipped", "scale"], ["blendshapes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loudness",
        [helper.make_tensor_value_info("audio_waveform", kind, ["batch", samples])],
        [helper.make_tensor_value_info("blendshapes", TensorProto.FLOAT, ["batch", "frames", shapes])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def save(made: onnx.ModelProto, folder: Path) -> Path:
    """Write the graph with its large weights (`gains`) beside it, as the published one is."""
    file = folder / NAME
    onnx.save(made, file, save_as_external_data=True, location=f"{NAME}.data", size_threshold=100)
    return file
