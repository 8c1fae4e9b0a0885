"""A session as one endless stream of pictures and sound: its turns, and an idle face between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass
from math import exp
from typing import Literal, Protocol

import anyio
import numpy as np
import structlog
from anyio.abc import TaskGroup

from visavis import events as ev
from visavis.arkit import COUNT, Weights
from visavis.audio import BYTES
from visavis.faces.life import Life
from visavis.turn import START_FRAMES
from visavis.video import Picture, Size
from visavis.video.studio import Portrait, Shown, sounds
from visavis.video.webm import LiveWebM, Segment

LONGEST_LAG = 1.0
"""Seconds by which the stream may be late before it gives up what it has missed."""
EASE = 0.08
"""Time constant in seconds with which one face becomes the next one, where the stream changes over."""
BEHIND = 64
"""Pieces that may wait for a viewer."""
_log = structlog.get_logger()

Kind = Literal["webm", "mjpeg"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame that waits to be shown; without a picture the last one stays."""

    turn: int
    pcm: bytes
    weights: Weights
    picture: Picture | None
    jpeg: bytes | None


class Timeline:
    """What is shown in each successive frame: pure.

    A turn begins with `START_FRAMES` frames in stock (or all it has), as in any player; one that runs dry
    waits for as many again.
    """

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()
        self._complete = False
        self._playing = False

    def add(self, moment: Moment) -> None:
        self._complete = False
        self._moments.append(moment)

    def ended(self) -> None:
        """The turn has no more frames."""
        self._complete = True

    def drop(self, turn: int) -> None:
        self._moments = deque(moment for moment in self._moments if moment.turn != turn)

    def next(self) -> Moment | None:
        """The next frame; None is an idle one."""
        if not self._playing:
            self._playing = bool(self._moments) and (self._complete or len(self._moments) >= START_FRAMES)
        if not self._moments:
            self._playing = False
        return self._moments.popleft() if self._playing else None


class Viewer:
    """Somebody who takes one kind of stream; `pieces` ends with it, or when the viewer is too slow."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.begun = False
        self._in, self._out = anyio.create_memory_object_stream[bytes](BEHIND)

    def give(self, piece: bytes) -> None:
        try:
            self._in.send_nowait(piece)
        except anyio.WouldBlock:
            if self.kind == "webm":  # a hole would stop the player for good
                self.close()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass

    def close(self) -> None:
        self._in.close()

    async def pieces(self) -> AsyncIterator[bytes]:
        with self._out:
            async for piece in self._out:
                yield piece


class FrameViewer(Protocol):
    """Somebody who takes the frames themselves, and never makes the stream wait."""

    kind: Literal["frames"]

    def give(self, picture: Picture, pcm: bytes) -> None:
        """The next frame: its sound is as long as its picture is seen."""
        ...

    def close(self) -> None:
        """There are no more."""
        ...


class LiveStream:
    """The stream of one session; it runs while anybody watches it. `wants_jpeg` as of `Watcher`."""

    def __init__(
        self, portrait: Portrait, size: Size, seed: int, executor: Executor, tasks: TaskGroup
    ) -> None:
        self._portrait, self._size, self._executor, self._tasks = portrait, size, executor, tasks
        self._media = portrait.media
        self._life = Life(seed, self._media.fps)
        self._state: ev.State = "idle"
        self._timeline = Timeline()
        self._viewers: list[Viewer | FrameViewer] = []
        self._webm: LiveWebM | None = None
        self._scope: anyio.CancelScope | None = None
        self._face = np.zeros(COUNT, np.float32)
        self._offset = np.zeros(COUNT, np.float32)
        self._was_idle = True
        self._picture: Picture | None = None
        self._sound = bytearray()

    @property
    def wants_jpeg(self) -> bool:
        return any(viewer.kind == "mjpeg" for viewer in self._viewers)

    @property
    def watched(self) -> bool:
        return bool(self._viewers)

    def join(self, viewer: Viewer | FrameViewer) -> None:
        self._viewers.append(viewer)
        if self._scope is None:
            self._scope = anyio.CancelScope()
            self._portrait.join(self)
            self._tasks.start_soon(self._run, self._scope)

    def leave(self, viewer: Viewer | FrameViewer) -> None:
        viewer.close()
        if viewer in self._viewers:
            self._viewers.remove(viewer)
        if not any(viewer.kind == "webm" for viewer in self._viewers):
            self._webm = None  # a new viewer begins a new stream
        if not self._viewers and self._scope is not None:
            self._portrait.leave(self)
            self._scope.cancel()
            self._scope = None

    def close(self) -> None:
        """The session is over."""
        for viewer in tuple(self._viewers):
            self.leave(viewer)

    # -- a watcher of the session ----------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        match event:
            case ev.StateChanged(state):
                self._state = state
            case ev.AudioEnded():
                self._timeline.ended()

    def show(self, shown: Shown) -> None:
        for k, pcm in enumerate(sounds(shown.frames, self._media)):
            picture = shown.pictures[k] if shown.pictures else None
            jpeg = shown.jpegs[k] if shown.jpegs else None
            moment = Moment(shown.frames.turn, pcm, shown.frames.weights[k], picture, jpeg)
            self._timeline.add(moment)

    def drop(self, turn: int) -> None:
        self._timeline.drop(turn)

    # -- the clock -------------------------------------------------------------------------------------------
    async def _run(self, scope: anyio.CancelScope) -> None:
        clock = asyncio.get_running_loop().time
        fps, frame, began = self._media.fps, 0, clock()
        with scope:
            try:
                while True:
                    await anyio.sleep(max(0.0, began + frame / fps - clock()))
                    if clock() - began - frame / fps > LONGEST_LAG:
                        began = clock() - frame / fps  # it was too much: from here on, in time again
                    await self._frame(frame)
                    frame += 1
            except Exception:
                _log.exception("the live stream failed")
                for viewer in tuple(self._viewers):
                    viewer.close()

    async def _frame(self, frame: int) -> None:
        moment = self._timeline.next()
        jpeg: bytes | None = None
        if moment is not None:
            picture, jpeg = moment.picture, moment.jpeg
            self._sound += moment.pcm
            self._face, self._was_idle = moment.weights, False
        else:
            pictures, jpegs = await self._portrait.artist.draw(
                self._idle(frame)[None], self._media.fps, self.wants_jpeg
            )
            picture, jpeg = pictures[0], next(iter(jpegs), None)
        self._picture = picture = self._picture if picture is None else picture
        await self._give(self._heard(frame), picture, jpeg)

    def _heard(self, frame: int) -> bytes:
        """The sound of a frame: as long as its place in the stream, however long it was in its turn."""
        length = (self._media.edge(frame + 1) - self._media.edge(frame)) * BYTES
        pcm = bytes(self._sound[:length])
        del self._sound[:length]
        return pcm + bytes(length - len(pcm))

    def _idle(self, frame: int) -> Weights:
        """The face of a frame without speech; it eases out of what was shown last."""
        state = "listening" if self._state == "speaking" else self._state
        face = self._life.frames(state, frame, 1)[0]
        if not self._was_idle:
            self._offset, self._was_idle = self._face - face, True
        self._offset *= np.float32(exp(-1 / (EASE * self._media.fps)))
        self._face = np.clip(face + self._offset, 0, 1)
        return self._face

    async def _give(self, pcm: bytes, picture: Picture | None, jpeg: bytes | None) -> None:
        if picture is None:
            return
        if any(viewer.kind == "webm" for viewer in self._viewers):
            await self._encode(pcm, picture)
        if jpeg is not None:
            for viewer in [viewer for viewer in self._viewers if viewer.kind == "mjpeg"]:
                viewer.give(jpeg)
        for taker in [viewer for viewer in self._viewers if viewer.kind == "frames"]:
            taker.give(picture, pcm)

    async def _encode(self, pcm: bytes, picture: Picture) -> None:
        if self._webm is None:
            width, height = self._size
            self._webm = LiveWebM(self._media.fps, width, height, self._media.rate)
        webm = self._webm
        newcomers = any(viewer.kind == "webm" and not viewer.begun for viewer in self._viewers)

        def work() -> list[Segment]:
            return webm.feed(pcm, [picture], keyframe=newcomers)

        for segment in await asyncio.get_running_loop().run_in_executor(self._executor, work):
            for viewer in [viewer for viewer in self._viewers if viewer.kind == "webm"]:
                if not viewer.begun and segment.keyframe:
                    viewer.begun = True
                    viewer.give(webm.header)
                if viewer.begun:
                    viewer.give(segment.data)
