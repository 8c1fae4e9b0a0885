"""What the face net hears: log-mel columns of speech at 24 kHz."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from visavis.faces.framing import Samples

RATE, HOP, WINDOW, FFT, BANDS = 24_000, 200, 600, 1024, 40
"""Hz; then samples; a window ends where its hop ends, so a column looks at nothing that lies ahead."""
LOWEST, HIGHEST = 60.0, 7600.0
"""Hz; above that, speech recorded at 16 kHz has nothing."""
HOPS = 4
"""Columns in one frame of the net, which runs at 30 frames a second."""
SAMPLES = HOP * HOPS

Features = NDArray[np.float32]
"""float32[frames, HOPS * BANDS]: natural logarithms of band energies."""


def _edges() -> NDArray[np.float64]:
    """float64[BANDS + 2] in Hz, even on the HTK mel scale: a band reaches from one to the next but one."""
    low, high = (2595 * np.log10(1 + limit / 700) for limit in (LOWEST, HIGHEST))
    edges: NDArray[np.float64] = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    return edges


def _filters() -> NDArray[np.float32]:
    """float32[bins, BANDS]: triangles, bins up to the highest one used."""
    hertz = np.linspace(0, RATE / 2, FFT // 2 + 1)[:, None]
    rising = (hertz - _EDGES[:-2]) / (_EDGES[1:-1] - _EDGES[:-2])
    falling = (_EDGES[2:] - hertz) / (_EDGES[2:] - _EDGES[1:-1])
    triangles = np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)
    return np.ascontiguousarray(triangles[: int(np.flatnonzero(triangles.sum(1))[-1]) + 1])


_EDGES = _edges()
CENTRES = _EDGES[1:-1]
"""Hz of the bands' middles."""
_FILTERS = _filters()
_TAPER = np.hanning(WINDOW).astype(np.float32)


class MelStream:
    """Features of one voice; any number of whole frames at a time."""

    def __init__(self) -> None:
        self._history = np.zeros(WINDOW - HOP, np.float32)

    def __call__(self, samples: Samples) -> Features:
        """The features of `samples`, a multiple of `SAMPLES` of them at `RATE`."""
        return features([self.hear(samples)])[0]

    def hear(self, samples: Samples) -> Samples:
        """What `features` needs: `samples`, and before them those that its windows reach back to."""
        heard = np.concatenate([self._history, samples])
        self._history = heard[len(samples) :]
        return heard


def features(heard: Sequence[Samples]) -> list[Features]:
    """The features of many voices' frames; voices with the same number of them go together."""
    found = [np.zeros((0, HOPS * BANDS), np.float32)] * len(heard)
    for size in {len(samples) for samples in heard if len(samples) >= WINDOW}:
        lanes = [lane for lane, samples in enumerate(heard) if len(samples) == size]
        features = _features(np.stack([heard[lane] for lane in lanes]))
        for lane, each in zip(lanes, features, strict=True):
            found[lane] = each
    return found


def _features(heard: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of voices of one length, float32[lanes, samples] -> float32[lanes, frames, HOPS * BANDS]."""
    lanes, count = len(heard), (heard.shape[1] - WINDOW) // HOP + 1
    row, step = heard.strides
    views = np.lib.stride_tricks.as_strided(heard, (lanes, count, WINDOW), (row, HOP * step, step))
    windows = np.zeros((lanes, count, FFT), np.float32)
    np.multiply(views, _TAPER, out=windows[:, :, :WINDOW])
    spectrum = rfft(windows)[:, :, : len(_FILTERS)]
    power = spectrum.real**2
    power += spectrum.imag**2
    # One small product per frame: BLAS would spread a large one over all cores and spin on them.
    bands = power.reshape(-1, HOPS, len(_FILTERS)) @ _FILTERS
    bands += np.float32(1e-6)
    result: NDArray[np.float32] = np.log(bands, out=bands).reshape(lanes, -1, HOPS * BANDS)
    return result
