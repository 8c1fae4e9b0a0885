"""Recordings that people send to be animated: bounded in size, length and number."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from visavis import plugins
from visavis.animation import FaceStream, load_face
from visavis.audio import BYTES, to_pcm
from visavis.errors import VisavisError
from visavis.faces import FaceEngine
from visavis.faces.speech_face import TIMED
from visavis.media_files import open_sound
from visavis.settings import Settings
from visavis.track import Sound, Track

RATE = 24_000
"""Hz of the sound that is kept."""
MAX_SECONDS = 600
PIECE = 10 * RATE * BYTES
"""Bytes of sound between two looks at whether anybody still waits for the result."""

Check = Callable[[], object]
"""Called now and then; raises when the work is to be given up."""


@dataclass(frozen=True, slots=True)
class Animated:
    """A track with its sound, by which `engine`, and the `elapsed` seconds of work."""

    track: Track
    engine: str
    elapsed: float


class Engines:
    """The face engines that can listen, each loaded when it is first asked for. For one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, FaceEngine] = {}
        chosen = settings.face.engine
        # Only what is installed or configured: module:attr from the network would run any code.
        self.names = [name for name in plugins.names("faces") if name != TIMED]
        if chosen not in (*self.names, TIMED):
            self.names.insert(0, chosen)
        self.default = chosen if chosen != TIMED else "net"

    def check(self, name: str) -> None:
        """Raises `VisavisError` for an engine that is not offered."""
        if name not in self.names:
            raise VisavisError(
                "BAD_ENGINE", f"There is no face engine {name!r} here; choose one of {', '.join(self.names)}."
            )

    def load(self, name: str) -> FaceEngine:
        """Raises `VisavisError` when it cannot be had, with what to do."""
        if name not in self._loaded:
            self._loaded[name] = load_face(name, self._settings)
        return self._loaded[name]


def animate(path: Path, face: FaceEngine, fps: float, settings: Settings, check: Check) -> Animated:
    """The face and the sound of the audio or video file at `path`. Raises `VisavisError`."""
    began = time.perf_counter()
    pcm = listen(path, check)
    stream = FaceStream(RATE, fps, face, life=settings.face.life, seed=settings.assistant.seed)
    parts = []
    for first in range(0, len(pcm), PIECE):
        check()
        parts.append(stream.feed(pcm[first : first + PIECE]))
    parts.append(stream.feed(b"", last=True))
    track = Track(fps, np.concatenate(parts), sound=Sound(pcm, RATE))
    return Animated(track, face.name, time.perf_counter() - began)


def listen(path: Path, check: Check) -> bytes:
    """The whole sound of a file as mono PCM16 at `RATE`.

    Raises `VisavisError` when there is none, or more than `MAX_SECONDS`; not all files say how long they are.
    """
    with open_sound(path) as sound:
        if sound.seconds is not None and sound.seconds > MAX_SECONDS + 1:
            raise _too_long()
        resample = soxr.ResampleStream(sound.rate, RATE, 1)
        pcm = bytearray()
        for piece in sound.pieces():
            check()
            pcm += to_pcm(resample.resample_chunk(piece))
            if len(pcm) > (MAX_SECONDS + 1) * RATE * BYTES:
                raise _too_long()
        pcm += to_pcm(resample.resample_chunk(np.zeros(0, np.float32), last=True))
    return bytes(pcm)


def _too_long() -> VisavisError:
    return VisavisError(
        "TOO_LONG",
        f"The recording is longer than {MAX_SECONDS // 60} minutes; send a part of it, "
        "or use the command `visavis animate`, which has no limit.",
    )
