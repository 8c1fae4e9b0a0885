"""Lip-sync quality cannot silently get worse: every engine against speech whose phonemes are known.

The speech is our own synthesiser's, at three speeds and as heads of three sizes, and espeak-ng's in three
voices of seven languages. `GATES` says how good each engine was when it was last measured, less two or three
misses: raise a row when its engine gets better (a failing test shows all figures of its row), never lower one
to make a change pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from tests.contract.lipsync_speech import OURS, VOICES, Scores, faces, speech
from tests.espeak import needs_espeak

from visavis.arkit import INDEX, Weights
from visavis.plugins import load
from visavis.settings import Settings


class Gate(NamedTuple):
    """Least shares of p, b, m closed and of lips that touch there, of rounded and of open vowels, and of
    pauses shut after 150 ms; and how many frames the onset of speech may be off in the median."""

    closed: float
    sealed: float
    rounded: float
    opened: float
    silent: float
    onset: float


LAG = 0
"""Frames by which a face as a whole may be early or late."""
GATES = {
    "phonemes": {
        "hibari": Gate(0.99, 0.99, 0.98, 0.98, 0.97, 1.0),
        "pl": Gate(0.98, 0.98, 0.97, 0.97, 0.95, 0.5),
        "de": Gate(0.98, 0.98, 0.97, 0.97, 0.95, 0.5),
        "es": Gate(0.98, 0.98, 0.97, 0.96, 0.95, 0.5),
        "fr": Gate(0.97, 0.98, 0.97, 0.97, 0.95, 0.5),
        "it": Gate(0.98, 0.98, 0.97, 0.91, 0.95, 0.5),
        "cmn-latn-pinyin": Gate(0.97, 0.97, 0.96, 0.96, 0.94, 0.5),
        "ja": Gate(0.97, 0.97, 0.97, 0.96, 0.94, 0.5),
    },
    "net": {
        "hibari": Gate(0.97, 0.96, 0.93, 0.98, 0.97, 1.3),
        "pl": Gate(0.94, 0.94, 0.96, 0.97, 0.95, 0.5),
        "de": Gate(0.97, 0.97, 0.96, 0.96, 0.95, 0.7),
        "es": Gate(0.95, 0.95, 0.95, 0.95, 0.95, 0.5),
        "fr": Gate(0.95, 0.96, 0.97, 0.95, 0.95, 0.7),
        "it": Gate(0.97, 0.97, 0.97, 0.97, 0.95, 0.5),
        "cmn-latn-pinyin": Gate(0.94, 0.94, 0.95, 0.96, 0.94, 0.6),
        "ja": Gate(0.89, 0.88, 0.96, 0.96, 0.94, 0.5),
    },
    "energy": {"hibari": Gate(0.64, 0.33, 0.83, 0.95, 0.97, 2.3)},
}
LATE_ENERGY = 1
"""Loudness is late by a frame: the voice comes before the mouth is open."""
ENOUGH = {"closed": 35, "sealed": 50, "rounded": 30, "opened": 25, "silent": 15}
"""Least numbers of what is counted with one voice."""

Change = Callable[[Weights], Weights]


@pytest.fixture(scope="module")
def score() -> Callable[..., Scores]:
    """An engine and a voice -> its scores; with a change, those of the changed face."""
    said, engines = cache(speech), cache(lambda name: load("faces", name, Settings()))
    drawn = cache(lambda engine, voice: faces(engines(engine), said(voice)))

    def score(engine: str, voice: str, change: Change = lambda face: face) -> Scores:
        return Scores(said(voice), [change(face) for face in drawn(engine, voice)])

    return score


def failures(found: Scores, gate: Gate, lag: int = LAG) -> dict[str, float]:
    """What does not pass, with its figure."""
    below = {kind: share for kind, share in found.shares.items() if share < getattr(gate, kind)}
    onset = {"onset": found.counts.skew} if abs(found.counts.skew) > gate.onset else {}
    late = {"lag": found.lag} if abs(found.lag) > lag else {}
    return below | onset | late


def voices(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "voice", [name if name == OURS else pytest.param(name, marks=needs_espeak) for name in names]
    )


@voices(*VOICES)
@pytest.mark.parametrize("engine", ["phonemes", "net"])
def test_engine_passes_its_gate(engine: str, voice: str, score: Callable[..., Scores]) -> None:
    found = score(engine, voice)
    assert not failures(found, GATES[engine][voice]), (found.shares, found.counts.skew, found.lag)
    assert all(len(found.hits[kind]) >= least for kind, least in ENOUGH.items())


def test_loudness_alone_passes_a_lower_gate(score: Callable[..., Scores]) -> None:
    assert not failures(score("energy", OURS), GATES["energy"][OURS], lag=LATE_ENERGY)


# -- what is worse does not pass, with any voice -------------------------------------------------------------
@voices(*VOICES)
def test_loudness_alone_does_not_pass(voice: str, score: Callable[..., Scores]) -> None:
    failed = failures(score("energy", voice), GATES["net"][voice])
    assert {"closed", "sealed"} <= failed.keys()


@voices(*VOICES)
@pytest.mark.parametrize("frames", [-3, -1, 1, 3])
def test_a_face_out_of_step_does_not_pass(frames: int, voice: str, score: Callable[..., Scores]) -> None:
    found = score("net", voice, lambda face: np.roll(face, frames, axis=0))
    assert failures(found, GATES["net"][voice])["lag"] == frames


def half_closed(face: Weights) -> Weights:
    return _with(face, "mouthClose", 0.5 * face[:, INDEX["mouthClose"]])


def flat(face: Weights) -> Weights:
    return _with(_with(face, "mouthPucker", 0.1), "mouthFunnel", 0.1)


def hanging(face: Weights) -> Weights:
    return _with(_with(face, "jawOpen", 0.3), "mouthClose", 0.0)


def still(face: Weights) -> Weights:
    return np.zeros_like(face)


def mumbling(face: Weights) -> Weights:
    return _with(face, "jawOpen", np.maximum(face[:, INDEX["jawOpen"]], 0.04))


def backwards(face: Weights) -> Weights:
    return face[::-1]


WRONG: dict[Change, set[str]] = {
    half_closed: {"sealed"},
    flat: {"rounded"},
    hanging: {"closed", "sealed", "opened", "silent"},
    still: {"closed", "rounded", "opened"},
    mumbling: {"silent"},
    backwards: {"closed", "sealed"},
}
"""What is done to a face, and what then fails in any case."""


@voices(*VOICES)
@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_a_face_that_is_wrong_does_not_pass(change: Change, voice: str, score: Callable[..., Scores]) -> None:
    assert WRONG[change] <= failures(score("net", voice, change), GATES["net"][voice]).keys()


def _with(face: Weights, shape: str, values: Weights | float) -> Weights:
    changed = face.copy()
    changed[:, INDEX[shape]] = values
    return changed
