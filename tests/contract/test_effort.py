"""Vocal effort: louder vowels are wider, noise opens nothing, and lips that are closed stay closed."""

from __future__ import annotations

import numpy as np
import pytest
from bench.lipsync.scores import curves_of
from bench.lipsync.voices import hibari

from visavis.arkit import COUNT, INDEX
from visavis.audio import to_float, to_pcm
from visavis.faces import net
from visavis.faces.effort import Effort
from visavis.faces.mel import RATE, SAMPLES, MelStream
from visavis.faces.net import LOOK_AHEAD, NATIVE, NetEngine, load
from visavis.settings import Settings
from visavis.stages.tts_hibari import Hibari

AWAY = LOOK_AHEAD + 2
"""Frames around a change of sound that belong to neither side."""


@pytest.fixture(scope="module")
def engine() -> NetEngine:
    return load(Settings())


def tone(frames: int, hertz: float, loud: float) -> np.ndarray:
    times = np.arange(frames * SAMPLES) / RATE
    return (loud * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def heard(*parts: np.ndarray) -> np.ndarray:
    """The effort of what is said, each frame where it sounds."""
    return Effort(LOOK_AHEAD)(MelStream()(np.concatenate(parts)))[LOOK_AHEAD:]


def quiet(frames: int) -> np.ndarray:
    return np.zeros(frames * SAMPLES, np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_effort_is_measured_against_the_voices_own_loudest(gain: float) -> None:
    parts = (quiet(10), tone(20, 1000, 0.5), tone(20, 1000, 0.05))
    found = heard(*(np.float32(gain) * part for part in parts))
    assert found[: 10 - AWAY].max() == 0
    assert found[10 + AWAY : 30 - AWAY] == pytest.approx(1.0, abs=0.05)
    assert found[30 + AWAY : 46] == pytest.approx(0.5, abs=0.06)  # 20 of 40 decibels lower


def test_a_hum_is_less_effort_than_an_open_mouth() -> None:
    found = heard(quiet(10), tone(20, 1000, 0.3), tone(20, 150, 0.3))
    assert found[30 + AWAY : 46].max() < 0.3 < 0.9 < found[10 + AWAY : 30 - AWAY].min()


def test_pieces_are_heard_as_the_whole() -> None:
    features = MelStream()(np.concatenate([quiet(7), tone(20, 900, 0.2), tone(13, 900, 0.02)]))
    whole, effort = Effort(LOOK_AHEAD)(features), Effort(LOOK_AHEAD)
    pieces = [effort(piece) for piece in np.split(features, [1, 3, 4, 11, 30])]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


@pytest.mark.parametrize("below", [30, 20, 10])
def test_noise_does_not_move_the_mouth(engine: NetEngine, below: int) -> None:
    said = to_float(next(iter(hibari(Hibari))).pcm)
    sound = np.concatenate([np.zeros(RATE, np.float32), said, np.zeros(2 * RATE, np.float32)])
    level = float(np.sqrt(np.mean(said**2))) * 10 ** (-below / 20)
    sound += np.random.default_rng(0).standard_normal(len(sound), np.float32) * np.float32(level)
    jaw = engine.open(NATIVE, 0).feed(to_pcm(sound), None, True)[:, INDEX["jawOpen"]]
    assert jaw.max() > 0.15
    assert max(jaw[:25].mean(), jaw[-45:-5].mean()) < 0.02


def test_a_louder_half_is_a_wider_one(engine: NetEngine) -> None:
    said = to_float(next(iter(hibari(Hibari))).pcm)
    softer = np.concatenate([said, np.float32(0.15) * said])
    gap = curves_of(engine.open(NATIVE, 0).feed(to_pcm(softer), None, True))["gap"]
    first, second = np.array_split(gap, 2)
    assert first.mean() > 1.45 * second.mean()  # 1.35 by the net alone


def test_lips_stay_closed_however_loud_it_is() -> None:
    weights = np.zeros((2, COUNT), np.float32)
    weights[:, INDEX["jawOpen"]] = 0.1
    weights[0, INDEX["mouthClose"]] = 0.1
    shut, apart = net._opened(weights, np.ones((2, 1), np.float32))
    assert shut[INDEX["mouthClose"]] == pytest.approx(shut[INDEX["jawOpen"]])
    assert shut[INDEX["mouthLowerDownLeft"]] == 0
    assert apart[INDEX["jawOpen"]] > 0.1 and apart[INDEX["mouthLowerDownLeft"]] > 0.05
