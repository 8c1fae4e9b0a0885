"""Which moments of speech the brows underline."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.framing import Framer, Loudness

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
        self._frames, self._loudness = Framer(media), Loudness(media.fps)
        self._lots = np.random.default_rng((seed % 2**32, 2)).uniform(-1.0, 1.0, 256).clip(0.0)
        self._slot = max(1, round(APART * media.fps))
        self._pole = float(np.exp(-1 / (SLOW * media.fps)))
        self._state = np.zeros(1)
        self._heard = 0
        self._waiting = np.zeros(0)

    def feed(self, pcm: bytes, phonemes: Iterable[Phoneme] | None, last: bool) -> None:
        now, reference = self._loudness(*self._frames(to_float(pcm), last))
        if not len(now):
            return
        slots = np.arange(self._heard, self._heard + len(now)) // self._slot
        peaks = np.clip((now - reference + LOUD) / LOUD, 0.0, 1.0) * self._lots[slots % len(self._lots)]
        accents, self._state = lfilter([1 - self._pole], [1, -self._pole], peaks, zi=self._state)
        self._heard += len(now)
        self._waiting = np.append(self._waiting, accents)

    def take(self, count: int) -> Accents:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return np.pad(taken, (0, count - len(taken))).astype(np.float32)
