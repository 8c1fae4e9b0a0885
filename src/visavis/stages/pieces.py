"""Long audio cut into pieces that a recogniser can hear at once, and silence left out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.stages import LISTEN_RATE, Samples

SHORTEST_PIECE, LONGEST_PIECE = 8 * LISTEN_RATE, 15 * LISTEN_RATE
"""Samples: longer audio is cut between these at its quietest point, and heard in pieces."""
LEAD = LISTEN_RATE // 5
"""Samples of silence kept before the first sound: with more, a recogniser may invent a word."""
BLOCK = LISTEN_RATE // 100
"""Samples in one step of the loudness curve."""
SILENCE = 1e-3
"""Peak amplitude (-60 dB) below which there is nothing to hear."""


def without_lead(audio: Samples) -> Samples:
    """`audio` from `LEAD` samples before its first sound (30 dB below its loudest 10 ms); empty if silent."""
    if not len(audio) or np.abs(audio).max() < SILENCE:
        return audio[:0]
    power = _power(audio)
    first = int(np.argmax(power >= power.max() * 1e-3)) * BLOCK
    return audio[max(0, first - LEAD) :]


def pieces(audio: Samples) -> Iterator[Samples]:
    """`audio` cut at its quietest points into pieces of at most `LONGEST_PIECE` samples."""
    while len(audio) > LONGEST_PIECE:
        power = np.convolve(_power(audio[SHORTEST_PIECE:LONGEST_PIECE]), np.ones(20), "valid")  # 0.2 s
        cut = SHORTEST_PIECE + (int(np.argmin(power)) + 10) * BLOCK
        yield audio[:cut]
        audio = audio[cut:]
    if len(audio):
        yield audio


def _power(audio: Samples) -> NDArray[np.floating]:
    """Mean square of each `BLOCK`; the last one may be short."""
    starts = np.arange(0, len(audio), BLOCK)
    power: NDArray[np.floating] = np.add.reduceat(audio * audio, starts) / BLOCK
    return power
