"""How far a voice opens its mouth by effort alone: louder and brighter vowels are wider ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.faces.framing import PeakHold, hold
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
        self.loudest = PeakHold(FADE / _FPS, SILENCE)
        self.hush = PeakHold(RISE / _FPS, -math.inf)
        """The quietest moments, upside down."""
        self.before = [0.0] * (ahead + 1)
        """How loud the last frames were."""

    def __call__(self, mel: Features) -> NDArray[np.float32]:
        """float32[frames] in 0..`MOST`: 0 rests, 1 is as loud as this voice gets."""
        found: NDArray[np.float32] = efforts([self], mel[None])[0]
        return found


def efforts(voices: Sequence[Effort], mel: Features) -> NDArray[np.float32]:
    """The same of many voices, float32[lanes, frames, ...] -> float32[lanes, frames]."""
    lanes, frames = mel.shape[:2]
    bands = np.exp(mel.reshape(lanes, frames, HOPS, BANDS)[..., _FIRST:_LAST])
    power = bands.sum((2, 3)).astype(np.float64)
    level = 10 * np.log10(power)
    loudest = hold([voice.loudest for voice in voices], level)
    quietest = -hold([voice.hush for voice in voices], -level)
    heard = np.concatenate([[voice.before for voice in voices], power], axis=1)
    for voice, last in zip(voices, heard[:, frames:].tolist(), strict=True):
        voice.before = last
    # the frame that is drawn and a half of either neighbour: as long as a mouth takes
    around = heard[:, :frames] + 2 * heard[:, 1 : frames + 1] + heard[:, 2 : frames + 2]
    now = 10 * np.log10(around / 4 + 1e-9)
    shut = np.maximum(loudest - RANGE, quietest + ABOVE_NOISE)
    effort: NDArray[np.float64] = (now - shut) / np.maximum(loudest - shut, LEAST)
    return effort.clip(0.0, MOST).astype(np.float32)
