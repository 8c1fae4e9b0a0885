from __future__ import annotations

import numpy as np
import pytest

from visavis.arkit import INDEX, Weights
from visavis.events import Phoneme
from visavis.faces.visemes import VisemeTrack, curves, rows_of


def spoken(symbols: str, length: float = 0.1, start: float = 0.2) -> tuple[Phoneme, ...]:
    return tuple(
        Phoneme(symbol, start + i * length, start + (i + 1) * length, stress=1)
        for i, symbol in enumerate(symbols.split())
    )


def shape(weights: Weights, name: str, at: float) -> float:
    return float(weights[int(at * 30), INDEX[name]])


def gap(weights: Weights) -> np.ndarray:
    """How far the lips are apart, in units of jawOpen."""
    lips = sum(weights[:, INDEX[n]] for n in ("mouthLowerDownLeft", "mouthUpperUpLeft"))
    return weights[:, INDEX["jawOpen"]] - weights[:, INDEX["mouthClose"]] + 0.5 * lips


@pytest.mark.parametrize("lips", ["p", "b", "m"])
@pytest.mark.parametrize("length", [0.04, 0.06, 0.1])
def test_lips_meet_however_short_the_consonant(lips: str, length: float) -> None:
    for offset in np.linspace(0, 1 / 30, 5):
        around = [Phoneme("a", 0.1, 0.3 + offset, 2), Phoneme(lips, 0.3 + offset, 0.3 + offset + length)]
        weights = curves([*around, Phoneme("a", 0.3 + offset + length, 0.6, 2)], 30)
        assert gap(weights)[8:13].min() < 0.01
        assert gap(weights)[:8].max() > 0.3


def test_open_vowels_open_and_close_vowels_do_not() -> None:
    weights = {vowel: curves(spoken(f"t {vowel} t"), 20)[:, INDEX["jawOpen"]].max() for vowel in "aɛəi"}
    assert weights["a"] > weights["ɛ"] > weights["ə"] > weights["i"]
    assert weights["a"] > 0.2 and weights["i"] < 0.05


def test_rounding_begins_before_its_vowel() -> None:
    weights = curves(spoken("t t u t t"), 24)
    assert shape(weights, "mouthPucker", 0.45) > 0.3
    assert shape(weights, "mouthPucker", 0.36) > 0.11
    assert shape(weights, "mouthPucker", 0.36) > shape(weights, "mouthPucker", 0.2 + 0.3 + 0.04 + 0.06)
    assert curves(spoken("t t i t t"), 24)[:, INDEX["mouthPucker"]].max() < 0.05


def test_teeth_meet_the_lip_for_f() -> None:
    weights = curves(spoken("a f a"), 20)
    assert shape(weights, "mouthRollLower", 0.33) > 0.15
    assert shape(weights, "mouthClose", 0.33) < 0.01


def test_at_rest_before_and_150_ms_after_speech() -> None:
    weights = curves(spoken("h ɛ l oʊ", start=0.5), 45)
    assert weights[:6].max() < 0.02
    assert weights[round((0.9 + 0.15) * 30) :].max() < 0.06
    assert gap(weights)[round((0.9 + 0.15) * 30) :].max() < 0.02


def test_a_quiet_voice_opens_less() -> None:
    loud, quiet = (curves(spoken("t a t"), 20, loudness=np.full(20, x)) for x in (1.0, 0.6))
    assert quiet[:, INDEX["jawOpen"]].max() < 0.8 * loud[:, INDEX["jawOpen"]].max()


@pytest.mark.parametrize("fps", [25, 50, 60])
def test_frame_rates_show_the_same_movement(fps: int) -> None:
    phonemes = spoken("m aɪ n eɪ m ɪ z m i ə")
    jaw, usual = (curves(phonemes, 2 * n, n)[:, INDEX["jawOpen"]] for n in (fps, 30))
    middles, usual_middles = ((np.arange(2 * n) + 0.5) / n for n in (fps, 30))
    np.testing.assert_allclose(jaw, np.interp(middles, usual_middles, usual), atol=0.03)


def test_a_clause_that_becomes_known_late_joins_without_a_jump() -> None:
    first, second = spoken("h ɛ l oʊ", start=0.0), spoken("a l a t i", start=0.4)
    known, late = VisemeTrack(30), VisemeTrack(30)
    known.add(first + second)
    late.add(first)
    smooth = known.draw(np.ones(36))
    before = late.draw(np.ones(12))  # up to the end of the first clause
    late.add(second)
    joined = np.concatenate([before, late.draw(np.ones(24))])
    assert np.abs(np.diff(joined, axis=0)).max() < 0.15
    assert np.abs(smooth[:12] - joined[:12]).max() > 0.05  # it could not know
    np.testing.assert_allclose(joined[18:], smooth[18:], atol=0.02)


def test_odd_phonemes_are_harmless() -> None:
    odd = [
        Phoneme("a", float("nan"), 0.2),
        Phoneme("a", 0.0, float("inf")),
        Phoneme("a", 0.3, 0.1),
        Phoneme("☂", 0.1, 0.2),
        Phoneme("", 0.2, 0.3),
        Phoneme("a", 0.25, 0.4, stress=9),
        Phoneme("a", 0.1, 0.3),
    ]
    weights = curves(odd, 30)
    assert np.isfinite(weights).all()
    assert weights[:, INDEX["jawOpen"]].max() > 0.1


def test_symbols_are_taken_apart() -> None:
    assert len(rows_of("aɪ")) == len(rows_of("tʃ")) == 2
    assert rows_of("iː") == rows_of("i") == rows_of("ĩ")
    assert rows_of("ç") != rows_of("c")
    assert rows_of("sil") == []


# -- our own synthesiser's speech -----------------------------------------------------------------------
SENTENCES = [
    "Peter Piper picked a peck of pickled peppers.",
    "Maybe my mom will bring a big brown map back home.",
    "Bob and Pam hope to buy a purple umbrella in the morning.",
    "Someone left a blue balloon beside the old stone bridge.",
    "You should move two spoons to the other room, soon.",
    "Father parked the car far from the dark barn.",
    "Hello! I am happy to help. What would you like to know?",
    "The problem is simple: people remember numbers badly.",
]


@pytest.fixture(scope="module")
def faces() -> list[tuple[tuple[Phoneme, ...], Weights]]:
    from visavis.audio import Media
    from visavis.faces.phonemes import PhonemeEngine
    from visavis.settings import Settings
    from visavis.stages.tts_hibari import load

    speak, found = load(Settings()), []
    for sentence in SENTENCES:
        speech = speak(sentence)
        assert speech.phonemes
        found.append(
            (speech.phonemes, PhonemeEngine().open(Media(), 0).feed(speech.pcm, speech.phonemes, True))
        )
    return found


def rate(hits: list[bool], least: int) -> float:
    assert len(hits) >= least
    return sum(hits) / len(hits)


def span(phoneme: Phoneme, before: float = 0.02, after: float = 0.01) -> slice:
    return slice(max(0, int((phoneme.start - before) * 30)), int(np.ceil((phoneme.end + after) * 30)))


def test_spoken_bilabials_close(faces: list[tuple[tuple[Phoneme, ...], Weights]]) -> None:
    hits = []
    for phonemes, weights in faces:
        vowels = np.median([gap(weights)[span(p)].max() for p in phonemes if p.stress])
        lips = [p for p in phonemes if p.symbol in "pbm" and p.end - p.start >= 0.04]
        hits += [gap(weights)[span(p)].min() <= 0.1 * vowels for p in lips]
    assert rate(hits, 40) >= 0.98


def test_spoken_vowels_round_and_open(faces: list[tuple[tuple[Phoneme, ...], Weights]]) -> None:
    rounded, opened = [], []
    for phonemes, weights in faces:
        lips = weights[:, INDEX["mouthPucker"]] + weights[:, INDEX["mouthFunnel"]]
        jaw = weights[:, INDEX["jawOpen"]]
        rounded += [lips[span(p)].max() > 0.2 for p in phonemes if p.symbol in ("u", "w", "oʊ")]
        opened += [
            jaw[span(p)].max() > 1.2 * jaw.mean() for p in phonemes if p.symbol in ("ɑ", "æ", "aɪ", "aʊ")
        ]
    assert rate(rounded, 10) >= 0.95
    assert rate(opened, 12) >= 0.95


def test_spoken_pauses_rest(faces: list[tuple[tuple[Phoneme, ...], Weights]]) -> None:
    hits = []
    for phonemes, weights in faces:
        pauses = [p for p in phonemes if p.symbol == "sil" and p.end - p.start >= 0.3]
        hits += [weights[span(p, -0.15, -0.1), INDEX["jawOpen"]].mean() < 0.04 for p in pauses]
    assert rate(hits, 2) == 1.0
