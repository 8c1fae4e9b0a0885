"""A network of a few nodes with the inputs and outputs of Kokoro's: every symbol is a tone of 75 ms."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from visavis.errors import ConfigurationError
from visavis.settings import Settings
from visavis.stages.espeak_library import Library, library
from visavis.stages.tts_kokoro import DURATIONS, STYLE, Kokoro

FRAMES, SAMPLES = 3, 600
"""Frames of a symbol, samples of a frame."""
SYMBOLS = ' ;:,.!?—…"()“”ˈˌːʲ\u0303AIOQSTWYʣʥʦʨʧʤᵊabcdefhijklmnopqrstuvwxyzæðŋøœɐɑɒɔɕəɚɛɜɟɡɥɪɲɹɾʁʃʊʋʌʎʒθᵻ'
VOCABULARY = {symbol: number for number, symbol in enumerate(SYMBOLS, 1)}


@cache
def network() -> bytes:
    node = helper.make_node
    constants: dict[str, NDArray[Any]] = {
        "nothing": np.array(0, np.int64),
        "usual": np.array(FRAMES, np.float32),
        "frame": np.array(SAMPLES, np.int64),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "first": np.array([0, 0], np.int64),
        "flat": np.array([-1], np.int64),
    }
    nodes = [
        node("Mul", ["tokens", "nothing"], ["none"]),
        node("Cast", ["none"], ["zeros"], to=TensorProto.FLOAT),
        node("Div", ["usual", "speed"], ["length"]),
        node("Add", ["zeros", "length"], ["exact"]),
        node("Ceil", ["exact"], [DURATIONS]),
        node("ReduceSum", [DURATIONS], ["total"], keepdims=0),
        node("Cast", ["total"], ["count"], to=TensorProto.INT64),
        node("Mul", ["count", "frame"], ["samples"]),
        node("Range", ["zero", "samples", "one"], ["ticks"]),
        node("Cast", ["ticks"], ["time"], to=TensorProto.FLOAT),
        node("GatherND", ["style", "first"], ["pitch"]),
        node("Mul", ["time", "pitch"], ["phase"]),
        node("Sin", ["phase"], ["tone"]),
        node("Mul", ["tone", "tone"], ["power"]),
        node("Mul", ["power", "tone"], ["peaks"]),
        node("Reshape", ["peaks", "flat"], ["audio"]),
    ]
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "sequence_length"]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, STYLE]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    output = helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["audio_length"])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "voice", inputs, [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def styles(rows: int = 510) -> NDArray[np.float32]:
    """The pitch of the tone tells the row, from 0.1 on."""
    return np.linspace(0.1, 1.1, rows, dtype=np.float32)[:, None] * np.ones((1, STYLE), np.float32)


def load(settings: Settings) -> Kokoro:
    espeak: Library | None = None
    with suppress(ConfigurationError):
        espeak = library()
    language = settings.assistant.language
    return Kokoro(network(), VOCABULARY, styles(), language, settings.voice.speed, espeak)
