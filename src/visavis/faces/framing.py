"""Sound cut into frames, and how loud they are: what every face engine begins with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.audio import Media

Samples = NDArray[np.float32]
"""float32[n] in -1..1 at the media's rate."""
Decibels = NDArray[np.float64]
"""float64[n]: decibels relative to full scale, one value a frame."""

FLOOR = -70.0
"""Decibels of what counts as no sound at all."""
QUIETEST = -45.0
"""What is taken for a voice's level before anything louder was heard, so that noise does not count as one."""


class Framer:
    """Collects the samples of one turn and gives them back in whole frames."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._frames = self._samples = 0
        self._rest = np.zeros(0, np.float32)

    def __call__(self, samples: Samples, last: bool) -> tuple[Samples, NDArray[np.intp]]:
        """The samples of the frames that are now whole, and where each frame begins in them, with the end of
        the last one: intp[frames + 1]. With `last`, the frame in progress is filled up with silence."""
        media, first = self._media, self._frames
        self._samples += len(samples)
        self._frames = media.covering(self._samples) if last else media.whole(self._samples)
        edges = np.arange(first, self._frames + 1) * media.rate // media.fps
        edges -= edges[0]
        known = np.concatenate([self._rest, samples])
        missing = max(0, int(edges[-1]) - len(known))
        self._rest = known[edges[-1] :]
        return np.pad(known[: edges[-1]], (0, missing)), edges


class PeakHold:
    """Follows a curve upwards at once and lets it fall by at most `fall` a frame, never below `floor`."""

    def __init__(self, fall: float, floor: float) -> None:
        self._fall, self._floor, self._peak = fall, floor, floor

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        slope = self._fall * np.arange(1, len(values) + 1)
        risen = np.maximum(np.maximum.accumulate(values + slope), self._peak) - slope
        held: NDArray[np.float64] = np.maximum(risen, self._floor)
        self._peak = float(held[-1]) if len(held) else self._peak
        return held


class Loudness:
    """Loudness of the frames of one turn, against what is loud for this voice; known at each frame's end."""

    def __init__(self, fps: int) -> None:
        self._reference = PeakHold(fall=1.5 / fps, floor=QUIETEST)

    def __call__(self, samples: Samples, edges: NDArray[np.intp]) -> tuple[Decibels, Decibels]:
        """Each frame's loudness and the loudest level so far, which fades by 1.5 dB a second."""
        if len(edges) < 2:
            return np.zeros(0), np.zeros(0)
        power = np.add.reduceat(samples.astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
        now = 10 * np.log10(power + 10 ** (FLOOR / 10))
        return now, self._reference(now)
