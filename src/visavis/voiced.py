"""Time that passes only while somebody speaks: pauses do not count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.audio import BYTES, to_float

WINDOW = 0.02
"""Seconds in which loudness is measured."""
PAUSE = 10 ** (-26 / 20)
"""Windows below this share of the loud ones (90th percentile of loudness) are pauses."""


class VoicedTime:
    """Seconds of sound and of the voice in it, in both directions; beyond the known sound all is voice."""

    def __init__(self, rate: int) -> None:
        self._window = round(rate * WINDOW)
        self._rest = bytearray()
        """Sound that nobody has listened to yet."""
        self._much = rate * BYTES
        self._loudness: list[NDArray[np.float32]] = []
        self._times: NDArray[np.float64] = np.zeros(1)
        self._voiced: NDArray[np.float64] = np.zeros(1)
        self._stale = False

    def add(self, pcm: bytes) -> None:
        """The next PCM16 of the sound."""
        self._rest += pcm
        self._stale = True
        if len(self._rest) >= self._much:
            self._listen()

    def _listen(self) -> None:
        """A second at once: replies without words of their own need it seldom, pieces of sound are many."""
        size = self._window * BYTES
        whole = len(self._rest) - len(self._rest) % size
        windows = to_float(bytes(self._rest[:whole])).reshape(-1, self._window)
        del self._rest[:whole]
        self._loudness.append(np.sqrt(np.mean(windows**2, axis=1)))

    def at(self, seconds: float) -> float:
        """Seconds of voice in the first `seconds`."""
        self._measure()
        beyond = max(0.0, seconds - float(self._times[-1]))
        return float(np.interp(seconds, self._times, self._voiced)) + beyond

    def begin(self, voiced: float) -> float:
        """When the voice goes on after `voiced` seconds of it: behind a pause at that point."""
        return self._moment(voiced, "right")

    def end(self, voiced: float) -> float:
        """When `voiced` seconds of voice have been heard: before a pause at that point."""
        return self._moment(voiced, "left")

    def _moment(self, voiced: float, side: str) -> float:
        self._measure()
        # Sums of windows differ from multiples of them in the last digits.
        wanted = voiced + 1e-9 if side == "right" else voiced - 1e-9
        after = int(np.searchsorted(self._voiced, wanted))
        if after >= len(self._voiced):
            return float(self._times[-1] + voiced - self._voiced[-1])
        if after == 0:
            return 0.0
        missing = max(0.0, voiced - float(self._voiced[after - 1]))
        return float(self._times[after - 1]) + min(missing, WINDOW)

    def _measure(self) -> None:
        if not self._stale:
            return
        self._stale = False
        self._listen()
        loudness = np.concatenate(self._loudness)
        self._loudness = [loudness]
        if len(loudness):
            voice = loudness >= np.percentile(loudness, 90) * PAUSE
            counts = np.concatenate(([0.0], np.cumsum(voice, dtype=np.float64)))
            self._voiced = counts * WINDOW
            self._times = np.arange(len(counts), dtype=np.float64) * WINDOW
