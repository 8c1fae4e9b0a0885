"""Pictures of the sessions that somebody watches: a frame is drawn once, in a worker, for all of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Protocol, TypeVar

import anyio
import numpy as np
import structlog
from anyio.abc import TaskGroup

from visavis import events as ev
from visavis.arkit import Weights
from visavis.audio import BYTES, Media
from visavis.video import Picture, Renderer, View, jpeg
from visavis.video.degrade import EVERY, Degrade, Quality
from visavis.video.drawn import DrawnView

QUALITY = 80
"""Of JPEG pictures."""
_log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """Consecutive frames of a turn, with their pictures and `jpegs` when somebody wants those."""

    frames: ev.Frames
    pictures: tuple[Picture, ...] = ()
    jpegs: tuple[bytes, ...] = ()


class Watcher(Protocol):
    """Who watches a session: gets everything its other clients get, its frames with pictures."""

    @property
    def wants_jpeg(self) -> bool:
        """Pictures are to be drawn as frames come; others draw for themselves what they show."""
        ...

    def put(self, event: ev.ToClient) -> None:
        """Anything but frames."""
        ...

    def show(self, shown: Shown) -> None: ...

    def drop(self, turn: int) -> None:
        """Frames of this turn that have not left yet are not to be shown."""
        ...


class Artist:
    """Draws one face in the threads that draw for all sessions, and says how busy those are."""

    def __init__(self, renderer: Renderer, seed: int, executor: Executor, degrade: Degrade) -> None:
        self._view: View = renderer.open(seed)
        self._executor, self._degrade, self._lock = executor, degrade, Lock()
        self._began: float | None = None
        self._last = 0.0
        self._kept: Picture | None = None
        self._neutral = False
        self._count = 0

    async def run(self, work: Callable[[], T]) -> T:
        """`work` in a thread that draws, after what is already waiting; one at a time."""

        def timed() -> T:
            with self._lock:
                began = time.thread_time()
                try:
                    return work()
                finally:
                    self._degrade.worked(time.thread_time() - began, time.monotonic())

        return await asyncio.get_running_loop().run_in_executor(self._executor, timed)

    async def draw(
        self, weights: Weights, fps: int, drawings: Sequence[ev.Drawing | None] = ()
    ) -> tuple[tuple[Picture, ...], tuple[bytes, ...]]:
        """The pictures of consecutive frames and their JPEGs: float32[n, 52], and `drawings` where the face
        engine draws. Where one is left out, the last one stays."""
        frames = [(row, drawings[k] if drawings else None, self.moment(fps)) for k, row in enumerate(weights)]

        def work() -> tuple[tuple[Picture, ...], tuple[bytes, ...]]:
            pictures: list[Picture] = []
            encoded: dict[int, bytes] = {}
            for frame in frames:
                picture = self.picture(*frame)
                if picture is None:
                    picture = self._kept
                if picture is not None:
                    pictures.append(picture)
                    if id(picture) not in encoded:
                        encoded[id(picture)] = jpeg.encode(picture, QUALITY)
            return tuple(pictures), tuple(encoded[id(picture)] for picture in pictures)

        return await self.run(work)

    def moment(self, fps: int) -> float:
        """Seconds since the first picture at which the next one will be seen; they never go back."""
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        self._last = max(self._last + 1 / fps, now - self._began)
        return self._last

    def picture(
        self,
        weights: Weights,
        drawing: ev.Drawing | None,
        seconds: float,
        *,
        needed: bool = False,
        late: bool = False,
    ) -> Picture | None:
        """One picture, in a drawing thread; None where it is left out by rule or for being `late`, and the
        last one stays. The first is never left out, nor one that is `needed`."""
        quality = self._degrade.quality
        self._count += 1
        if self._kept is not None and not needed:
            if late:
                self._degrade.left_out += 1
                return None
            if self._count % EVERY[quality]:
                return None
        if quality is Quality.STILL:
            if self._kept is None or not self._neutral:
                self._kept = self._drawn(np.zeros_like(weights), None, seconds, False)
        else:
            self._kept = self._drawn(weights, drawing, seconds, quality is Quality.FULL)
        self._neutral = quality is Quality.STILL
        return self._kept

    def _drawn(
        self, weights: Weights, drawing: ev.Drawing | None, seconds: float, antialias: bool
    ) -> Picture:
        began = time.monotonic()
        if drawing is not None and isinstance(self._view, DrawnView):
            picture = self._view.show(drawing, seconds)
        else:
            picture = self._view.render(weights, seconds, antialias)
        self._degrade.meter.took(time.monotonic() - began)
        return picture


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
        drawn = isinstance(event, ev.Frames) and self._wants_jpeg
        if not self._queue and self._drawing is None and not drawn:
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
                    if isinstance(event, ev.Frames) and self._wants_jpeg:
                        await self._draw(event)
                    else:
                        self._pass_on(event)

    @property
    def _wants_jpeg(self) -> bool:
        return any(watcher.wants_jpeg for watcher in self._watchers)

    async def _draw(self, frames: ev.Frames) -> None:
        self._drawing = frames.turn
        try:
            pictures, encoded = await self.artist.draw(frames.weights, self.media.fps, frames.drawings)
        except Exception:
            _log.exception("a picture could not be drawn")
            pictures, encoded = (), ()  # the sound goes on
        finally:
            self._drawing = None
        if frames.turn in self._dropped:
            self._dropped.discard(frames.turn)
            return
        self._show(Shown(frames, pictures, encoded))

    def _pass_on(self, event: ev.ToClient) -> None:
        if isinstance(event, ev.Frames):
            self._show(Shown(event))
            return
        for watcher in tuple(self._watchers):
            watcher.put(event)

    def _show(self, shown: Shown) -> None:
        for watcher in tuple(self._watchers):
            watcher.show(shown)


def sounds(frames: ev.Frames, media: Media) -> list[bytes]:
    """The PCM16 of each frame."""
    edges = [media.edge(frames.first + k) * BYTES for k in range(len(frames.weights) + 1)]
    return [frames.pcm[a - edges[0] : b - edges[0]] for a, b in pairwise(edges)]
