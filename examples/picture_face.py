"""A face engine that draws its own pictures: a bar, as long as the sound is loud, in the place of a person.

It works as an engine on a GPU does: sound at 16 kHz in, a batch of pictures at a rate of its own out.

PYTHONPATH=examples VISAVIS_FACE=picture_face:load .venv/bin/visavis serve
"""

from __future__ import annotations

from functools import partial

import numpy as np

from visavis.arkit import Weights, neutral
from visavis.audio import Media, Resampler, to_float
from visavis.events import Drawing, Phoneme
from visavis.settings import Settings
from visavis.video import Picture

OWN = Media(rate=16_000, fps=25)
"""What the engine hears, and how often it draws."""
BATCH = 5
"""Pictures that are drawn at once."""
WIDTH, HEIGHT = 320, 240
LOUDEST = 0.25
"""Root mean square of the sound that makes the longest bar."""


def bar(length: float, seconds: float = 0.0) -> Picture:
    """A white bar, `length` 0..1 of the width, above a mark that wanders while nothing is said."""
    picture = np.full((HEIGHT, WIDTH, 3), (20, 40, 80), np.uint8)
    picture[100:140, : round(WIDTH * min(length, 1.0))] = 255
    at = int(seconds * 40) % WIDTH
    picture[200:220, at : at + 20] = (220, 60, 60)
    return picture


def draw(pcm: bytes) -> list[Picture]:
    """The pictures of some 16 kHz sound: here the network would be."""
    samples = to_float(pcm)
    edges = range(0, len(samples), OWN.edge(1))
    loud = [float(np.sqrt(np.mean(samples[edge : edge + OWN.edge(1)] ** 2))) for edge in edges]
    return [bar(value / LOUDEST) for value in loud]


class BarStream:
    """One turn; when the user interrupts, it is dropped, so there is nothing to reset."""

    def __init__(self, media: Media) -> None:
        self._media, self._resample = media, Resampler(media.rate, OWN.rate)
        self._samples = self._frames = self._dropped = 0
        self._sound = b""
        self._pictures: list[Picture] = []
        self._drawings: tuple[Drawing, ...] = ()

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        self._samples += len(pcm) // 2
        self._sound += self._resample(pcm, last)
        batch = OWN.edge(BATCH) * 2
        while len(self._sound) >= batch or (last and self._sound):
            self._pictures += draw(self._sound[:batch])
            self._sound = self._sound[batch:]
        known = (self._dropped + len(self._pictures)) * self._media.fps // OWN.fps
        end = self._media.covering(self._samples) if last else min(self._media.whole(self._samples), known)
        frames = range(self._frames, max(end, self._frames))
        self._drawings = tuple(partial(self._shown, self._picture(frame)) for frame in frames)
        self._frames += len(frames)
        self._forget()
        return neutral(len(frames))  # clients that draw a face themselves see one at rest

    def drawings(self) -> tuple[Drawing, ...]:
        """Those of the frames that `feed` has just returned."""
        return self._drawings

    def _picture(self, frame: int) -> Picture:
        number = frame * OWN.fps // self._media.fps - self._dropped
        return self._pictures[min(number, len(self._pictures) - 1)] if self._pictures else bar(0.0)

    @staticmethod
    def _shown(picture: Picture, seconds: float) -> Picture:
        return picture

    def _forget(self) -> None:
        """Let go of the pictures that later frames do not need."""
        done = min(self._frames * OWN.fps // self._media.fps - self._dropped, len(self._pictures) - 1)
        if done > 0:
            del self._pictures[:done]
            self._dropped += done


class BarEngine:
    name = "bar"

    def open(self, media: Media, seed: int) -> BarStream:
        return BarStream(media)

    def idle(self, seconds: float) -> Picture:
        """Between turns: `seconds` since somebody began to watch."""
        return bar(0.0, seconds)


def load(settings: Settings) -> BarEngine:
    """Here a real engine would load its weights, warm up, and raise `ConfigurationError` when it cannot."""
    return BarEngine()
