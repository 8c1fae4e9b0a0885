"""The graph of a Piper voice, changed before it is run: its durations come out, its noise is a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

NOISE = 1 << 18
"""Numbers in the table of noise, 1 MB: the voice's breath repeats after about 16 s."""
_TABLE, _SIZE, _ZERO, _ONE = "noise_table", "noise_size", "noise_zero", "noise_one"


def expose_durations(graph: Any) -> bool:
    """Make the frames of each symbol the second output; False when they cannot be told from other tensors.

    They are what the duration predictor gives, rounded up: the one tensor in the graph that is.
    """
    if len(graph.output) > 1:
        return True  # a voice that was exported with them
    found = [node.output[0] for node in graph.node if node.op_type == "Ceil"]
    if len(found) != 1:
        return False
    graph.output.append(helper.make_empty_tensor_value_info(found[0]))
    return True


def fix_noise(graph: Any, seed: int) -> None:
    """Let every source of noise read a table, so that equal input gives equal sound."""
    nodes = list(graph.node)
    if not any(node.op_type == "RandomNormalLike" for node in nodes):
        return
    table = np.random.default_rng(abs(seed)).standard_normal(NOISE).astype(np.float32)
    constants: dict[str, NDArray[Any]] = {
        _TABLE: table,
        _SIZE: np.array(NOISE, np.int64),
        _ZERO: np.array(0, np.int64),
        _ONE: np.array(1, np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    del graph.node[:]
    for node in nodes:
        graph.node.extend(_from_table(node) if node.op_type == "RandomNormalLike" else [node])


def _from_table(node: Any) -> Iterator[Any]:
    """Nodes that fill the shape of `node`'s input with the table, again and again."""
    [like], [output] = node.input, node.output
    count, every, where, values, shape = (f"{output}_{part}" for part in ("n", "all", "at", "flat", "shape"))
    yield helper.make_node("Size", [like], [count])
    yield helper.make_node("Range", [_ZERO, count, _ONE], [every])
    yield helper.make_node("Mod", [every, _SIZE], [where])
    yield helper.make_node("Gather", [_TABLE, where], [values])
    yield helper.make_node("Shape", [like], [shape])
    yield helper.make_node("Reshape", [values, shape], [output])
