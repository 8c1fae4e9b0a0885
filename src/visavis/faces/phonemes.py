"""The `phonemes` engine: speech whose phoneme times are known is drawn, not guessed."""

from __future__ import annotations

import numpy as np

from visavis.arkit import Weights
from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.framing import QUIETEST, Framer, Loudness, PeakHold
from visavis.faces.visemes import VisemeTrack
from visavis.settings import Settings

LOUDNESS_POWER = 0.35
"""Vowels open with the 0.35th power of the voice's amplitude."""
HEADROOM = 4.0
"""Decibels from a voice's usual stressed vowels up to its loudest moment, which the reference follows."""
SOFTEST, LOUDEST = 0.55, 1.15
"""Bounds of a vowel's opening by loudness."""
FALL = 40.0
"""Decibels a second by which an opening may shrink: consonants between two vowels must not close them."""


class PhonemeStream:
    def __init__(self, media: Media) -> None:
        self._frames = Framer(media)
        self._loudness = Loudness(media.fps)
        self._level = PeakHold(FALL / media.fps, QUIETEST)
        self._track = VisemeTrack(media.fps)

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """Every frame of the audio so far: what is not known yet is taken for a mouth at rest."""
        if phonemes:
            self._track.add(phonemes)
        now, reference = self._loudness(*self._frames(to_float(pcm), last))
        opening = 10 ** (LOUDNESS_POWER / 20 * (self._level(now) - reference + HEADROOM))
        return self._track.draw(np.clip(opening, SOFTEST, LOUDEST))


class PhonemeEngine:
    name = "phonemes"

    def open(self, media: Media, seed: int) -> PhonemeStream:
        return PhonemeStream(media)


def load(settings: Settings) -> PhonemeEngine:
    return PhonemeEngine()
