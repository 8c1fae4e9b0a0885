"""A session as one endless stream of pictures and sound: its turns, and an idle face between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
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
from visavis.video import Picture, Size, jpeg
from visavis.video.studio import QUALITY, Portrait, Shown, sounds
from visavis.video.webm import LONGEST_GAP, LiveWebM, Segment

LONGEST_LAG = 1.0
"""Seconds by which the stream may be late before it gives up what it has missed."""
LATEST = 0.1
"""Seconds after its time at which a picture is left out, so that the sound is never late for it."""
EASE = 0.08
"""Time constant in seconds with which one face becomes the next one, where the stream changes over."""
BEHIND = 64
"""Pieces that may wait for a viewer."""
_log = structlog.get_logger()

Kind = Literal["webm", "mjpeg"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame that waits to be shown; `picture` if somebody else needed it already."""

    turn: int
    pcm: bytes
    weights: Weights
    drawing: ev.Drawing | None = None
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What viewers of each kind get of one frame; without a picture the last one stays."""

    pcm: bytes
    picture: Picture | None
    jpeg: bytes | None
    segments: Sequence[Segment]


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

    def give(self, picture: Picture | None, pcm: bytes) -> None:
        """The next frame: its sound is as long as its picture is seen; None: the last one stays."""
        ...

    def close(self) -> None:
        """There are no more."""
        ...


class LiveStream:
    """The stream of one session; it runs while anybody watches it.

    Each frame is drawn and encoded when it is due, in one piece of work. When that comes too late, the frame
    has sound and no picture.
    """

    wants_jpeg = False

    def __init__(self, portrait: Portrait, size: Size, seed: int, tasks: TaskGroup) -> None:
        self._portrait, self._size, self._tasks = portrait, size, tasks
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
        self._sound = bytearray()
        self._gap = 0
        """Frames since there was a picture."""

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
            drawing = shown.frames.drawings[k] if shown.frames.drawings else None
            picture = shown.pictures[k] if shown.pictures else None
            self._timeline.add(Moment(shown.frames.turn, pcm, shown.frames.weights[k], drawing, picture))

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
                    await self._frame(frame, began + frame / fps)
                    frame += 1
            except Exception:
                _log.exception("the live stream failed")
                for viewer in tuple(self._viewers):
                    viewer.close()

    async def _frame(self, frame: int, due: float) -> None:
        speech = self._timeline.next()
        if speech is not None:
            self._sound += speech.pcm
            self._face, self._was_idle = speech.weights, False
        moment = speech or Moment(0, b"", self._idle(frame))
        pcm, webm = self._heard(frame), self._stream()
        newcomers = any(viewer.kind == "webm" and not viewer.begun for viewer in self._viewers)
        wants_jpeg = any(viewer.kind == "mjpeg" for viewer in self._viewers)
        needed = newcomers or self._gap + 1 >= (LONGEST_GAP if webm is None else webm.gap)
        clock, artist = asyncio.get_running_loop().time, self._portrait.artist
        seconds = artist.moment(self._media.fps)

        def work() -> Made:
            late = clock() > due + LATEST
            try:
                picture = moment.picture
                if picture is None:
                    picture = artist.picture(
                        moment.weights, moment.drawing, seconds, needed=needed, late=late
                    )
            except Exception:
                if speech is None:
                    raise
                _log.exception("a picture could not be drawn")
                picture = None  # the sound goes on
            drawn = jpeg.encode(picture, QUALITY) if wants_jpeg and picture is not None else None
            segments = webm.feed(pcm, [picture], keyframe=newcomers) if webm is not None else []
            return Made(pcm, picture, drawn, segments)

        made = await artist.run(work)
        self._gap = self._gap + 1 if made.picture is None else 0
        if webm is not None and webm is self._webm:
            self._pass_on(webm.header, made.segments)
        for viewer in tuple(self._viewers):
            if viewer.kind == "frames":
                viewer.give(made.picture, made.pcm)
            elif viewer.kind == "mjpeg" and made.jpeg is not None:
                viewer.give(made.jpeg)

    def _stream(self) -> LiveWebM | None:
        """What all viewers of WebM take."""
        if self._webm is None and any(viewer.kind == "webm" for viewer in self._viewers):
            width, height = self._size
            self._webm = LiveWebM(self._media.fps, width, height, self._media.rate)
        return self._webm

    def _pass_on(self, header: bytes, segments: Sequence[Segment]) -> None:
        for segment in segments:
            for viewer in [viewer for viewer in self._viewers if viewer.kind == "webm"]:
                if not viewer.begun and segment.keyframe:
                    viewer.begun = True
                    viewer.give(header)
                if viewer.begun:
                    viewer.give(segment.data)

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
