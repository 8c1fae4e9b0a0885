"""Spoken utterances and their phonemes: what every synthesiser is turned into."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from visavis.events import Phoneme

RATE = 24_000
SILENCE = "sil"
HUSH, FLOOR, BLOCK = 0.08, 32.0, 120
"""A run of that many seconds, so many decibels below the loud parts, at the end of a phoneme is a pause;
neural voices give last phonemes up to half a second of it. Loudness is taken in blocks of 5 ms."""

DIP, CLOSURES, FARTHEST = 9.0, (0.025, 0.16), 0.07
"""Lips are shut where the sound of the mouth (`_MOUTH`) dips by at least so many decibels between two louder
sounds, for so many seconds and with the middle at most so far from where the engine says."""

Wave = NDArray[np.float32]

_MOUTH = butter(4, (900, 4500), "band", fs=RATE, output="sos")
_BILABIALS = frozenset("pbm")
_DULL = frozenset("ptkbdɡqcɟʔmnŋɲ")
"""Sounds next to which a closure of the lips cannot be told by loudness."""
_STRESS = {"ˌ": 1, "ˈ": 2}
_PAUSES = frozenset('.,!?;:—…"“”()¡¿')
_EDGES = frozenset({"<s>", "</s>", "^", "$"})
_IPA = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "Q": "əʊ", "ʤ": "dʒ", "ʧ": "tʃ", "T": "ɾ",
    "ᵊ": "ə", "S": "ʃ", "ʦ": "ts", "ʣ": "dz", "ʨ": "tɕ", "ʥ": "dʑ", "ꭧ": "tʂ",
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
    parts = closures(parts, _level(sosfiltfilt(_MOUTH, wave).astype(np.float32)))
    samples = np.rint(wave * (0.8 / peak * 32767)).astype(np.int16)
    return Utterance(samples, tuple(parts), language, voice) if len(parts) > 2 else None


def from_symbols(symbols: Iterable[tuple[str, float, float]], lag: float = 0.0) -> list[Phoneme]:
    """Phonemes of (symbol, start, end) in the alphabets of Kokoro, hibari and Piper.

    Stress marks have a time of their own that belongs to the vowel after them; spaces, length marks, tones
    and diacritics belong to the phoneme before. `lag`: seconds by which the times run behind the sound.
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
        elif symbol in " ː_→↗↓↘" or unicodedata.category(symbol[0]) in ("Mn", "Lm"):
            if found:
                last = found[-1]
                found[-1] = Phoneme(last.symbol, last.start, end, last.stress)
        else:
            found.append(Phoneme(_IPA.get(symbol, symbol), start if begin is None else begin, end, stress))
            begin, stress = None, 0
    return found


def closures(phonemes: list[Phoneme], level: NDArray[np.float64]) -> list[Phoneme]:
    """The phonemes with p, b and m where the lips are heard to be shut: engines are off by 10 to 60 ms there,
    each in its own way, and by up to half of the duration. `level`: of the mouth's sound, by blocks."""
    found = list(phonemes)
    for index in range(1, len(found) - 1):
        before, phoneme, after = found[index - 1 : index + 2]
        if phoneme.symbol not in _BILABIALS or {before.symbol[-1], after.symbol[0]} & _DULL:
            continue
        if SILENCE in (before.symbol, after.symbol):
            continue
        dip = _dip(level, before.start, phoneme, after.end)
        if dip is None:
            continue
        start, end = dip
        found[index - 1] = replace(before, end=start)
        found[index] = replace(phoneme, start=start, end=end)
        found[index + 1] = replace(after, start=end)
    return found


def _dip(
    level: NDArray[np.float64], begin: float, phoneme: Phoneme, end: float
) -> tuple[float, float] | None:
    """Seconds from where to where the level dips around a phoneme, within its neighbours; None without a
    clear dip."""
    first, start, stop, last = (
        round(at * RATE / BLOCK) for at in (begin, phoneme.start, phoneme.end, min(end, phoneme.end + 0.2))
    )
    first = max(first, start - round(0.2 * RATE / BLOCK))
    reach = round(0.05 * RATE / BLOCK)
    middle = slice(max(first + 1, start - reach), min(last - 1, stop + reach // 2))
    if last > len(level) or middle.stop - middle.start < 2:
        return None
    least = middle.start + int(np.argmin(level[middle]))
    left, right = level[first:least].max(), level[least + 1 : last].max()
    if min(left, right) - level[least] < DIP:
        return None
    louder = np.flatnonzero(level[first:least] > (left + level[least]) / 2)
    later = np.flatnonzero(level[least:last] > (right + level[least]) / 2)
    from_, to = (first + int(louder[-1]) + 1) * BLOCK / RATE, (least + int(later[0])) * BLOCK / RATE
    off = abs((from_ + to) - (phoneme.start + phoneme.end)) / 2
    within = begin + 0.01 < from_ < to < end - 0.01
    fits = within and CLOSURES[0] <= to - from_ <= CLOSURES[1] and off <= FARTHEST
    return (from_, to) if fits else None


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
