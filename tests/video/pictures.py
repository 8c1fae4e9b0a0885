"""Pictures and sound whose place in time can be read back from a video."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from visavis.video import Picture

BITS, SIDE = 10, 16
"""A picture's number stands in it as squares, black and white, along the upper edge."""


@cache
def background(width: int, height: int) -> Picture:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red, green, blue = 60 + 120 * x / width, 70 + 100 * y / height, 140 - 60 * x / width
    return np.stack([red, green, blue], 2).astype(np.uint8)


def numbered(number: int, width: int = 192, height: int = 96) -> Picture:
    """A smooth coloured background with `number` in it."""
    picture = background(width, height).copy()
    for bit in range(BITS):
        picture[:SIDE, bit * SIDE : (bit + 1) * SIDE] = 235 if number >> bit & 1 else 20
    return picture


def number(picture: Picture) -> int:
    """The number in a decoded picture."""
    middle = SIDE // 2
    return sum((int(picture[middle, bit * SIDE + middle, 1]) > 128) << bit for bit in range(BITS))


def voice(samples: int, rate: int, seed: int = 0) -> NDArray[np.int16]:
    """Noise between 200 Hz and 3 kHz that never repeats: a shift of one sample shows."""
    noise = np.fft.rfft(np.random.default_rng(seed).normal(0, 6000, samples))
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    noise[(frequencies < 200) | (frequencies > 3000)] = 0
    return np.fft.irfft(noise, samples).astype("<i2")


def decode(media: bytes | Path) -> tuple[list[tuple[float, Picture]], list[float], NDArray[np.float32], int]:
    """What is in a file: pictures with their seconds, seconds of sound frames, samples -1..1, rate."""
    pictures: list[tuple[float, Picture]] = []
    times: list[float] = []
    sound, rate = [np.zeros(0, np.float32)], 0
    container: Any
    with av.open(io.BytesIO(media) if isinstance(media, bytes) else str(media), "r") as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                seen: Any = frame.to_ndarray(format="rgb24")
                pictures.append((float(frame.time or 0), seen))
            elif isinstance(frame, av.AudioFrame):
                times.append(float(frame.time or 0))
                sound.append(frame.to_ndarray().astype(np.float32)[0])
                rate = frame.sample_rate
    return pictures, times, np.concatenate(sound), rate


def shift(heard: NDArray[np.float32], said: NDArray[np.float64]) -> int:
    """Samples by which `heard` comes later than `said`, by cross-correlation."""
    size = 1 << (len(heard) + len(said)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size))
    best = int(np.argmax(np.fft.irfft(product, size)))
    return best - size if best > size // 2 else best
