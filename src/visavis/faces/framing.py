"""Sound cut into frames, and how loud they are: what every face engine begins with."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

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
        known = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        end = int(edges[-1])
        if end > len(known):
            known = np.concatenate([known, np.zeros(end - len(known), np.float32)])
        self._rest = known[end:]
        return known[:end], edges


class PeakHold:
    """Follows a curve upwards at once and lets it fall by at most `fall` a frame, never below `floor`."""

    def __init__(self, fall: float, floor: float) -> None:
        self.fall, self.floor, self.peak = fall, floor, floor

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        held: NDArray[np.float64] = hold([self], values[None])[0]
        return held


def hold(peaks: Sequence[PeakHold], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each of `peaks`, which fall alike, makes of its row: float64[len(peaks), n]."""
    if not values.shape[1]:
        return values
    # Beside a ruler that falls with them, peaks stand still.
    ruler = peaks[0].fall * np.arange(values.shape[1] + 1)
    before = np.array([[peak.peak] for peak in peaks])
    still = np.maximum.accumulate(np.concatenate([before, values], axis=1) + ruler, axis=1)
    held: NDArray[np.float64] = np.maximum(still - ruler, peaks[0].floor)[:, 1:]
    for peak, last in zip(peaks, held[:, -1].tolist(), strict=True):
        peak.peak = last
    return held


class Loudness:
    """Loudness of the frames of one turn, against what is loud for this voice; known at each frame's end."""

    def __init__(self, fps: int) -> None:
        self.reference = PeakHold(fall=1.5 / fps, floor=QUIETEST)
        """The loudest level so far, which fades by 1.5 dB a second."""

    def __call__(self, samples: Samples, edges: NDArray[np.intp]) -> tuple[Decibels, Decibels]:
        """Each frame's loudness and the reference."""
        now = levels([(samples, edges)])
        return now, self.reference(now)


def levels(pieces: Sequence[tuple[Samples, NDArray[np.intp]]]) -> Decibels:
    """Loudness of the frames of many pieces of sound, one after another; each is as `Framer` gives it."""
    samples = np.concatenate([samples for samples, _ in pieces])
    if not len(samples):
        return np.zeros(0)
    offsets = np.cumsum([0, *(len(samples) for samples, _ in pieces[:-1])])
    starts = [edges[:-1] + offset for (_, edges), offset in zip(pieces, offsets.tolist(), strict=True)]
    begins = np.concatenate(starts)
    sizes = np.diff(begins, append=len(samples))
    power = np.add.reduceat(samples * samples, begins) / sizes
    return decibels(power)


def decibels(power: NDArray[Any]) -> Decibels:
    """The level of mean squared samples."""
    level: Decibels = 10 * np.log10(power.astype(np.float64) + 10 ** (FLOOR / 10))
    return level


def alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of equal keys: what is alike can be worked out together."""
    found: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return list(found.values())


def split(values: Any, counts: Sequence[int]) -> list[Any]:
    """What stands for many pieces one after another -> for each of them."""
    return [values[begin:end] for begin, end in pairwise(accumulate(counts, initial=0))]
