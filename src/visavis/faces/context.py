"""Streaming with models that hear a whole window at once, forwards and backwards, and keep no state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr

from visavis import plugins
from visavis.arkit import Weights, neutral
from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.framing import Samples
from visavis.faces.polish import REACH, polish
from visavis.faces.retiming import Retiming
from visavis.settings import FaceSettings

NATIVE = Media(16_000, 30)
"""What such models hear and how often they move the face. 16,000 / 30 is no integer: frame k begins at
sample k * 16000 // 30."""

Model = Callable[[Samples], Weights]
"""float32[n] at 16 kHz -> float32[ceil(30 n / 16000), 52] in 0..1; every frame depends on all samples."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When a model runs and what it hears; all in frames."""

    window: int
    """The sound of one run; 0 is the new frames alone."""
    ahead: int
    """Frames at the end of a window that wait for the next one, which will have heard what follows."""
    first: int
    most: int
    """New frames of one run: a run costs as much as its window is long, so the first ones, with short
    windows, are small and early, and later ones carry enough to be worth their cost."""
    polished: bool = False

    def step(self, heard: int) -> int:
        """New frames of the run that follows `heard` frames of sound."""
        return min(self.most, max(self.first, heard // 4))


CONTEXT = Plan(window=64, ahead=2, first=6, most=15)
POLISHED = Plan(window=64, ahead=2 + REACH, first=6, most=15, polished=True)
REFERENCE = Plan(window=0, ahead=0, first=15, most=15)
"""Half-second pieces, each heard alone, as the first servers for these models do: seams at every piece."""


class ContextStream:
    """The face of one turn. When the model runs depends on the sound alone, so pieces do not matter."""

    def __init__(self, model: Model, media: Media, plan: Plan) -> None:
        self._model, self._plan = model, plan
        self._resample = (
            None if media.rate == NATIVE.rate else soxr.ResampleStream(media.rate, NATIVE.rate, 1)
        )
        self._retime = Retiming(NATIVE.fps, media)
        self._sound, self._begin = np.zeros(0, np.float32), 0
        self._frames, self._next = 0, plan.first + plan.ahead

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """The frames of the windows that are now full; after `last`, all."""
        samples = to_float(pcm)
        native = samples if self._resample is None else self._resample.resample_chunk(samples, last=last)
        self._sound = np.concatenate([self._sound, native])
        return self._retime(self._move(last), len(samples), last)

    def _move(self, last: bool) -> Weights:
        total = NATIVE.edge(self._begin) + len(self._sound)
        parts = [neutral(0)]
        while self._next <= NATIVE.whole(total):
            parts.append(self._run(self._next, self._next - self._plan.ahead))
            self._next += self._plan.step(self._next)
            self._forget()
        if last and self._frames < (end := NATIVE.covering(total)):
            self._sound = np.pad(self._sound, (0, NATIVE.edge(end) - total))
            parts.append(self._run(end, end))
        return np.concatenate(parts)

    def _run(self, heard: int, end: int) -> Weights:
        """The frames up to `end`, seen from a window that ends at frame `heard`."""
        begin = max(0, min(self._frames, heard - self._plan.window))
        first = NATIVE.edge(begin) - NATIVE.edge(self._begin)
        # Counted from the window's begin, or one sample of rounding would make one frame too many.
        window = self._sound[first : first + NATIVE.edge(heard - begin)]
        weights = self._model(window)
        if self._plan.polished:
            weights = polish(weights, window, NATIVE.rate, NATIVE.fps)
        new = weights[self._frames - begin : end - begin]
        self._frames = end
        return new

    def _forget(self) -> None:
        """Let go of the sound that no window will hear again, not even the last one."""
        begin = max(self._begin, self._frames - self._plan.window)
        self._sound = self._sound[NATIVE.edge(begin) - NATIVE.edge(self._begin) :]
        self._begin = begin


class ContextEngine:
    """A window model as a face engine."""

    def __init__(self, name: str, model: Model, settings: FaceSettings) -> None:
        self.name, self.mover = name, model
        self._plan = REFERENCE if settings.mode == "reference" else POLISHED if settings.polish else CONTEXT

    def open(self, media: Media, seed: int) -> ContextStream:
        return ContextStream(self.mover, media, self._plan)

    @property
    def problem(self) -> str | None:
        """Why the model could not be asked, if it could not."""
        return getattr(self.mover, "problem", None)

    async def aclose(self) -> None:
        """Close the model."""
        await plugins.close(self.mover)
