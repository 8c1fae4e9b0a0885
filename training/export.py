"""Weights on disk -> the ONNX file of the package: matrix products and a recurrence, weights in float16.

python -m training.export WEIGHTS OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.labels import CLOSURE, OUTPUTS
from training.model import (
    CONVOLVED,
    HIDDEN,
    INPUTS,
    OPEN_BELOW,
    RESTING,
    SHARPENING,
    SHUT,
    STATE,
    TAPS,
    FaceNet,
)
from visavis.arkit import COUNT, INDEX, NAMES
from visavis.faces.net import GAINS
from visavis.faces.viseme_table import CHANNELS
from visavis.stages.onnx import session

HALVED = 1000
"""Numbers from which weights are kept as float16; they are float32 again once the model is loaded."""
LARGER = {
    "jaw": 1.3, "lower": 1.4, "upper": 1.4, "smile": 1.3, "stretch": 1.3, "roll_lower": 1.8,
    "roll_upper": 1.7, "press": 1.7, "tongue": 1.0, "funnel": 1.5, "pucker": 1.7,
}  # fmt: skip
"""What gives the outputs the sizes measured on a real face, in the speech that `evaluate` scores. The file
has what the engine's own `GAINS` leave of it."""
OPSET, IR = 17, 9

_SIZES = np.array([LARGER[name] / GAINS[name] for name in CHANNELS], np.float32)
_JAW = [*CHANNELS].index("jaw")


class _Graph:
    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any, kind: Any = np.float32) -> str:
        if kind is np.float32 and np.size(values) >= HALVED:
            return self(
                "Cast", [self.constant(f"{name}_half", values, np.float16)], name, to=TensorProto.FLOAT
            )
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=kind), name))
        return name

    def __call__(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def part(self, source: str, start: int, stop: int, axis: int, name: str) -> str:
        bounds = [
            self.constant(f"{name}_{key}", [value], np.int64)
            for key, value in (("start", start), ("stop", stop), ("axis", axis))
        ]
        return self("Slice", [source, *bounds], name)

    def linear(self, source: str, layer: str, name: str) -> str:
        weight = self.constant(f"{name}_weight", self.weights[f"{layer}.weight"].T)
        bias = self.weights[f"{layer}.bias"] + (RESTING if layer == "out" else 0.0)
        product = self("MatMul", [source, weight], f"{name}_product")
        return self("Add", [product, self.constant(f"{name}_bias", bias)], name)

    def convolution(self, source: str, layer: str, name: str) -> str:
        """One matrix product of every frame with the `TAPS` - 1 before it."""
        end = np.iinfo(np.int64).max
        taps = [
            self.part(source, tap, tap + 1 - TAPS if tap < TAPS - 1 else end, 1, f"{name}_tap{tap}")
            for tap in range(TAPS)
        ]
        return self(
            "Relu", [self.linear(self("Concat", taps, f"{name}_taps", axis=2), layer, f"{name}_sum")], name
        )


def build(weights: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """mel [lanes, frames, 160], state [lanes, STATE] -> blendshapes [lanes, frames, 52], new state."""
    graph = _Graph(weights)
    _body(graph)
    _face(graph)
    shapes = {
        "mel": ["lanes", "frames", INPUTS],
        "state": ["lanes", STATE],
        "blendshapes": ["lanes", "frames", COUNT],
        "state_out": ["lanes", STATE],
    }
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    }
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "face", [values["mel"], values["state"]],
            [values["blendshapes"], values["state_out"]], graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )  # fmt: skip
    helper.set_model_props(model, {"arkit": ",".join(NAMES)})
    onnx.checker.check_model(model, full_check=True)
    return model


def _body(g: _Graph) -> None:
    w = g.weights
    first, second = (TAPS - 1) * INPUTS, (TAPS - 1) * CONVOLVED
    split = g.constant("sizes", [first, second, HIDDEN], np.int64)
    g.nodes.append(helper.make_node("Split", ["state", split], ["first", "second", "hidden"], axis=1))
    g("Reshape", ["first", g.constant("first_shape", [0, TAPS - 1, INPUTS], np.int64)], "first_frames")
    g("Reshape", ["second", g.constant("second_shape", [0, TAPS - 1, CONVOLVED], np.int64)], "second_frames")
    g(
        "Mul",
        [g("Sub", ["mel", g.constant("mean", w["mean"])], "centred"), g.constant("scale", w["scale"])],
        "norm",
    )
    g("Concat", ["first_frames", "norm"], "heard", axis=1)
    g.convolution("heard", "near", "near")
    g("Concat", ["second_frames", "near"], "seen", axis=1)
    g("Add", ["near", g.convolution("seen", "wide", "wide")], "context")
    g("Transpose", ["context"], "context_by_time", perm=[1, 0, 2])
    g("Unsqueeze", ["hidden", g.constant("zero", [0], np.int64)], "hidden_before")
    matrices = [
        g.constant("input_weights", _gates(w["memory.weight_ih_l0"])[None]),
        g.constant("hidden_weights", _gates(w["memory.weight_hh_l0"])[None]),
        g.constant(
            "biases", np.concatenate([_gates(w[f"memory.bias_{key}_l0"]) for key in ("ih", "hh")])[None]
        ),
    ]
    g.nodes.append(
        helper.make_node(
            "GRU", ["context_by_time", *matrices, "", "hidden_before"], ["memories", "hidden_after"],
            hidden_size=HIDDEN, linear_before_reset=1,
        )
    )  # fmt: skip
    one = g.constant("one", [1], np.int64)
    g("Transpose", [g("Squeeze", ["memories", one], "memories_by_time")], "remembered", perm=[1, 0, 2])
    g("Concat", ["remembered", "context"], "known", axis=2)
    g("Sigmoid", [g.linear("known", "out", "logits")], "values")
    end = np.iinfo(np.int64).max
    flat = g.constant("flat", [0, -1], np.int64)
    ends = [
        g("Reshape", [g.part("heard", 1 - TAPS, end, 1, "heard_end"), flat], "heard_flat"),
        g("Reshape", [g.part("seen", 1 - TAPS, end, 1, "seen_end"), flat], "seen_flat"),
        g("Squeeze", ["hidden_after", "zero"], "hidden_flat"),
    ]
    g("Concat", ends, "state_out", axis=1)


def _face(g: _Graph) -> None:
    """Channels and closure -> blendshapes: what `FaceNet.face` does, with the closure sharpened, in the sizes
    that the engine's gains expect."""
    names = [*CHANNELS]
    spread = np.zeros((CLOSURE, COUNT), np.float32)
    for row, shapes in enumerate(CHANNELS.values()):
        spread[row, [INDEX[shape] for shape in shapes]] = _SIZES[row]
    close = np.zeros((1, COUNT), np.float32)
    close[0, INDEX["mouthClose"]] = _SIZES[_JAW]
    shut = np.array([[0.0 if name == "jaw" else SHUT.get(name, 0.0) for name in names]], np.float32)
    channels = g.part("values", 0, CLOSURE, 2, "channels")
    less = g(
        "Sub", [g.part("values", CLOSURE, OUTPUTS, 2, "closure"), g.constant("threshold", OPEN_BELOW)], "less"
    )
    steep = g("Mul", [less, g.constant("sharpening", SHARPENING)], "steep")
    closed = g("Clip", [steep, g.constant("open", 0.0), g.constant("shut_limit", 1.0)], "closed")
    taken = g("MatMul", [closed, g.constant("shut", shut)], "taken")
    kept = g("Sub", [g.constant("whole", 1.0), taken], "kept")
    seen = g("Mul", [channels, kept], "seen_channels")
    shapes = g("MatMul", [seen, g.constant("spread", spread)], "shapes")
    jaw = g.part("seen_channels", 0, 1, 2, "jaw")
    lips = g("MatMul", [g("Mul", [jaw, closed], "pressed"), g.constant("close", close)], "lips")
    g("Add", [shapes, lips], "blendshapes")


def _gates(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch's order of gates (reset, update, new) in that of ONNX (update, reset, hidden)."""
    reset, update, new = np.split(values, 3)
    return np.concatenate([update, reset, new])


def main(weights: Path, out: Path) -> None:
    loaded = torch.load(weights, weights_only=True)
    model = build({name: value.numpy() for name, value in loaded.items()}).SerializeToString()
    net = FaceNet(loaded["mean"], 1 / loaded["scale"], 0.0).eval()
    net.load_state_dict(loaded)
    print(f"{out}: {len(model) / 1000:.0f} kB, differs by {difference(net, model):.1e} from its source")
    out.write_bytes(model)


def difference(net: FaceNet, model: bytes) -> float:
    """The largest difference between the net and its file, heard in pieces of different lengths."""
    graph, random = session(model), np.random.default_rng(0)
    mel = random.normal(-6, 3, (2, 60, INPUTS)).astype(np.float32)
    state = np.zeros((2, STATE), np.float32)
    parts = []
    for piece in np.split(mel, [1, 2, 5, 11, 40], axis=1):
        part, state = graph.run(None, {"mel": piece, "state": state})
        parts.append(part)
    with torch.no_grad():
        logits, _ = net(torch.from_numpy(mel), torch.zeros(2, STATE))
        wanted = net.face(logits, sharp=True).numpy() * np.append(_SIZES, _SIZES[_JAW])
    shown = [INDEX[shapes[0]] for shapes in CHANNELS.values()] + [INDEX["mouthClose"]]
    return float(np.abs(np.concatenate(parts, 1)[..., shown] - wanted).max())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
