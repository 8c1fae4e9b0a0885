"""Who moves the face: an engine loaded once, and a light stream per turn.

An engine is chosen by name through the entry points `visavis.faces`; each names a function
`load(settings) -> FaceEngine`. Streams run in a worker thread, one call at a time.
"""

from __future__ import annotations

from typing import Protocol

from visavis.arkit import Weights
from visavis.audio import Media
from visavis.events import Emotion, Phoneme


class FaceStream(Protocol):
    """The face of one turn."""

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """The frames that are now certain: float32[n, 52] in 0..1; n may be 0 while looking ahead.

        `pcm` continues the turn at the media's rate and ends at a frame's edge; `phonemes` are newly known
        ones in seconds from the turn's start (they may lie ahead of the audio). After `last`, exactly one
        frame per frame of audio has been returned in all.
        """
        ...


class ExpressiveFace(FaceStream, Protocol):
    """The face of one turn of a conversation; it never raises."""

    def express(self, emotions: tuple[Emotion, ...]) -> None:
        """Emotions that became known, in seconds from the turn's start; those in the past begin now."""
        ...


class FaceEngine(Protocol):
    """Immutable and shared by all sessions."""

    name: str

    def open(self, media: Media, seed: int) -> FaceStream: ...
