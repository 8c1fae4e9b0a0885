"""One user's microphone: frames, voice activity, echo, and the recent past."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from visavis.audio import BYTES, to_float
from visavis.echo import EchoGate
from visavis.meters import Meter
from visavis.stages import VAD_FRAME, Samples, VoiceActivity
from visavis.turntaking import samples

LONGEST = samples(60.0)
"""Samples of the past that are kept at most."""
ECHO_LINGERS = samples(0.6)
"""Playback can still be heard this long after it ended: its way through the air, the room, the buffers."""


class Microphone:
    """Positions are samples since the conversation began, at `LISTEN_RATE`."""

    def __init__(self, voices: VoiceActivity, meter: Meter) -> None:
        self.heard = 0
        """The end of the last whole frame."""
        self._voices, self._meter = voices, meter
        self._voice = meter.timed(voices.open())
        self._gate = EchoGate()
        self._echo_until = 0
        self._past: deque[Samples] = deque(maxlen=LONGEST // VAD_FRAME)
        self._rest = bytearray()
        self._rest_playing = bytearray()

    def reset(self) -> None:
        """The microphone has just been switched on: what comes does not continue what came."""
        self._past.clear()
        self._voice = self._meter.timed(self._voices.open())
        self._rest.clear()
        self._rest_playing.clear()

    def frames(self, pcm: bytes, playing: bytes | None, learn: bool) -> Iterator[tuple[float, bool]]:
        """For each new whole frame the probability of voice and whether it is the user's, not an echo.

        `playing`: PCM16 as long as `pcm`, what the user was hearing meanwhile; None while nothing is played.
        `learn`: see `EchoGate.frame`.
        """
        self._rest += pcm
        self._rest_playing += bytes(len(pcm)) if playing is None else playing
        if playing is not None:
            self._echo_until = self.heard + len(self._rest) // BYTES + ECHO_LINGERS
        size = VAD_FRAME * BYTES
        while len(self._rest) >= size:
            frame, reference = to_float(bytes(self._rest[:size])), bytes(self._rest_playing[:size])
            del self._rest[:size], self._rest_playing[:size]
            self._past.append(frame)
            self.heard += VAD_FRAME
            probability = self._voice(frame)
            user = self.heard > self._echo_until or self._gate.frame(frame, to_float(reference), learn)
            yield probability, user

    def flush(self) -> Iterator[tuple[float, bool]]:
        """The last frame, completed with silence."""
        if self._rest:
            yield from self.frames(bytes(VAD_FRAME * BYTES - len(self._rest)), None, learn=False)

    def audio(self, start: int, end: int) -> Samples:
        """float32: what was heard from `start` to `end`, as far as it is still known."""
        first = self.heard - len(self._past) * VAD_FRAME
        begin, stop = max(0, start - first) // VAD_FRAME, -(-(end - first) // VAD_FRAME)
        frames = [frame for index, frame in enumerate(self._past) if begin <= index < stop]
        if not frames:
            return np.zeros(0, np.float32)
        offset = first + begin * VAD_FRAME
        return np.concatenate(frames)[max(0, start - offset) : max(0, end - offset)]

    def forget(self, before: int) -> None:
        """Nobody will ask for what was heard before sample `before`."""
        while self._past and self.heard - (len(self._past) - 1) * VAD_FRAME <= before:
            self._past.popleft()
