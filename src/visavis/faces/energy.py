"""The `energy` engine, the last resort: the mouth follows loudness and brightness of any sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from visavis.arkit import COUNT, INDEX, Weights
from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.framing import QUIETEST, Framer, Loudness, Samples
from visavis.settings import Settings

RANGE = 24.0
"""Decibels from the voice's loudest down to a closed mouth."""
WIDEST = 0.4
"""jawOpen of the loudest, darkest sound."""
SMOOTH = 0.03
"""Time constant in seconds of the mouth."""
DARK, BRIGHT = 500.0, 3000.0
"""Hz of the mean frequency: a rounded vowel, a sibilant. Bright sounds spread the lips and raise the jaw."""
OPENED = {
    "mouthLowerDownLeft": 0.25,
    "mouthLowerDownRight": 0.25,
    "mouthUpperUpLeft": 0.12,
    "mouthUpperUpRight": 0.12,
}
ROUNDED = {"mouthPucker": 0.5, "mouthFunnel": 0.3}
SPREAD = {
    "mouthStretchLeft": 0.15,
    "mouthStretchRight": 0.15,
    "mouthSmileLeft": 0.12,
    "mouthSmileRight": 0.12,
}


class EnergyStream:
    def __init__(self, media: Media) -> None:
        self._rate = media.rate
        self._frames = Framer(media)
        self._loudness = Loudness(media.fps)
        self._before = np.zeros(1, np.float32)
        self._pole = float(np.exp(-1 / (SMOOTH * media.fps)))
        self._mouth = np.zeros((1, 3))

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        samples, edges = self._frames(to_float(pcm), last)
        if not len(samples):
            return np.zeros((0, COUNT), np.float32)
        now, reference = self._loudness(samples, edges)
        loud = np.clip(1 + (now - reference) / RANGE, 0.0, 1.0) * (now > QUIETEST)
        bright = self._brightness(samples, edges)
        targets = np.column_stack([loud**2 * (1 - 0.6 * bright), loud * (1 - bright) ** 2, loud * bright])
        mouth, self._mouth = lfilter([1 - self._pole], [1, -self._pole], targets, axis=0, zi=self._mouth)
        return _shapes(mouth)

    def _brightness(self, samples: Samples, edges: NDArray[np.intp]) -> NDArray[np.float64]:
        """0 dark .. 1 bright: the root of the mean squared frequency, from the energy of the differences."""
        steps = np.diff(samples, prepend=self._before).astype(np.float64)
        self._before = samples[-1:]
        power, change = (np.add.reduceat(x.astype(np.float64) ** 2, edges[:-1]) for x in (samples, steps))
        hertz = np.sqrt(change / (power + 1e-9)) * self._rate / (2 * np.pi)
        bright: NDArray[np.float64] = np.clip(
            np.log(np.maximum(hertz, 1.0) / DARK) / np.log(BRIGHT / DARK), 0.0, 1.0
        )
        return bright


def _shapes(mouth: NDArray[np.float64]) -> Weights:
    """Weights of opening, rounding and spreading: float64[n, 3] in 0..1."""
    opening, rounding, spreading = mouth.T
    weights = np.zeros((len(mouth), COUNT), np.float32)
    weights[:, INDEX["jawOpen"]] = WIDEST * opening
    for amount, shapes in ((opening, OPENED), (rounding * opening, ROUNDED), (spreading, SPREAD)):
        for name, gain in shapes.items():
            weights[:, INDEX[name]] = gain * amount
    return np.clip(weights, 0.0, 1.0)


class EnergyEngine:
    name = "energy"

    def open(self, media: Media, seed: int) -> EnergyStream:
        return EnergyStream(media)


def load(settings: Settings) -> EnergyEngine:
    return EnergyEngine()
