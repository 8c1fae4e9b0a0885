"""Spoken utterances and their phonemes: what every synthesiser is turned into."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.events import Phoneme

RATE = 24_000
SILENCE = "sil"
HUSH, FLOOR, BLOCK = 0.08, 32.0, 120
"""A run of that many seconds, so many decibels below the loud parts, at the end of a phoneme is a pause;
neural voices give last phonemes up to half a second of it. Loudness is taken in blocks of 5 ms."""

Wave = NDArray[np.float32]

_STRESS = {"ˌ": 1, "ˈ": 2}
_PAUSES = frozenset('.,!?;:—…"“”()¡¿')
_EDGES = frozenset({"<s>", "</s>", "^", "$"})
_IPA = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "Q": "əʊ", "ʤ": "dʒ", "ʧ": "tʃ", "T": "ɾ",
    "ᵊ": "ə", "S": "ʃ", "ʦ": "ts", "ʣ": "dz", "ʨ": "tɕ", "ʥ": "dʑ",
}  # fmt: skip
ARPABET = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "ay": "aɪ", "b": "b", "ch": "tʃ",
    "d": "d", "dh": "ð", "eh": "ɛ", "er": "ɝ", "ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "ih": "ɪ",
    "iy": "i", "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ", "ow": "oʊ", "oy": "ɔɪ",
    "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ", "uw": "u", "v": "v", "w": "w",
    "y": "j", "z": "z", "zh": "ʒ", "pau": SILENCE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence: PCM16 samples at 24 kHz and the phonemes in them, in seconds."""

    samples: NDArray[np.int16]
    phonemes: tuple[Phoneme, ...]
    language: str
    voice: str

    def wave(self) -> Wave:
        return self.samples.astype(np.float32) / np.float32(32768)


def utterance(wave: Wave, phonemes: Iterable[Phoneme], language: str, voice: str) -> Utterance | None:
    """The utterance at one loudness and with its hidden pauses found; None for a voice that said nothing."""
    peak = float(np.abs(wave).max(initial=0))
    if len(wave) < RATE // 2 or peak < 1e-3:
        return None
    level = _level(wave)
    parts = [part for phoneme in phonemes for part in _without_hush(phoneme, level)]
    samples = np.rint(wave * (0.8 / peak * 32767)).astype(np.int16)
    return Utterance(samples, tuple(parts), language, voice) if len(parts) > 2 else None


def from_symbols(symbols: Iterable[tuple[str, float, float]], lag: float = 0.0) -> list[Phoneme]:
    """Phonemes of (symbol, start, end) in the alphabets of Kokoro, hibari and Piper.

    Stress marks have a time of their own that belongs to the vowel after them; spaces, length marks and
    diacritics belong to the phoneme before. `lag`: seconds by which the times run behind the sound.
    """
    found: list[Phoneme] = []
    begin: float | None = None
    stress = 0
    for symbol, start, end in symbols:
        start, end = max(start - lag, 0.0), max(end - lag, 0.0)
        if symbol in _STRESS:
            stress, begin = _STRESS[symbol], start if begin is None else begin
        elif end <= start:
            continue
        elif symbol in _EDGES or symbol in _PAUSES:
            found.append(Phoneme(SILENCE, start, end))
            begin, stress = None, 0
        elif symbol in " ː_" or unicodedata.category(symbol[0]) in ("Mn", "Lm"):
            if found:
                last = found[-1]
                found[-1] = Phoneme(last.symbol, last.start, end, last.stress)
        else:
            found.append(Phoneme(_IPA.get(symbol, symbol), start if begin is None else begin, end, stress))
            begin, stress = None, 0
    return found


def _level(wave: Wave) -> NDArray[np.float64]:
    """Decibels relative to the loud parts (90th percentile), one value a `BLOCK`."""
    blocks = wave[: len(wave) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    level = 10 * np.log10((blocks**2).mean(1) + 1e-12)
    result: NDArray[np.float64] = level - np.percentile(level, 90)
    return result


def _without_hush(phoneme: Phoneme, level: NDArray[np.float64]) -> list[Phoneme]:
    """The phoneme, and the silence at its end as one of its own."""
    if phoneme.symbol == SILENCE or phoneme.end - phoneme.start < 2 * HUSH:
        return [phoneme]
    first = int(phoneme.start * RATE) // BLOCK
    loud = np.flatnonzero(level[first : int(phoneme.end * RATE) // BLOCK] > -FLOOR)
    last = (first + int(loud[-1]) + 1) * BLOCK / RATE if len(loud) else phoneme.start + 0.04
    if phoneme.end - last < HUSH:
        return [phoneme]
    return [
        Phoneme(phoneme.symbol, phoneme.start, last, phoneme.stress),
        Phoneme(SILENCE, last, phoneme.end),
    ]
