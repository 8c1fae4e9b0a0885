"""Lip-sync quality cannot silently get worse: every engine against speech whose phonemes are known.

The speech is our own synthesiser's, at three speeds and as heads of three sizes. `GATES` says how good each
engine was when it was last measured, less a small margin: raise a row when its engine gets better (the
figures: `python -m bench.lipsync`), never lower one to make a change pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from bench.lipsync.gates import Counts, count
from bench.lipsync.tables import animate
from bench.lipsync.voices import Utterance, hibari

from visavis.arkit import INDEX, neutral
from visavis.plugins import load
from visavis.settings import Settings
from visavis.stages.tts_hibari import Hibari


@dataclass(frozen=True, slots=True)
class Gate:
    """Least shares of p, b, m closed, of rounded and of open vowels, and of pauses shut after 150 ms; and how
    many frames the onset of speech may be off in the median."""

    closed: float
    rounded: float
    opened: float
    silent: float
    onset: float


GATES = {
    "phonemes": Gate(closed=0.99, rounded=0.98, opened=0.98, silent=0.97, onset=1.0),
    "net": Gate(closed=0.97, rounded=0.93, opened=0.98, silent=0.97, onset=1.3),
    "energy": Gate(closed=0.64, rounded=0.83, opened=0.95, silent=0.97, onset=1.8),
}


@pytest.fixture(scope="module")
def speech() -> list[Utterance]:
    said = list(hibari(Hibari))
    assert len({utterance.voice for utterance in said}) == 3
    return said


@pytest.mark.parametrize("name", GATES)
def test_engine_passes_its_gate(name: str, speech: list[Utterance]) -> None:
    engine, gate, found = load("faces", name, Settings()), GATES[name], Counts()
    for said in speech:
        found.add(count(said.phonemes, animate(engine, said.pcm, said.phonemes)))
    hits = (found.closed, found.rounded, found.opened, found.silent)
    assert [len(counted) for counted in hits] >= [140, 50, 55, 30], "there is enough to count"
    shares = dict(
        zip(("closed", "rounded", "opened", "silent"), (float(np.mean(h)) for h in hits), strict=True)
    )
    assert all(share >= getattr(gate, kind) for kind, share in shares.items()), (shares, gate)
    assert abs(found.skew) <= gate.onset
    assert len(found.skews) >= 15


def test_faces_that_are_wrong_do_not_pass(speech: list[Utterance]) -> None:
    """A face at rest, one that hangs open, and that of another sentence."""
    engine = load("faces", "phonemes", Settings())
    faces = [animate(engine, said.pcm, said.phonemes) for said in speech]
    still, hanging, wrong = Counts(), Counts(), Counts()
    for said, face, other in zip(speech, faces, [*faces[1:], faces[0]], strict=True):
        still.add(count(said.phonemes, neutral(len(face))))
        hanging.add(count(said.phonemes, _with_jaw(0.3, len(face))))
        wrong.add(count(said.phonemes, np.resize(other, face.shape)))
    assert not any(still.closed + still.rounded + still.opened)
    assert not any(hanging.closed + hanging.rounded + hanging.opened + hanging.silent)
    assert np.mean(wrong.closed) < 0.6 and np.mean(wrong.opened) < 0.8 and np.mean(wrong.silent) < 0.9


@pytest.mark.parametrize("late", [-3, 2])
def test_a_face_out_of_step_does_not_pass(late: int, speech: list[Utterance]) -> None:
    engine, found = load("faces", "phonemes", Settings()), Counts()
    for said in speech:
        found.add(count(said.phonemes, np.roll(animate(engine, said.pcm, said.phonemes), late, axis=0)))
    assert abs(found.skew) > GATES["phonemes"].onset


def _with_jaw(opening: float, frames: int) -> np.ndarray:
    face = neutral(frames)
    face[:, INDEX["jawOpen"]] = opening
    return face
