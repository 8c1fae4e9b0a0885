"""What the face net hears: log-mel columns of speech at 24 kHz."""

from __future__ import annotations

import math

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
BEFORE = WINDOW - HOP
"""Samples before a frame that its windows reach back to."""
AT_ONCE = 96
"""Columns: whole frames, enough that what each call costs is shared, and few enough for a core's caches."""
TALLEST = 16
"""Columns in one product with the filters: BLAS would spread a larger one over all cores and spin on them."""

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
    """The sound of one voice, cut into whole frames for `features`."""

    def __init__(self) -> None:
        self._heard = np.zeros(BEFORE, np.float32)
        """What the windows of the next frame reach back to, and the beginning of that frame."""

    def __call__(self, samples: Samples) -> Features:
        """The features of the frames that are now whole; `samples` are at `RATE`."""
        found: Features = features(self.hear(samples)[None])[0]
        return found

    def hear(self, samples: Samples, last: bool = False) -> Samples:
        """The frames that are now whole, and in front of them the `BEFORE` samples that their windows reach
        back to. With `last`, the frame in progress is filled up with silence."""
        heard = np.concatenate([self._heard, samples])
        rest = (len(heard) - BEFORE) % SAMPLES
        if last and rest:
            heard = np.concatenate([heard, np.zeros(SAMPLES - rest, np.float32)])
            rest = 0
        end = len(heard) - rest
        self._heard = heard[end - BEFORE :].copy()
        return heard[:end]


def features(heard: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of voices of one length, each as `MelStream.hear` gives it: float32[lanes, BEFORE + samples] ->
    float32[lanes, frames, HOPS * BANDS]."""
    lanes, count = len(heard), (heard.shape[1] - BEFORE) // HOP
    row, step = heard.strides
    windows = np.lib.stride_tricks.as_strided(heard, (lanes, count, WINDOW), (row, HOP * step, step))
    bands = np.empty((lanes, count, BANDS), np.float32)
    together = max(1, AT_ONCE // max(1, count))
    padded = np.empty((min(lanes, together) * min(count, AT_ONCE), FFT), np.float32)
    padded[:, WINDOW:] = 0
    for lane in range(0, lanes, together):
        for column in range(0, count, AT_ONCE):
            part = slice(lane, lane + together), slice(column, column + AT_ONCE)
            _bands(windows[part], padded, bands[part])
    bands += np.float32(1e-6)
    return np.log(bands, out=bands).reshape(lanes, -1, HOPS * BANDS)


def _bands(windows: NDArray[np.float32], padded: NDArray[np.float32], bands: NDArray[np.float32]) -> None:
    """Energies: float32[lanes, columns, WINDOW] -> float32[lanes, columns, BANDS], by way of `padded`, which
    is zero behind the windows."""
    lanes, columns = windows.shape[:2]
    tapered = padded[: lanes * columns]
    np.multiply(windows, _TAPER, out=tapered.reshape(lanes, columns, FFT)[:, :, :WINDOW])
    spectrum = rfft(tapered)[:, : len(_FILTERS)]
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    rows = math.gcd(len(power), TALLEST)
    bands[:] = (power.reshape(-1, rows, len(_FILTERS)) @ _FILTERS).reshape(bands.shape)
