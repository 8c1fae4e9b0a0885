"""The ONNX file of an earlier net -> weights to go on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from training.model import CONVOLVED, HIDDEN, RESTING, FaceNet


def resume(file: Path, dropout: float) -> FaceNet:
    """The net of `file`. When its memory is smaller, the rest of it is new and without effect at first."""
    found = {i.name.removesuffix("_half"): i for i in onnx.load(file).graph.initializer}

    def weights(name: str) -> NDArray[np.float32]:
        return numpy_helper.to_array(found[name]).astype(np.float32)

    net = FaceNet(torch.from_numpy(weights("mean")), 1 / torch.from_numpy(weights("scale")), dropout)
    state = {name: values.numpy() for name, values in net.state_dict().items()}
    for layer in ("near", "wide"):
        state[f"{layer}.weight"][:] = weights(f"{layer}_sum_weight").T
        state[f"{layer}.bias"][:] = weights(f"{layer}_sum_bias")
    out = weights("logits_weight").T
    known = out.shape[1] - CONVOLVED
    state["out.weight"][:] = 0
    state["out.weight"][:, :known], state["out.weight"][:, HIDDEN:] = out[:, :known], out[:, known:]
    state["out.bias"][:] = weights("logits_bias") - RESTING
    state["memory.weight_hh_l0"].reshape(3, HIDDEN, HIDDEN)[:, :known, known:] = 0
    for kind, columns in (("ih", CONVOLVED), ("hh", known)):
        source = {"ih": "input", "hh": "hidden"}[kind]
        matrix = state[f"memory.weight_{kind}_l0"].reshape(3, HIDDEN, -1)
        matrix[:, :known, :columns] = _gates(weights(f"{source}_weights")[0])
    ih, hh = np.split(weights("biases")[0], 2)
    state["memory.bias_ih_l0"].reshape(3, HIDDEN)[:, :known] = _gates(ih)
    state["memory.bias_hh_l0"].reshape(3, HIDDEN)[:, :known] = _gates(hh)
    return net


def _gates(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """ONNX's order of gates (update, reset, hidden) in that of PyTorch (reset, update, new)."""
    update, reset, new = np.split(values, 3)
    return np.stack([reset, update, new])
