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
        self.media = media
        self.frames = 0
        self.rest = np.zeros(0, np.float32)

    @property
    def phase(self) -> Hashable:
        """Equal for those who cut the same sound at the same places."""
        return self.media, len(self.rest), self.frames * self.media.rate % self.media.fps

    def __call__(self, samples: Samples, last: bool) -> tuple[Samples, NDArray[np.intp]]:
        """The samples of the frames that are now whole, and where each frame begins in them, with the end of
        the last one: intp[frames + 1]. With `last`, the frame in progress is filled up with silence."""
        known, edges = framed([self], samples[None], last)
        return known[0], edges


def framed(
    framers: Sequence[Framer], samples: NDArray[np.float32], last: bool
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """The same of many that are in the same phase: float32[lanes, samples]; one's edges are everybody's."""
    media, first, rest = framers[0].media, framers[0].frames, len(framers[0].rest)
    known = (
        np.concatenate([np.stack([framer.rest for framer in framers]), samples], axis=1) if rest else samples
    )
    heard = media.edge(first) + known.shape[1]
    frames = media.covering(heard) if last else media.whole(heard)
    edges = np.arange(first, frames + 1) * media.rate // media.fps - media.edge(first)
    end = int(edges[-1])
    if end > known.shape[1]:
        known = np.pad(known, ((0, 0), (0, end - known.shape[1])))
    for framer, ahead in zip(framers, known[:, end:], strict=True):
        framer.frames += frames - first
        framer.rest = ahead.copy()  # or it would keep the sound of all
    return known[:, :end], edges


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
    ruler = peaks[0].fall * np.arange(1, values.shape[1] + 1)
    held: NDArray[np.float64] = values + ruler
    np.maximum(held[:, 0], [peak.peak for peak in peaks], out=held[:, 0])
    np.maximum.accumulate(held, axis=1, out=held)
    held -= ruler
    np.maximum(held, peaks[0].floor, out=held)
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
        now = decibels(power(samples, edges))
        return now, self.reference(now)


def power(samples: NDArray[np.float32], edges: NDArray[np.intp]) -> NDArray[Any]:
    """The mean squared sample of each frame, as `Framer` gives them: float32[..., samples] ->
    float[..., frames]."""
    lanes, count = samples.shape[:-1], len(edges) - 1
    if not count:
        return np.zeros((*lanes, 0))
    if samples.shape[-1] == count * edges[1]:  # all frames are equally long
        return squared(samples.reshape(*lanes, count, -1))
    return np.add.reduceat(np.square(samples), edges[:-1], axis=-1) / np.diff(edges)


def squared(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of squared samples: float32[..., samples] -> float32[...]."""
    power: NDArray[np.float32] = np.einsum("...s,...s->...", samples, samples)
    return power / np.float32(samples.shape[-1])


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
