"""Pictures of the sessions that somebody watches: a frame is drawn once, in a worker, for all of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import anyio
import numpy as np
import structlog
from anyio.abc import TaskGroup

from visavis import events as ev
from visavis.arkit import Weights
from visavis.audio import BYTES, Media
from visavis.video import Picture, Renderer, View, jpeg
from visavis.video.degrade import Degrade, Quality
from visavis.video.drawn import DrawnView

QUALITY = 80
"""Of JPEG pictures."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shown:
    """Consecutive frames of a turn with their pictures; `jpegs` when somebody wants them."""

    frames: ev.Frames
    pictures: tuple[Picture, ...]
    jpegs: tuple[bytes, ...] = ()


class Watcher(Protocol):
    """Who watches a session: gets everything its other clients get, its frames with pictures."""

    @property
    def wants_jpeg(self) -> bool: ...

    def put(self, event: ev.ToClient) -> None:
        """Anything but frames."""
        ...

    def show(self, shown: Shown) -> None: ...

    def drop(self, turn: int) -> None:
        """Frames of this turn that have not left yet are not to be shown."""
        ...


class Artist:
    """Draws one face, one picture at a time, and says how much time that takes."""

    def __init__(self, renderer: Renderer, seed: int, executor: Executor, degrade: Degrade) -> None:
        self._view: View = renderer.open(seed)
        self._executor, self._degrade = executor, degrade
        self._began: float | None = None
        self._last = 0.0
        self._kept: Picture | None = None
        self._odd = False

    async def draw(
        self, weights: Weights, fps: int, jpegs: bool, drawings: Sequence[ev.Drawing | None] = ()
    ) -> tuple[tuple[Picture, ...], tuple[bytes, ...]]:
        """The pictures of consecutive frames: float32[n, 52], and `drawings` where the face engine draws."""
        frames = [
            (row, drawings[k] if drawings else None, self._moment(fps)) for k, row in enumerate(weights)
        ]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._work, frames, jpegs)

    def _moment(self, fps: int) -> float:
        """Seconds since the first picture at which the next one will be seen; they never go back."""
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        self._last = max(self._last + 1 / fps, now - self._began)
        return self._last

    def _work(
        self, frames: Sequence[tuple[Weights, ev.Drawing | None, float]], jpegs: bool
    ) -> tuple[tuple[Picture, ...], tuple[bytes, ...]]:
        pictures = []
        for row, drawing, seconds in frames:
            began = time.monotonic()
            pictures.append(self._picture(row, drawing, seconds))
            now = time.monotonic()
            self._degrade.drew(now - began, now)
        encoded: dict[int, bytes] = {}
        if jpegs:
            for picture in pictures:
                if id(picture) not in encoded:
                    encoded[id(picture)] = jpeg.encode(picture, QUALITY)
        return tuple(pictures), tuple(encoded[id(picture)] for picture in pictures if encoded)

    def _picture(self, weights: Weights, drawing: ev.Drawing | None, seconds: float) -> Picture:
        quality = self._degrade.quality
        self._odd = not self._odd
        if self._kept is not None and (quality is Quality.STILL or (quality is Quality.HALF and self._odd)):
            return self._kept
        if drawing is not None and isinstance(self._view, DrawnView) and quality is not Quality.STILL:
            self._kept = self._view.show(drawing, seconds)
            return self._kept
        if quality is Quality.STILL:
            weights = np.zeros_like(weights)
        self._kept = self._view.render(weights, seconds, quality is Quality.FULL)
        return self._kept


class Portrait:
    """The picture side of one session: a client of it for as long as anybody watches.

    What comes is drawn and passed on in order. `follow` and `unfollow` begin and end being the session's
    client.
    """

    def __init__(
        self,
        artist: Artist,
        media: Media,
        tasks: TaskGroup,
        follow: Callable[[Portrait], None],
        unfollow: Callable[[Portrait], None],
    ) -> None:
        self.artist, self.media = artist, media
        self._tasks, self._follow, self._unfollow = tasks, follow, unfollow
        self._watchers: list[Watcher] = []
        self._queue: deque[ev.ToClient] = deque()
        self._dropped: set[int] = set()
        self._drawing: int | None = None
        self._scope: anyio.CancelScope | None = None
        self._wake = anyio.Event()

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    def join(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)
        if self._scope is None:
            self._scope = anyio.CancelScope()
            self._follow(self)
            self._tasks.start_soon(self._run, self._scope)

    def leave(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)
        if not self._watchers and self._scope is not None:
            self._unfollow(self)
            self._scope.cancel()
            self._scope = None
            self._queue.clear()

    # -- a client of the session ---------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        if not self._queue and self._drawing is None and not isinstance(event, ev.Frames):
            self._pass_on(event)
            return
        self._queue.append(event)
        self._wake.set()

    def drop(self, turn: int) -> None:
        self._queue = deque(
            event for event in self._queue if not (isinstance(event, ev.Frames) and event.turn == turn)
        )
        if self._drawing == turn:
            self._dropped.add(turn)
        for watcher in tuple(self._watchers):
            watcher.drop(turn)

    # -- the work --------------------------------------------------------------------------------------------
    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._queue:
                    event = self._queue.popleft()
                    if isinstance(event, ev.Frames):
                        await self._draw(event)
                    else:
                        self._pass_on(event)

    async def _draw(self, frames: ev.Frames) -> None:
        self._drawing = frames.turn
        try:
            jpegs = any(watcher.wants_jpeg for watcher in self._watchers)
            pictures, encoded = await self.artist.draw(frames.weights, self.media.fps, jpegs, frames.drawings)
        except Exception:
            _log.exception("a picture could not be drawn")
            pictures, encoded = (), ()  # the sound goes on
        finally:
            self._drawing = None
        if frames.turn in self._dropped:
            self._dropped.discard(frames.turn)
            return
        shown = Shown(frames, pictures, encoded)
        for watcher in tuple(self._watchers):
            watcher.show(shown)

    def _pass_on(self, event: ev.ToClient) -> None:
        for watcher in tuple(self._watchers):
            watcher.put(event)


def sounds(frames: ev.Frames, media: Media) -> list[bytes]:
    """The PCM16 of each frame."""
    edges = [media.edge(frames.first + k) * BYTES for k in range(len(frames.weights) + 1)]
    return [frames.pcm[a - edges[0] : b - edges[0]] for a, b in pairwise(edges)]
