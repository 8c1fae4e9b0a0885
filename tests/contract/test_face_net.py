"""The face net's file: many voices in one call, and movements as large as a real face's."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import onnx
import pytest
from bench.lipsync.voices import hibari

from visavis.arkit import COUNT, INDEX
from visavis.faces.net import MODEL, NATIVE, NetEngine
from visavis.stages.onnx import session
from visavis.stages.tts_hibari import Hibari

MEASURED = {
    "jawOpen": 0.24,
    "mouthPucker": 0.28,
    "mouthFunnel": 0.32,
    "mouthSmileLeft": 0.31,
    "mouthLowerDownLeft": 0.36,
    "mouthUpperUpLeft": 0.32,
}
"""95th percentiles in the running speech of a real face capture."""


@pytest.fixture(scope="module")
def model() -> bytes:
    return files("visavis.faces").joinpath(MODEL).read_bytes()


def test_it_is_small_and_has_one_state_for_every_voice(model: bytes) -> None:
    assert len(model) <= 1_000_000
    graph = onnx.load_from_string(model).graph
    assert {value.name for value in graph.input} == {"mel", "state"}


def test_voices_in_one_call_do_not_hear_each_other(model: bytes) -> None:
    net, random = session(model), np.random.default_rng(3)
    size = net.get_inputs()[1].shape[1]
    mel = random.normal(-6, 3, (8, 9, 160)).astype(np.float32)
    state = random.normal(0, 0.3, (8, size)).astype(np.float32)
    together, after = net.run(None, {"mel": mel, "state": state})
    assert together.shape == (8, 9, COUNT)
    for lane in range(8):
        alone, end = net.run(None, {"mel": mel[lane : lane + 1], "state": state[lane : lane + 1]})
        np.testing.assert_allclose(together[lane], alone[0], atol=1e-5)
        np.testing.assert_allclose(after[lane], end[0], atol=1e-4)


def test_movements_are_as_large_as_those_of_a_real_face(model: bytes) -> None:
    engine = NetEngine(model)
    faces = [engine.open(NATIVE, 0).feed(said.pcm, None, True) for said in hibari(Hibari)]
    largest = np.percentile(np.concatenate(faces), 95, axis=0)
    found = {shape: float(largest[INDEX[shape]]) for shape in MEASURED}
    assert found == pytest.approx(MEASURED, rel=0.3)
