"""Who moves the face: an engine loaded once, and a light stream per turn.

An engine is chosen by name through the entry points `visavis.faces`; each names a function
`load(settings) -> FaceEngine`. Streams run in a worker thread, one call at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import Weights
from visavis.audio import Media
from visavis.events import Drawing, Emotion, Phoneme


class FaceStream(Protocol):
    """The face of one turn."""

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """The frames that are now certain: float32[n, 52] in 0..1; n may be 0 while looking ahead.

        `pcm` continues the turn at the media's rate and ends at a frame's edge; `phonemes` are newly known
        ones in seconds from the turn's start (they may lie ahead of the audio). After `last`, exactly one
        frame per frame of audio has been returned in all.
        """
        ...


@runtime_checkable
class DrawnStream(FaceStream, Protocol):
    """The face of one turn by an engine that draws its pictures itself."""

    def drawings(self) -> tuple[Drawing, ...]:
        """Those of the frames that the last `feed` returned, one for each.

        A drawing is made when somebody looks, or never: what it costs belongs there and not into `feed`.
        """
        ...


class ExpressiveFace(DrawnStream, Protocol):
    """The face of one turn of a conversation; it never raises. Without drawings its weights are drawn."""

    def express(self, emotions: tuple[Emotion, ...]) -> None:
        """Emotions that became known, in seconds from the turn's start; those in the past begin now."""
        ...


class Face(Protocol):
    """The face of one turn as a session holds it: it is moved by whoever has opened it."""


class FaceEngine(Protocol):
    """Immutable and shared by all sessions."""

    name: str

    def open(self, media: Media, seed: int) -> FaceStream: ...


@runtime_checkable
class PictureEngine(Protocol):
    """A `FaceEngine` that draws its pictures itself: it has all speech, and its weights are for clients that
    draw a face of their own."""

    name: str

    def open(self, media: Media, seed: int) -> DrawnStream: ...

    def idle(self, seconds: float) -> NDArray[np.uint8]:
        """The picture of a moment without speech, a `Drawing`."""
        ...


@runtime_checkable
class ManyVoices(Protocol):
    """A `FaceEngine` that moves many faces in little more time than one."""

    name: str

    def open(self, media: Media, seed: int) -> FaceStream: ...

    def feed_all(self, streams: Sequence[FaceStream], pieces: Sequence[tuple[bytes, bool]]) -> list[Weights]:
        """What `feed` of each of these streams, all different, returns for its piece: (pcm, last)."""
        ...
