"""What the net learns: the curves of the phonemes, as eleven channels and the closure of the lips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.speech import RATE, Utterance, Wave
from visavis.arkit import INDEX
from visavis.events import Phoneme
from visavis.faces.framing import PeakHold
from visavis.faces.mel import SAMPLES
from visavis.faces.viseme_table import CHANNELS
from visavis.faces.visemes import curves

FPS = RATE // SAMPLES
CLOSURE = len(CHANNELS)
"""Where the closure of the lips (0 open .. 1 pressed) stands after the channels."""
OUTPUTS = CLOSURE + 1
LOUDNESS_POWER = 0.3
"""Vowels open with this power of the voice's amplitude, about as where phonemes are known; what people open
more when they are louder comes from `visavis.faces.effort`."""
SOFTEST, LOUDEST = 0.3, 1.4
FALL = 60.0
"""Decibels a second by which an opening may shrink: consonants between two vowels must not close them."""
QUIETEST = -70.0

_SOURCES = np.array([INDEX[shapes[0]] for shapes in CHANNELS.values()])

Labels = NDArray[np.float32]
"""float32[frames, OUTPUTS]."""


def opening(wave: Wave) -> NDArray[np.float64]:
    """float64[frames]: how far vowels open, from each frame's loudness against the utterance's loud parts."""
    frames = len(wave) // SAMPLES
    power = (wave[: frames * SAMPLES].reshape(frames, SAMPLES).astype(np.float64) ** 2).mean(1)
    level = PeakHold(FALL / FPS, QUIETEST)(10 * np.log10(power + 1e-9))
    return np.clip(10 ** (LOUDNESS_POWER / 20 * (level - np.percentile(level, 90))), SOFTEST, LOUDEST)


def labels(spoken: Utterance, speed: float = 1.0) -> Labels:
    """The labels of an utterance that is played `speed` times as fast."""
    wave = spoken.wave()
    count = int(len(wave) / speed) // SAMPLES
    loud = opening(wave)
    loud = np.interp((np.arange(count) + 0.5) * speed, np.arange(len(loud)) + 0.5, loud)
    faster = (Phoneme(p.symbol, p.start / speed, p.end / speed, p.stress) for p in spoken.phonemes)
    weights = curves(faster, count, FPS, loud)
    jaw, closed = weights[:, INDEX["jawOpen"]], weights[:, INDEX["mouthClose"]]
    closure = np.where(jaw > 1e-4, closed / np.maximum(jaw, 1e-4), 0.0)
    return np.column_stack([weights[:, _SOURCES], closure]).astype(np.float32)
