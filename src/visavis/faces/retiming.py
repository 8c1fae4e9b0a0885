"""Frames at a model's own rate -> frames of the conversation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import COUNT, Weights
from visavis.audio import Media


def between(frames: Weights, at: NDArray[np.float64]) -> Weights:
    """Frames at fractional positions 0..len(frames)-1, linearly between their neighbours."""
    before = at.astype(np.intp)
    after = np.minimum(before + 1, len(frames) - 1)
    part = (at - before).astype(np.float32)[:, None]
    result: Weights = frames[before] * (1 - part) + frames[after] * part
    return result


class Retiming:
    """Frames of one turn at `fps` -> frames of `media`, interpolated at the middle of each."""

    def __init__(self, fps: int, media: Media, columns: int = COUNT) -> None:
        self._fps, self._media, self._columns = fps, media, columns
        self._samples = self._done = self._first = 0
        self._native = np.zeros((0, columns), np.float32)

    def __call__(self, native: Weights, samples: int, last: bool) -> Weights:
        """The frames of `media` that the next `native` frames decide, after `samples` more samples of sound;
        with `last`, all that the sound needs."""
        self._samples += samples
        self._native = np.concatenate([self._native, native])
        known, fps = self._first + len(self._native), self._media.fps
        ready = ((2 * known - 1) * fps + self._fps) // (2 * self._fps) if known else 0
        done, self._done = self._done, self._media.covering(self._samples) if last else max(ready, self._done)
        at = (np.arange(done, self._done) + 0.5) * (self._fps / fps) - 0.5 - self._first
        at = np.clip(at, 0, max(len(self._native) - 1, 0))
        if not len(at) or not len(self._native):  # less sound than one sample of the model's
            return np.zeros((len(at), self._columns), np.float32)
        result, needed = between(self._native, at), int(at[-1])
        self._first, self._native = self._first + needed, self._native[needed:]
        return result
