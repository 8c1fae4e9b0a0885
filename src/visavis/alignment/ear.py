"""What two voices that say the same have in common: spectrum, loudness, and the mouth of the face net."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from visavis.alignment.path import Columns
from visavis.arkit import INDEX
from visavis.audio import to_pcm
from visavis.faces import FaceEngine
from visavis.faces.framing import Framer, Samples
from visavis.faces.mel import BANDS, MelStream
from visavis.faces.net import NATIVE
from visavis.faces.viseme_table import CHANNELS

SAMPLE_RATE = NATIVE.rate
"""Hz of what is heard."""
RATE = 60
"""Columns a second."""
QUIET, LOUD = 5, 95
"""Percentiles that are taken for a recording's noise and for its voice: of all its columns, and of those that
are not `BELOW` decibels or more below its loudest."""
BELOW = 30.0
DEPTH = 12.0
"""Natural logarithms of energy below the loudest bands that are told apart from silence."""
CEPSTRA = slice(1, 14)
"""Coefficients of the log spectrum's cosine transform; the first, loudness, comes by itself."""
SLOPE = 2
"""Columns to either side from which the change of the spectrum is taken."""
WEIGHTS = 1.0, 0.5, 1.2
"""Of spectrum, change and movements; ten decibels of loudness weigh one."""
OVER_NOISE, LOWEST, HIGHEST = 8.0, -34.0, -10.0
"""A column is speech so many decibels above the noise, but this threshold lies between these two, in decibels
from the voice."""
MUTED = 3.0
"""Decibels below the threshold from which on loudness does not matter."""
SILENT, UNLIKE, MOST = 0.3, 8.0, 6.0
"""What it costs to take a column below the threshold for silence; in how many decibels above it that rises by
one, about what a mismatch costs; and by how much at most."""
_STILL = 0.02
"""A movement of the net's mouth that is as good as none."""
_SHAPES = [INDEX[shapes[0]] for name, shapes in CHANNELS.items() if name != "tongue"]


@dataclass(frozen=True, slots=True)
class Noise:
    """A recording's noise against its voice: natural logarithms float32[BANDS], and the decibels below which
    there is no speech."""

    spectrum: NDArray[np.float32]
    threshold: float


class Ear:
    """Hears one voice, a piece at a time, and keeps what `columns` needs: 0.2 kB a column."""

    def __init__(self, net: FaceEngine) -> None:
        self._frames, self._mel, self._face = Framer(NATIVE), MelStream(), net.open(NATIVE, 0)
        self._spectra: list[NDArray[np.float32]] = []
        self._levels: list[NDArray[np.float32]] = []
        self._moves: list[NDArray[np.float32]] = []
        self.samples = 0

    def feed(self, samples: Samples) -> None:
        """Samples at `SAMPLE_RATE`, all in all `self.samples`."""
        self.samples += len(samples)
        self._hear(samples, last=False)

    def close(self) -> None:
        """The voice has ended."""
        self._hear(np.zeros(0, np.float32), last=True)

    def _hear(self, samples: Samples, last: bool) -> None:
        whole, _ = self._frames(samples, last)
        spectra = self._mel(whole).reshape(-1, 2, BANDS).mean(1)
        power = np.square(whole).reshape(len(spectra), SAMPLE_RATE // RATE).mean(1)
        self._spectra.append(spectra)
        self._levels.append(np.float32(10) * np.log10(power + np.float32(1e-9)))
        weights = self._face.feed(to_pcm(whole), None, last)
        closed = weights[:, INDEX["mouthClose"]] / np.maximum(weights[:, INDEX["jawOpen"]], _STILL)
        self._moves.append(np.column_stack([weights[:, _SHAPES], np.minimum(closed, 1)]))

    @property
    def loudness(self) -> float:
        """Decibels (full scale is 0) of the loudest column."""
        return float(np.concatenate(self._levels).max())

    def levels(self) -> NDArray[np.float32]:
        """float32[columns]: decibels from the voice."""
        level = np.concatenate(self._levels)
        around = np.pad(level, 1, "edge")
        smooth = (around[:-2] + np.float32(2) * level + around[2:]) / np.float32(4)
        result: NDArray[np.float32] = smooth - np.float32(np.percentile(smooth[_loud(smooth)], LOUD))
        return result

    def _against_voice(self) -> NDArray[np.float32]:
        """float32[columns, BANDS]: spectra against the loud bands of the voice."""
        spectra = np.concatenate(self._spectra)
        loud = spectra[_loud(np.concatenate(self._levels))]
        result: NDArray[np.float32] = spectra - np.float32(np.percentile(loud, LOUD))
        return result

    def noise(self) -> Noise:
        spectra, levels = self._against_voice(), self.levels()
        quietest = np.percentile(levels, QUIET)
        spectrum = spectra[levels <= quietest].mean(0)
        threshold = quietest + OVER_NOISE
        return Noise(
            np.maximum(spectrum, -DEPTH).astype(np.float32), float(np.clip(threshold, LOWEST, HIGHEST))
        )

    def columns(self, noise: Noise) -> Columns:
        """What was heard, as it would be in that noise."""
        spectra = np.logaddexp(self._against_voice(), noise.spectrum)
        cepstra = dct(spectra, axis=1, norm="ortho")[:, CEPSTRA]
        around = np.pad(cepstra, ((SLOPE, SLOPE), (0, 0)), "edge")
        faces = np.concatenate(self._moves)
        at = (np.arange(len(spectra)) + 0.5) * (NATIVE.fps / RATE) - 0.5
        moves = np.column_stack([np.interp(at, np.arange(len(faces)), curve) for curve in faces.T])
        levels = self.levels()
        speech = levels > self.noise().threshold
        spectrum, change, movement = WEIGHTS
        parts = (
            _even(cepstra - cepstra[speech].mean(0), speech, spectrum),
            _even(around[2 * SLOPE :] - around[: -2 * SLOPE], speech, change),
            _even(moves, speech, movement),
            np.maximum(levels, noise.threshold - MUTED)[:, None] / 10,
        )
        return np.concatenate(parts, axis=1).astype(np.float32)


def _loud(levels: NDArray[np.float32]) -> NDArray[np.bool_]:
    loud: NDArray[np.bool_] = levels > levels.max() - np.float32(BELOW)
    return loud


def silence(levels: NDArray[np.float32], noise: Noise) -> NDArray[np.float32]:
    """float32[columns]: what it costs to take each for silence."""
    over = (levels - np.float32(noise.threshold)) / np.float32(UNLIKE)
    cost: NDArray[np.float32] = np.clip(over, 0, MOST) + np.float32(SILENT)
    return cost


def _even(values: NDArray[np.floating], speech: NDArray[np.bool_], weight: float) -> NDArray[np.floating]:
    """Every feature with the same spread in speech, all of them together with that of one times `weight`."""
    spread = values[speech].std(0) + _STILL
    result: NDArray[np.floating] = values / spread * (weight / np.sqrt(values.shape[1]))
    return result
