"""When somebody speaks, by loudness: enough for a simulator."""

from __future__ import annotations

from typing import Literal

import numpy as np

from visavis.audio import BYTES, to_float

LOUD = 0.01
"""Root mean square from which sound counts as voice (-40 dB)."""
FRAME = 0.02
ONSET, OFFSET = 0.1, 0.5
"""Seconds of voice that begin an utterance, and of silence that end it."""


class Ears:
    """Finds utterances in PCM16 at `rate`, counting samples only."""

    def __init__(self, rate: int, offset: float = OFFSET) -> None:
        self._offset = offset
        self._size = round(rate * FRAME) * BYTES
        self._rest = b""
        self._loud = self._quiet = 0
        self.speaking = False

    def hear(self, pcm: bytes) -> list[Literal["start", "end"]]:
        """What happened in the next samples, in order."""
        data = self._rest + pcm
        events: list[Literal["start", "end"]] = []
        whole = len(data) // self._size * self._size
        self._rest = data[whole:]
        for begin in range(0, whole, self._size):
            samples = to_float(data[begin : begin + self._size])
            loud = bool(np.sqrt(np.mean(samples**2)) > LOUD)
            self._loud, self._quiet = (self._loud + 1, 0) if loud else (0, self._quiet + 1)
            if not self.speaking and self._loud * FRAME >= ONSET - 1e-9:
                self.speaking = True
                events.append("start")
            elif self.speaking and self._quiet * FRAME >= self._offset - 1e-9:
                self.speaking = False
                events.append("end")
        return events

    def stop(self) -> bool:
        """The microphone is off; was somebody in the middle of an utterance?"""
        speaking, self.speaking, self._loud, self._quiet = self.speaking, False, 0, 0
        return speaking
