"""The server's pictures: the renderer, loaded when somebody first watches, and the threads that draw."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from typing import Any

import anyio
from anyio.abc import TaskGroup

from visavis import plugins
from visavis.audio import Media
from visavis.cast import Cast
from visavis.events import Drawing
from visavis.meters import stage
from visavis.server.audience import Audience
from visavis.settings import Settings
from visavis.video import RenderEngine, Renderer, Size, background
from visavis.video.degrade import Degrade
from visavis.video.drawn import DrawnRenderer
from visavis.video.live import LiveStream
from visavis.video.stills import still
from visavis.video.studio import Artist, Portrait

SHARE = 2 / 3
"""Of the processors that pictures may keep busy; the rest is for sound."""


def cores() -> float:
    """How many processors those are."""
    return max(1.0, SHARE * (os.cpu_count() or 1))


def drawing_threads() -> ThreadPoolExecutor:
    """For `Pictures`."""
    return ThreadPoolExecutor(ceil(cores()), "video")


class Pictures:
    """Everything that is drawn. Sound has threads of its own, so pictures cannot hold it up."""

    def __init__(
        self,
        settings: Settings,
        tasks: TaskGroup,
        executor: ThreadPoolExecutor,
        idle: Drawing | None = None,
    ) -> None:
        """`idle`: the face engine draws itself, and this is its picture between turns."""
        self._settings, self._tasks, self._executor, self._idle = settings, tasks, executor, idle
        self._degrade = Degrade(cores())
        self._engine: RenderEngine | None = None
        self._cast = Cast(settings.avatar)
        self._loading = anyio.Lock()
        self._stills: dict[str, bytes] = {}

    @property
    def size(self) -> Size:
        return self._settings.video.width, self._settings.video.height

    async def portrait(self, avatar: str, media: Media, audience: Audience, seed: int = 0) -> Portrait:
        """The picture side of a session. Raises `VisavisError` when the avatar cannot be drawn."""
        artist = await self.artist(avatar, seed)
        return Portrait(artist, media, self._tasks, audience.join, audience.leave)

    async def artist(self, avatar: str, seed: int = 0) -> Artist:
        """Who draws an avatar, for one session. Raises `VisavisError` when it cannot be drawn."""
        return Artist(await self.renderer(avatar), seed, self._executor, self._degrade)

    async def renderer(self, avatar: str) -> Renderer:
        """What draws an avatar; a face engine that draws has its own. Raises `VisavisError`."""
        if self._idle is not None:
            return DrawnRenderer(self._idle, self.size)
        async with self._loading:
            return await anyio.to_thread.run_sync(self._load, avatar)

    def stream(self, portrait: Portrait, seed: int = 0) -> LiveStream:
        """The session as an endless stream."""
        return LiveStream(portrait, self.size, seed, self._tasks)

    def status(self) -> dict[str, Any]:
        return {
            "renderer": self._settings.video.renderer if self._idle is None else self._settings.face.engine,
            "loaded": self._engine is not None or self._idle is not None,
            "quality": self._degrade.quality.name.lower(),
            "load": round(self._degrade.load, 2),
            "left_out": self._degrade.left_out,
        }

    def figures(self) -> dict[str, Any]:
        """What drawing takes."""
        return stage(self._settings.video.renderer, self._engine, self._degrade.meter)

    async def aclose(self) -> None:
        """Close the renderer."""
        await plugins.close(self._engine)

    async def still(self, kind: str) -> bytes:
        """A still of the head that does not come with Visavis, as WebP. Raises `VisavisError`."""
        async with self._loading:
            if kind not in self._stills:
                work = partial(self._still, kind)
                self._stills[kind] = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        return self._stills[kind]

    def _still(self, kind: str) -> bytes:
        return still(self._loaded(), self._cast.drawn(self._cast.first), kind)

    def _load(self, avatar: str) -> Renderer:
        behind = background.parse(self._settings.video.background)
        return self._loaded().renderer(self._cast.drawn(avatar), self.size, behind)

    def _loaded(self) -> RenderEngine:
        if self._engine is None:
            with self._degrade.meter.loading():
                self._engine = plugins.load("renderers", self._settings.video.renderer, self._settings)
        return self._engine
