"""Sessions that callers create before anybody is connected, and end themselves (the api dialect)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from visavis.agents import Brief
from visavis.audio import Media
from visavis.server.audience import Audience, Record
from visavis.server.lines import Full
from visavis.server.pictures import Pictures
from visavis.server.sessions import Seat, Sessions, new_id, new_token
from visavis.video.live import LiveStream
from visavis.video.studio import Portrait
from visavis.wires.api import Output

REMEMBERED = 10_000
"""Ended sessions that are told from those that never were."""


class NoSuchTalk(Exception):
    """`ended`: there was one."""

    def __init__(self, ended: bool) -> None:
        super().__init__("ended" if ended else "unknown")
        self.ended = ended


@dataclass
class Talk:
    """One session. Times are seconds on the event loop's clock; `created` is wall-clock time."""

    seat: Seat
    audience: Audience
    record: Record
    media: Media
    output: Output
    avatar: str
    created: float
    expires: float
    metadata: dict[str, Any] = field(default_factory=dict)
    portrait: Portrait | None = None
    stream: LiveStream | None = None
    """What is drawn of it; made by `Talks.portrait` and `Talks.stream` when somebody first watches."""
    hearing: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while a recording is taken in: two at once would be one utterance."""

    @property
    def id(self) -> str:
        return self.seat.session.id


class Talks:
    """All of them. One that nothing happens in for `patience` seconds ends."""

    def __init__(self, sessions: Sessions, tasks: TaskGroup, pictures: Pictures, patience: float) -> None:
        self._sessions, self._tasks, self._pictures, self._patience = sessions, tasks, pictures, patience
        self._talks: dict[str, Talk] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._talks)

    def all(self) -> list[Talk]:
        """Oldest first."""
        return list(self._talks.values())

    def create(
        self,
        brief: Brief,
        media: Media,
        output: Output,
        avatar: str,
        created: float,
        metadata: dict[str, Any],
    ) -> Talk:
        """Raises `Full`."""
        if self._sessions.full:
            raise Full
        record = Record()
        audience = Audience(record)
        seat = self._sessions.open(new_id(), new_token(), media, brief)
        seat.session.attach(audience)
        talk = Talk(seat, audience, record, media, output, avatar, created, 0.0, metadata)
        self._talks[talk.id] = talk
        self._tasks.start_soon(self._watch, talk)
        self.touch(talk)
        return talk

    def get(self, id: str) -> Talk:
        """The session of that id, which lives on. Raises `NoSuchTalk`."""
        talk = self._talks.get(id)
        if talk is None:
            raise NoSuchTalk(id in self._ended)
        self.touch(talk)
        return talk

    async def portrait(self, talk: Talk) -> Portrait:
        """Its pictures. Raises `VisavisError` when its avatar cannot be drawn."""
        if talk.portrait is None:
            made = await self._pictures.portrait(talk.avatar, talk.media, talk.audience)
            talk.portrait = talk.portrait or made
        return talk.portrait

    async def stream(self, talk: Talk) -> LiveStream:
        """It as an endless stream. Raises `VisavisError` when its avatar cannot be drawn."""
        portrait = await self.portrait(talk)
        if talk.stream is None:
            talk.stream = self._pictures.stream(portrait)
        return talk.stream

    def touch(self, talk: Talk) -> None:
        """Something happens in it."""
        talk.expires = asyncio.get_running_loop().time() + self._patience

    def end(self, talk: Talk) -> None:
        talk.seat.session.close()
        self._forget(talk)

    def _forget(self, talk: Talk) -> None:
        if talk.stream is not None:
            talk.stream.close()
        if self._talks.pop(talk.id, None) is not None:
            self._ended[talk.id] = None
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)

    async def _watch(self, talk: Talk) -> None:
        """End it when its time is up, or forget it when it ends by itself."""
        while (left := talk.expires - asyncio.get_running_loop().time()) > 0:
            with anyio.move_on_after(left):
                await talk.seat.ended.wait()
            if talk.seat.ended.is_set():
                break
        self.end(talk)
