"""How far a voice opens its mouth by effort alone: louder and brighter vowels are wider ones."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from visavis.faces.mel import BANDS, CENTRES, HOPS, RATE, SAMPLES, Features

LOW, HIGH = 500.0, 2500.0
"""Hz between which a mouth sounds the louder the wider it is: above the voice's own hum, below hissing."""
RANGE, LEAST = 40.0, 12.0
"""Decibels below the loudest at which the mouth is shut, and the least of them where noise leaves no more."""
ABOVE_NOISE = 6.0
"""Decibels above the quietest moments that still count as them."""
FADE, RISE = 1.5, 3.0
"""Decibels a second by which the loudest and the quietest moments are forgotten."""
SILENCE = -60.0
"""Decibels that no sound falls below."""
MOST = 1.1

_FIRST, _LAST = np.searchsorted(CENTRES, [LOW, HIGH]).tolist()
_FPS = RATE // SAMPLES


class Effort:
    """One voice: features -> how far its mouth is open, `ahead` frames (2 or more) behind them."""

    def __init__(self, ahead: int) -> None:
        self._loudest, self._quietest = SILENCE, math.inf
        self._power = deque([0.0] * (ahead + 1), ahead + 1)

    def __call__(self, mel: Features) -> NDArray[np.float32]:
        """float32[frames] in 0..`MOST`: 0 rests, 1 is as loud as this voice gets."""
        return np.array([self.next(power) for power in powers(mel)], np.float32)

    def next(self, power: float) -> float:
        """One frame's, of its `powers`: a few plain numbers are faster than arrays."""
        level = 10 * math.log10(power)
        self._loudest = max(level, self._loudest - FADE / _FPS)
        self._quietest = min(level, self._quietest + RISE / _FPS)
        # the frame that is drawn and a half of either neighbour: as long as a mouth takes
        now = 10 * math.log10((self._power[0] + 2 * self._power[1] + self._power[2]) / 4 + 1e-9)
        self._power.append(power)
        shut = max(self._loudest - RANGE, self._quietest + ABOVE_NOISE)
        return min(max((now - shut) / max(self._loudest - shut, LEAST), 0.0), MOST)


def powers(mel: Features) -> list[float]:
    """How loud each frame is between `LOW` and `HIGH`."""
    bands = np.exp(mel.reshape(-1, HOPS, BANDS)[:, :, _FIRST:_LAST])
    found: list[float] = bands.sum((1, 2)).tolist()
    return found
