"""How far a voice opens its mouth by effort alone: louder and brighter vowels are wider ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.faces.framing import PeakHold
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

_HEARD = (CENTRES > LOW) & (CENTRES < HIGH)
_FPS = RATE // SAMPLES


class Effort:
    """One voice: features -> how far its mouth is open, `ahead` frames behind them."""

    def __init__(self, ahead: int) -> None:
        self._loudest, self._quietest = PeakHold(FADE / _FPS, SILENCE), PeakHold(RISE / _FPS, -np.inf)
        self._power = np.zeros(ahead + 1)

    def __call__(self, mel: Features) -> NDArray[np.float32]:
        """float32[frames] in 0..`MOST`: 0 rests, 1 is as loud as this voice gets."""
        power = np.exp(mel.reshape(-1, HOPS, BANDS)[:, :, _HEARD]).sum(2).mean(1).astype(np.float64)
        level, count = 10 * np.log10(power), len(power)
        known = np.concatenate([self._power, power])
        self._power = known[count:]
        # the frame that is drawn and a half of either neighbour: as long as a mouth takes
        now = 10 * np.log10((known[:count] + 2 * known[1 : count + 1] + known[2 : count + 2]) / 4 + 1e-9)
        loudest, quietest = self._loudest(level), -self._quietest(-level)
        shut = np.maximum(loudest - RANGE, quietest + ABOVE_NOISE)
        effort: NDArray[np.float64] = np.clip((now - shut) / np.maximum(loudest - shut, LEAST), 0.0, MOST)
        return effort.astype(np.float32)
