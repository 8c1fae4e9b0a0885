"""A face engine that hears a recording and knows when each phoneme is said in it."""

from __future__ import annotations

import numpy as np

from visavis.arkit import INDEX, Weights
from visavis.audio import Media
from visavis.events import Phoneme
from visavis.faces import FaceEngine, FaceStream
from visavis.faces.viseme_table import CHANNELS
from visavis.faces.visemes import VisemeTrack

SHARE = 0.5
"""Of the face that is drawn from the phonemes. The rest is what the engine hears: how loud, and by whom."""
_SPEECH = [INDEX[shape] for shapes in CHANNELS.values() for shape in shapes]
_APART = [INDEX[shape] for name in ("lower", "upper") for shape in CHANNELS[name]]
_JAW, _CLOSE = INDEX["jawOpen"], INDEX["mouthClose"]


class GuidedStream:
    def __init__(self, heard: FaceStream, said: VisemeTrack) -> None:
        self._heard, self._said = heard, said

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """What the engine hears and what is said, half and half; lips meet where the phonemes say so."""
        face = self._heard.feed(pcm, None, last).copy()
        said = self._said.draw(np.ones(len(face)))
        face[:, _SPEECH] += np.float32(SHARE) * (said - face)[:, _SPEECH]
        closed = said[:, _CLOSE] / np.maximum(said[:, _JAW], np.float32(1e-6))
        face[:, _APART] *= (1 - closed)[:, None]
        face[:, _CLOSE] = face[:, _JAW] * closed
        return face


class Guided:
    """`engine` for one recording, whose phonemes are known, in seconds from its beginning."""

    def __init__(self, engine: FaceEngine, phonemes: tuple[Phoneme, ...]) -> None:
        self.name = engine.name
        self._engine, self._phonemes = engine, phonemes

    def open(self, media: Media, seed: int) -> GuidedStream:
        said = VisemeTrack(media.fps)
        said.add(self._phonemes)
        return GuidedStream(self._engine.open(media, seed), said)
