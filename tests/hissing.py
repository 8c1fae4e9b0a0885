"""Are a voice's phonemes where their sound is? Hissing ones are the loud ones above 4.5 kHz."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visavis.audio import to_float
from visavis.stages import TextToSpeech

HISSING = (
    "She sells six seashells, Jess.",
    "Stop that, stop it.",
    "This is a test of the system.",
    "A sad soup is a safe snack.",
    "Yes, see the sea.",
)
_STEP = 0.01
_SHIFTS = range(-12, 13)


def best_shift(voice: TextToSpeech, texts: Sequence[str]) -> tuple[float, float]:
    """By how many seconds the times fit best where it hisses, and how well (correlation) they do there."""
    fits = np.mean([_fits(voice, text) for text in texts], axis=0)
    return _SHIFTS[int(fits.argmax())] * _STEP, float(fits.max())


def _fits(voice: TextToSpeech, text: str) -> list[float]:
    """The correlation of where hissing phonemes should be with where it hisses, for each shift."""
    speech = voice(text)
    block = round(voice.rate * _STEP)
    wave = to_float(speech.pcm)
    spectra = np.abs(np.fft.rfft(wave[: len(wave) // block * block].reshape(-1, block))) ** 2
    hiss = np.log10(spectra[:, round(4_500 * _STEP) :].sum(axis=1) + 1e-6)
    times = (np.arange(len(hiss)) + 0.5) * _STEP
    marked = np.zeros(len(hiss), bool)
    for phoneme in speech.phonemes or ():
        if phoneme.symbol in ("s", "z", "ʃ"):
            marked |= (times >= phoneme.start) & (times < phoneme.end)
    return [float(np.corrcoef(marked, np.roll(hiss, shift))[0, 1]) for shift in _SHIFTS]
