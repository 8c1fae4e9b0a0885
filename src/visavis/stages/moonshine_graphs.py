"""Moonshine's two .ort files as three plain ONNX graphs that stock onnxruntime runs five times faster.

The decoder file holds both of its forms (first token, next token) in one `If` node, and un-packs its int8
weights on every call in front of it. As plain graphs the weights are un-packed once, when they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import helper

VERSION = "1"
"""Raise it when the graphs change: it names the folder that they are kept in."""
ENCODER, ATTEND, STEP = "encoder.onnx", "attend.onnx", "step.onnx"


def convert(source: Path, target: Path) -> None:
    """Write `ENCODER`, `ATTEND` and `STEP` into `target` from the .ort files in `source`.

    `ENCODER`: input_values float32[1, samples] -> what was heard, float32[1, m, 416].
    `ATTEND`: encoder_hidden_states -> present.*.encoder.*, which each layer of the decoder attends to.
    `STEP`: input_ids int64[1, 1], past_key_values.* float32[1, 8, n, 52] -> logits, present.*.decoder.*;
    it makes the first token too, with n = 0, so the other branch's copy of the weights is not needed.
    """
    encoder = _plain(source / "encoder_model.ort", target)
    encoder.graph.name = "encoder"
    onnx.save(encoder, target / ENCODER)
    decoder = _plain(source / "decoder_model_merged.ort", target)
    branches = next(node for node in decoder.graph.node if node.op_type == "If").attribute
    first, following = (
        next(branch.g for branch in branches if branch.name == name)
        for name in ("else_branch", "then_branch")
    )
    for node in first.node:
        if node.name.endswith("encoder_attn/Shape"):
            # Only the batch size is read from it: taken from here, the layer's own input is not needed.
            node.input[0] = "encoder_hidden_states"
    outputs = [output.name for output in decoder.graph.output]
    attended = [name for name in outputs if ".encoder." in name]
    onnx.save(_graph(decoder, first, outputs, attended), target / ATTEND)
    onnx.save(_graph(decoder, following, outputs, [n for n in outputs if n not in attended]), target / STEP)


def _plain(file: Path, scratch: Path) -> Any:
    """The model of an .ort file."""
    plain = scratch / f"{file.stem}.tmp"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(plain)
    options.add_session_config_entry("session.save_model_format", "ONNX")
    ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.load(plain)
    plain.unlink()
    return model


def _graph(model: Any, branch: Any, outputs: Sequence[str], wanted: Iterable[str]) -> Any:
    """One branch of the model's `If` as a model of its own that computes only the `wanted` outputs."""
    outer = [node for node in model.graph.node if node.op_type != "If"]
    renamed = {
        name: inner.name for name, inner in zip(outputs, branch.output, strict=True) if name in set(wanted)
    }
    ends = [helper.make_node("Identity", [inner], [f"{name}.out"]) for name, inner in renamed.items()]
    nodes = _needed([*outer, *branch.node, *ends])
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        branch.name,
        [value for value in model.graph.input if value.name in used],
        [helper.make_empty_tensor_value_info(f"{name}.out") for name in renamed],
        [tensor for tensor in [*branch.initializer, *model.graph.initializer] if tensor.name in used],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _needed(nodes: list[Any]) -> list[Any]:
    """The nodes, in their order, that something after them uses; the last nodes name outputs "*.out"."""
    used: set[str] = set()
    kept: list[Any] = []
    for node in reversed(nodes):
        if any(name in used or name.endswith(".out") for name in node.output):
            used.update(node.input)
            kept.append(node)
    return kept[::-1]
