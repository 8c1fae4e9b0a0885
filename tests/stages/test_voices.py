"""Every avatar has a voice that fits; what it says stays what it was."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.audio import to_float
from visavis.stages import Speech, tts_hibari
from visavis.stages.tts_hibari import Hibari
from visavis.voices import Character, character_of

TEXT = "My mother bought a big apple pie."


def pitch(speech: Speech) -> float:
    """Hz: the median of the autocorrelation's peaks over 40 ms of voice each."""
    sound, rate = to_float(speech.pcm), tts_hibari.RATE
    found = []
    for begin in range(0, len(sound) - rate // 25, rate // 50):
        piece = sound[begin : begin + rate // 25]
        if np.sqrt((piece**2).mean()) < 0.05:
            continue
        alike = np.correlate(piece, piece, "full")[len(piece) - 1 :]
        lags = slice(rate // 350, rate // 70)
        found.append(rate / (int(np.argmax(alike[lags])) + lags.start))
    return float(np.median(found))


def loudness(speech: Speech) -> float:
    sound = to_float(speech.pcm)
    return float(20 * np.log10(np.sqrt((sound**2).mean())))


def test_a_character_changes_pitch_and_neither_words_nor_loudness() -> None:
    own, low, high = (Hibari(character=Character(factor))(TEXT) for factor in (1.0, 0.6, 1.2))
    assert 0.5 < pitch(low) / pitch(own) < 0.7
    assert 1.1 < pitch(high) / pitch(own) < 1.3
    for other in (low, high):
        assert [word.text for word in other.words] == TEXT.split()
        assert other.words[-1].end == pytest.approx(own.words[-1].end, abs=0.15)
        assert loudness(other) == pytest.approx(loudness(own), abs=3)


def test_formants_move_resonances_by_their_factor() -> None:
    bins = np.arange(601)[:, None]

    def hill(centre: float) -> NDArray[np.float32]:
        return np.exp(-(((bins - centre) / 20) ** 2)).astype(np.float32)

    for factor in (0.8, 1.0, 1.25):
        moved = Character(formants=factor).resonant(hill(200))
        assert int(np.argmax(moved)) == pytest.approx(200 * factor, abs=1)
    assert Character(formants=0.8).resonant(hill(600))[-1] == pytest.approx(1.0)


def test_each_avatar_sounds_like_somebody_else() -> None:
    cast = {name: character_of(name) for name in ("mia", "daniel", "amara", "kenji", "elena", "pip")}
    assert cast["mia"] == Character() == character_of("somebody")
    assert len(set(cast.values())) == 6
    for name in ("daniel", "kenji"):
        assert cast[name].pitch < 0.65, "a man's voice is most of an octave lower"
        assert cast[name].formants < 0.9


@pytest.mark.parametrize("factor", [0.4, 3.0, float("nan")])
def test_a_character_beyond_people_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factors from"):
        Character(pitch=factor)
