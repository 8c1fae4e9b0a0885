"""What the OpenAI Realtime agent knows of a response that is being made, and of the microphone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from visavis.agents.openai_protocol import RATE
from visavis.audio import BYTES, to_float

WINDOW = RATE // 50
"""Samples in which loudness is measured (20 ms)."""
LOUD = 0.01
"""Loudness (RMS, full scale 1) above which a window may hold a voice: -40 dB."""
RECENT = 30
"""Windows in which the server may not have noticed a voice yet (0.6 s)."""
VOICE = 5
"""Loud windows that make a voice (0.1 s)."""


@dataclass(slots=True, eq=False)
class Response:
    """One response of the model; its id is the reply's."""

    id: str
    question: str = ""
    """The item of the user's speech that it answers, if it was spoken."""
    items: dict[str, int] = field(default_factory=dict)
    """Samples received of each of its messages, in order."""
    started: bool = False
    """The session knows of it."""
    cancelled: bool = False
    done: bool = False
    called: bool = False
    """It called a function."""
    text: bool = False
    """Some of its text has come."""
    sound: bool = False
    """Some of its sound has come."""
    heard: int | None = None
    """Samples of it that were heard, once it was cut off."""
    settled: set[str] = field(default_factory=set)
    """Items of which the provider was told how much was heard."""
    _half: bytes = b""

    @property
    def received(self) -> int:
        """Samples."""
        return sum(self.items.values())

    def take(self, item: str, data: bytes) -> bytes:
        """The whole samples of the next piece of sound; half a sample waits for its other half."""
        data = self._half + data
        whole = len(data) - len(data) % BYTES
        self._half = data[whole:]
        self.items[item] = self.items.get(item, 0) + whole // BYTES
        return data[:whole]

    def cuts(self) -> Iterator[tuple[str, int]]:
        """The items that were not heard to their end, and how many milliseconds of each were.

        While a response is still being made more of its last item may exist than was received.
        """
        if self.heard is None:
            return
        left = self.heard
        for number, (item, samples) in enumerate(self.items.items(), 1):
            complete = self.done or number < len(self.items)
            if left < samples or not complete:
                yield item, min(left, samples) * 1000 // RATE
            left = max(0, left - samples)


class Loudness:
    """Whether the microphone's sound may hold a voice that nobody has answered yet."""

    def __init__(self) -> None:
        self._rest = b""
        self._windows: deque[bool] = deque(maxlen=RECENT)
        self._loud = 0

    def add(self, pcm: bytes) -> None:
        """PCM16 at `RATE`."""
        data = self._rest + pcm
        size = WINDOW * BYTES
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        windows = to_float(data[:whole]).reshape(-1, WINDOW)
        loud = np.sqrt(np.mean(windows**2, axis=1)) > LOUD
        self._windows.extend(loud.tolist())
        self._loud += int(loud.sum())

    def forget(self) -> None:
        """What came so far is dealt with."""
        self._loud = 0
        self._windows.clear()
        self._rest = b""

    @property
    def voice(self) -> bool:
        """Since the last `forget`."""
        return self._loud >= VOICE

    @property
    def voice_now(self) -> bool:
        """In the last 0.6 s."""
        return sum(self._windows) >= VOICE
