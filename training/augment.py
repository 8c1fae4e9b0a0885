"""Speech as it arrives: other rooms, devices, lines, loudness and vocal tracts. Everything random is drawn
from the generator that is passed in."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin, lfilter, resample_poly

from training.speech import RATE, Wave
from visavis.faces.mel import BANDS, HIGHEST, HOPS, LOWEST

SPEEDS = (0.85, 1.18)
"""Playing speech slower or faster moves pitch, formants and times at once: other bodies."""
TRACTS = 0.22
"""Natural logarithm of the most by which a vocal tract is longer or shorter than the voice's own."""


def speed(random: Generator) -> float:
    """A speed at which samples can be resampled exactly; half of the time 1."""
    return round(160 * random.uniform(*SPEEDS)) / 160 if random.random() < 0.5 else 1.0


def played(wave: Wave, factor: float) -> Wave:
    """`wave` played `factor` times as fast, a multiple of 1/160."""
    if factor == 1.0:
        return wave
    result: Wave = resample_poly(wave, 160, round(160 * factor)).astype(np.float32)
    return result


def distorted(wave: Wave, others: Sequence[Wave], random: Generator) -> Wave:
    """`wave` in some room, through some microphone and line, with noise and perhaps other voices behind."""
    sound: NDArray[np.floating] = wave
    if random.random() < 0.5:
        sound = fftconvolve(sound, _room(random))[: len(wave)]
    if random.random() < 0.6:
        sound = lfilter([1.0, -random.uniform(-0.6, 0.6)], [1.0], sound)
    if random.random() < 0.35:
        low_pass = firwin(63, random.uniform(3200, 7800), fs=RATE)
        sound = lfilter(low_pass, [1.0], np.pad(sound, (0, 31)))[31:]
    if random.random() < 0.1:
        sound = _telephone(sound)
    level = float(np.sqrt(np.mean(np.square(sound)))) + 1e-6
    sound = sound + _noise(len(wave), random) * level * 10 ** (-random.uniform(12, 45) / 20)
    if others and random.random() < 0.2:
        other = np.resize(others[int(random.integers(len(others)))], len(wave))
        ratio = level / (float(np.sqrt(np.mean(np.square(other)))) + 1e-6)
        sound = sound + other * ratio * 10 ** (-random.uniform(14, 26) / 20)
    result: Wave = (sound * (0.5 / (np.abs(sound).max(initial=0) + 1e-6))).astype(np.float32)
    return result


def opus(waves: Sequence[Wave], compression: float) -> list[Wave]:
    """The waves through the Opus codec; `compression` 0.9 is about 31 kb/s, 0.97 about 14."""
    import soundfile  # type: ignore[import-not-found]

    joined, file = np.concatenate(waves), io.BytesIO()
    soundfile.write(file, joined, RATE, format="OGG", subtype="OPUS", compression_level=compression)
    file.seek(0)
    samples, _ = soundfile.read(file, dtype="float32")
    samples = np.pad(samples, (0, max(0, len(joined) - len(samples))))[: len(joined)]
    return np.split(samples, np.cumsum([len(wave) for wave in waves])[:-1])


def _room(random: Generator) -> NDArray[np.float64]:
    """The response of a room: the direct sound and a tail of 60 to 350 ms that fades exponentially."""
    length = int(random.uniform(0.06, 0.35) * RATE)
    tail = random.standard_normal(length) * np.exp(-np.arange(length) / (length / 6))
    tail *= random.uniform(0.05, 0.35) / np.sqrt(np.sum(tail**2))
    tail[:24] = 0.0
    tail[0] = 1.0
    return tail


def _noise(count: int, random: Generator) -> NDArray[np.float64]:
    """Noise of one RMS: white, or brown to some degree."""
    noise = random.standard_normal(count)
    if random.random() > 0.3:
        noise = lfilter([1.0], [1.0, -random.uniform(0.85, 0.98)], noise)
    result: NDArray[np.float64] = noise / np.sqrt(np.mean(noise**2))
    return result


def _telephone(wave: NDArray[np.floating]) -> NDArray[np.float64]:
    """8 kHz and eight bits of the mu law (ITU-T G.711, continuous form)."""
    narrow = resample_poly(wave, 1, 3)
    peak = np.abs(narrow).max(initial=0) + 1e-6
    pressed = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    coarse = np.rint(pressed * 127) / 127
    wide = np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256)) / 255 * peak
    result: NDArray[np.float64] = resample_poly(wide, 3, 1)[: len(wave)]
    return np.pad(result, (0, len(wave) - len(result)))


def _mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def _band(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Which band, between bands too, is centred at a frequency."""
    low, high = _mel(LOWEST), _mel(HIGHEST)
    return np.asarray((_mel(hertz) - low) / (high - low) * (BANDS + 1) - 1)


_CENTRES = 700 * (
    10 ** ((_mel(LOWEST) + (_mel(HIGHEST) - _mel(LOWEST)) * np.arange(1, BANDS + 1) / (BANDS + 1)) / 2595) - 1
)
"""Hz of the bands' middles."""


class Microphones:
    """Changes of features that last as long as a voice goes on, one set a lane of the batch: gain, tone,
    noise floor, and the length of the vocal tract (all frequencies stretched)."""

    def __init__(self, lanes: int, random: Generator) -> None:
        self._random = random
        self._gain = np.zeros((lanes, BANDS), np.float32)
        self._floor = np.zeros(lanes, np.float32)
        self._heard = np.zeros((lanes, BANDS), np.float32)
        self.change(np.arange(lanes))

    def change(self, lanes: NDArray[np.intp]) -> None:
        """New microphones and bodies for these lanes."""
        count, random = len(lanes), self._random
        knots = random.standard_normal((count, 5)) * 0.7
        at = np.linspace(0, BANDS - 1, 5)
        tone = np.array([np.interp(np.arange(BANDS), at, knot) for knot in knots]).reshape(count, BANDS)
        self._gain[lanes] = tone + random.uniform(-3.0, 2.0, (count, 1))
        self._floor[lanes] = random.uniform(-13.8, -6.8, count)
        stretch = np.exp(random.uniform(-TRACTS, TRACTS, (count, 1)))
        self._heard[lanes] = np.clip(_band(_CENTRES * stretch), 0, BANDS - 1.001)

    def __call__(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[lanes, frames, HOPS * BANDS] as these microphones hear it."""
        lanes, frames = mel.shape[:2]
        bands = mel.reshape(lanes, frames, HOPS, BANDS)
        at = self._heard
        below = at.astype(np.intp)
        part = (at - below)[:, None, None].astype(np.float32)
        index = np.broadcast_to(below[:, None, None], bands.shape)
        low = np.take_along_axis(bands, index, 3)
        moved = low + (np.take_along_axis(bands, index + 1, 3) - low) * part
        moved += self._gain[:, None, None]
        hiss = self._random.standard_normal(bands.shape, np.float32) * np.float32(0.5)
        result: NDArray[np.float32] = np.logaddexp(moved, hiss + self._floor[:, None, None, None])
        return result.reshape(mel.shape)
