"""Which moments of speech the brows underline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.framing import Framer, Loudness, alike, decibels, framed, hold, power

Accents = NDArray[np.float32]
"""float32[n] in 0..1: how strongly each frame is underlined."""

APART = 0.7
"""Least seconds between two accents; a brow that jumps at every word looks nervous."""
CHANCE = 0.6
"""Of the stressed syllables that are far enough apart, how many are underlined."""
LEAD, RISE, FALL = 0.06, 0.13, 0.38
"""Seconds: an accent begins before its vowel, rises and falls."""
LOUD = 6.0
"""Decibels below the voice's loudest at which an accent by loudness begins."""
SLOW = 0.12
"""Time constant in seconds of accents by loudness."""
LOTS = 256
"""Random numbers; the pattern repeats after three minutes."""


class StressAccents:
    """Accents on vowels with primary stress, for speech with phoneme times."""

    def __init__(self, media: Media, seed: int) -> None:
        self._media = media
        self._random = np.random.default_rng((seed % 2**32, 1))
        self._starts, self._sizes = np.zeros(0), np.zeros(0)
        self._next = 0.0
        self._frame = 0

    def feed(self, pcm: bytes, phonemes: Iterable[Phoneme] | None, last: bool) -> None:
        chosen = [phoneme.start - LEAD for phoneme in phonemes or () if self._underlined(phoneme)]
        earliest = self._frame / self._media.fps
        self._starts = np.append(self._starts, np.maximum(chosen, earliest))
        self._sizes = np.append(self._sizes, self._random.uniform(0.5, 1.0, len(chosen)))

    def _underlined(self, phoneme: Phoneme) -> bool:
        if phoneme.stress != 2 or not phoneme.start >= self._next or self._random.random() > CHANCE:
            return False
        self._next = phoneme.start + APART
        return True

    def take(self, count: int) -> Accents:
        times = (np.arange(self._frame, self._frame + count) + 0.5) / self._media.fps
        self._frame += count
        if not count or not len(self._starts):
            return np.zeros(count, np.float32)
        since = times[:, None] - self._starts
        shape = np.clip(np.minimum(since / RISE, (RISE + FALL - since) / FALL), 0.0, 1.0)
        accents: Accents = (shape * shape * (3 - 2 * shape) * self._sizes).max(1).astype(np.float32)
        recent = self._starts > times[-1] - RISE - FALL
        self._starts, self._sizes = self._starts[recent], self._sizes[recent]
        return accents


class LoudAccents:
    """Accents on loud moments, for speech of which nothing but the sound is known."""

    def __init__(self, media: Media, seed: int) -> None:
        self.framer, self.reference = Framer(media), Loudness(media.fps).reference
        lots = np.random.default_rng((seed % 2**32, 2)).uniform(-1.0, 1.0, LOTS)
        self._lots: list[float] = lots.clip(0.0).tolist()
        self._slot = max(1, round(APART * media.fps))
        self._share = 1 - math.exp(-1 / (SLOW * media.fps))
        self._heard, self._accent = 0, 0.0
        self._waiting: list[float] = []

    def feed(self, pcm: bytes, phonemes: Iterable[Phoneme] | None, last: bool) -> None:
        listen([self], [(pcm, last)])

    def rise(self, loudness: Iterable[float]) -> None:
        """How loud each of the next frames is, 0..1."""
        accent = self._accent
        for loud in loudness:
            lot = self._lots[self._heard // self._slot % LOTS]
            accent += self._share * (loud * lot - accent)
            self._heard += 1
            self._waiting.append(accent)
        self._accent = accent

    def take(self, count: int) -> Accents:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return np.array(taken + [0.0] * (count - len(taken)), np.float32)


def listen(voices: Sequence[LoudAccents], pieces: Sequence[tuple[bytes, bool]]) -> None:
    """`feed` of each of these voices with its piece: (pcm, last)."""
    phases = [voice.framer.phase for voice in voices]
    for lanes in alike((phase, len(pcm), last) for phase, (pcm, last) in zip(phases, pieces, strict=True)):
        group, last = [voices[lane] for lane in lanes], pieces[lanes[0]][1]
        samples = to_float(b"".join([pieces[lane][0] for lane in lanes])).reshape(len(lanes), -1)
        level = decibels(power(*framed([voice.framer for voice in group], samples, last)))
        reference = hold([voice.reference for voice in group], level)
        loudness = ((level - reference + LOUD) / LOUD).clip(0.0, 1.0)
        for voice, loud in zip(group, loudness.tolist(), strict=True):
            voice.rise(loud)
