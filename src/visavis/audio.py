"""Sound as numbers: PCM16 mono, frame edges, streaming resampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

BYTES = 2
"""Bytes of one PCM16 sample."""


@dataclass(frozen=True, slots=True)
class Media:
    """The shape of a session's output: `rate` in Hz, `fps` frames a second. rate need not divide by fps."""

    rate: int = 24_000
    fps: int = 30

    def edge(self, frame: int) -> int:
        """The sample at which `frame` begins; frame k never drifts from k/fps seconds."""
        return frame * self.rate // self.fps

    def whole(self, samples: int) -> int:
        """How many whole frames `samples` samples hold."""
        frame = samples * self.fps // self.rate
        return frame + 1 if self.edge(frame + 1) <= samples else frame

    def covering(self, samples: int) -> int:
        """How many frames it takes to hold `samples` samples."""
        frame = self.whole(samples)
        return frame if self.edge(frame) == samples else frame + 1


def to_float(pcm: bytes) -> NDArray[np.float32]:
    """PCM16 -> float32 in -1..1."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    samples /= np.float32(32768)
    return samples


def to_pcm(samples: NDArray[np.floating]) -> bytes:
    """Floats in -1..1 (clipped) -> PCM16."""
    scaled: NDArray[np.int16] = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    return scaled.tobytes()


class Resampler:
    """Streaming PCM16 resampling; passes audio through when the rates are equal."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self._stream = None if source == target else soxr.ResampleStream(source, target, 1, dtype="int16")
        self._odd = b""

    def __call__(self, pcm: bytes, last: bool = False) -> bytes:
        """The next samples at the target rate; `last` flushes what the filter still holds.

        A sample cut in half between two pieces is put together again.
        """
        pcm = self._odd + pcm
        whole = len(pcm) - len(pcm) % BYTES
        pcm, self._odd = pcm[:whole], pcm[whole:]
        if self._stream is None:
            return pcm
        chunk: NDArray[np.int16] = self._stream.resample_chunk(np.frombuffer(pcm, "<i2"), last=last)
        return chunk.astype("<i2").tobytes()
