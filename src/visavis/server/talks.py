"""Sessions that callers create before anybody is connected, and end themselves (the api dialect)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from visavis.agents import AgentEngine, Brief
from visavis.audio import Media
from visavis.conversations.carried import Carried
from visavis.security.callers import ANYONE, Caller
from visavis.server.audience import Audience, Record
from visavis.server.pictures import Pictures
from visavis.server.sessions import Seat, Sessions, new_id, new_token
from visavis.video import Size
from visavis.video.live import LiveStream
from visavis.video.studio import Portrait
from visavis.wires.api import Output

if TYPE_CHECKING:
    from visavis.video.webrtc import Peer  # an extra

REMEMBERED = 10_000
"""Ended sessions that are told from those that never were."""


FOLLOWED_SECONDS = 2.0
"""In which the client of a session that was at another server is expected."""


class NoSuchTalk(Exception):
    """`ended`: there was one."""

    def __init__(self, ended: bool) -> None:
        super().__init__("ended" if ended else "unknown")
        self.ended = ended


@dataclass(eq=False)
class Talk:
    """One session. Times are seconds on the event loop's clock; `created` is wall-clock time."""

    seat: Seat
    audience: Audience
    record: Record
    media: Media
    output: Output
    avatar: str
    metadata: dict[str, Any]
    listed: bool
    created: float = field(default_factory=time.time)
    expires: float = 0.0
    portrait: Portrait | None = None
    stream: LiveStream | None = None
    """What is drawn of it; made by `Talks.portrait` and `Talks.stream` when somebody first watches."""
    peer: Peer | None = None
    """Who is connected over WebRTC."""
    hearing: anyio.Lock = field(default_factory=anyio.Lock)
    """Held until a recording is understood: the next one would interrupt it."""

    @property
    def id(self) -> str:
        return self.seat.session.id


class Talks:
    """All of them. One that nothing happens in for `patience` seconds ends."""

    def __init__(self, sessions: Sessions, tasks: TaskGroup, pictures: Pictures, patience: float) -> None:
        self._sessions, self._tasks, self._pictures, self._patience = sessions, tasks, pictures, patience
        self._talks: dict[str, Talk] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        """Their owners."""

    def __len__(self) -> int:
        return len(self._talks)

    def all(self, who: Caller = ANYONE) -> list[Talk]:
        """Those that this caller of the api sees, oldest first."""
        return [talk for talk in self._talks.values() if talk.listed and who.may_see(talk.seat.owner)]

    @property
    def peers(self) -> int:
        """How many are connected over WebRTC."""
        return sum(talk.peer is not None for talk in self._talks.values())

    @property
    def input_rate(self) -> int:
        """Hz of the sound that the agent hears."""
        return self._sessions.parts.agent.input_rate

    @property
    def size(self) -> Size:
        """Of the pictures: width and height."""
        return self._pictures.size

    def create(
        self,
        avatar: str,
        *,
        media: Media,
        brief: Brief | None = None,
        output: Output = "video",
        metadata: dict[str, Any] | None = None,
        id: str = "",
        listed: bool = True,
        agent: AgentEngine | None = None,
        dialect: str = "api",
        owner: str = "",
        record: bool = False,
    ) -> Talk:
        """`listed`: callers of the api see it. `agent` instead of the server's. `record`: those who talk have
        agreed to be recorded, where this server does. Raises `Full`."""
        brief = replace(brief or self._sessions.parts.brief, avatar=avatar)
        known = Record()
        audience = Audience(known)
        seat = self._sessions.open(id or new_id(), new_token(), media, brief, agent, dialect, owner, record)
        if seat.session.tape is not None:
            audience.join(seat.session.tape.follower())
        seat.session.attach(audience)
        talk = Talk(seat, audience, known, media, output, avatar, metadata or {}, listed)
        self.note(talk)
        return self._keep(talk)

    def note(self, talk: Talk) -> None:
        """Other servers are to know what is said about it now."""
        about = {"output": talk.output, "metadata": talk.metadata, "created": talk.created}
        self._sessions.describe(talk.id, talk=about, keep=self._patience)

    def _keep(self, talk: Talk) -> Talk:
        self._talks[talk.id] = talk
        self.touch(talk)
        self._tasks.start_soon(self._watch, talk)
        return talk

    def go_on(self, carried: Carried, agent: AgentEngine | None = None) -> Talk:
        """A session that was at another server, whose client is on its way; `agent` instead of the server's.
        Raises `Full`."""
        begun, known = carried.begun, Record()
        known.recall(carried)
        audience = Audience(known)
        seat = self._sessions.go_on(carried, new_token(), agent)
        about, listed = begun.talk, begun.dialect == "api"
        talk = Talk(
            seat, audience, known, begun.media, about["output"], begun.avatar, about["metadata"], listed
        )
        talk.created = about["created"]
        self._sessions.describe(talk.id, keep=self._patience)
        self._tasks.start_soon(self._attach, talk)
        return self._keep(talk)

    async def _attach(self, talk: Talk) -> None:
        """Go on as soon as somebody follows it; some do not."""
        with anyio.move_on_after(FOLLOWED_SECONDS):
            await talk.audience.joined.wait()
        talk.seat.session.attach(talk.audience)

    def knows(self, id: str) -> bool:
        """Whether this session is here."""
        return id in self._talks

    def remember_ended(self, id: str, owner: str) -> None:
        """There was a session at another server, of `owner`."""
        self._ended[id] = owner
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def get(self, id: str, who: Caller = ANYONE, *, any: bool = False) -> Talk:
        """The session of that id, which lives on; `any`: also one that is not listed. Raises `NoSuchTalk`,
        also when it is not there for `who`."""
        talk = self._talks.get(id)
        if talk is None or not (talk.listed or any) or not who.may_see(talk.seat.owner):
            owner = self._ended.get(id)
            raise NoSuchTalk(owner is not None and who.may_see(owner))
        self.touch(talk)
        return talk

    async def portrait(self, talk: Talk) -> Portrait:
        """Its pictures. Raises `VisavisError` when its avatar cannot be drawn."""
        while talk.portrait is None:
            avatar = talk.avatar
            made = await self._pictures.portrait(avatar, talk.media, talk.audience)
            if talk.avatar == avatar:
                talk.portrait = talk.portrait or made
        return talk.portrait

    async def recast(self, talk: Talk, avatar: str) -> None:
        """Another face, also for those who watch. Raises `VisavisError` when it cannot be drawn."""
        if avatar == talk.avatar:
            return
        talk.avatar = avatar
        self._sessions.cast(talk.seat, avatar)
        if talk.portrait is not None:
            artist = await self._pictures.artist(avatar)
            if talk.avatar == avatar:
                talk.portrait.artist = artist

    async def stream(self, talk: Talk) -> LiveStream:
        """It as an endless stream. Raises `VisavisError` when its avatar cannot be drawn."""
        portrait = await self.portrait(talk)
        if talk.stream is None:
            talk.stream = self._pictures.stream(portrait)
        return talk.stream

    def show(self, talk: Talk, peer: Peer, stream: LiveStream, kept: AbstractContextManager[Any]) -> None:
        """From now on `peer` watches the stream of the session, instead of the one before; `kept` is left
        when it has gone."""
        if talk.peer is not None:
            talk.peer.close()
        talk.peer = peer
        if talk.id in self._talks:
            stream.join(peer)
        else:  # it has ended meanwhile
            peer.close()
        self._tasks.start_soon(self._serve, talk, peer, stream, kept)

    async def _serve(
        self, talk: Talk, peer: Peer, stream: LiveStream, kept: AbstractContextManager[Any]
    ) -> None:
        with kept:
            try:
                await peer.run()
            finally:
                stream.leave(peer)
                if talk.peer is peer:
                    talk.peer = None

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
            self.remember_ended(talk.id, talk.seat.owner)

    async def _watch(self, talk: Talk) -> None:
        """End it when its time is up, or forget it when it ends by itself."""
        while (left := talk.expires - asyncio.get_running_loop().time()) > 0:
            with anyio.move_on_after(left):
                await talk.seat.ended.wait()
            if talk.seat.ended.is_set():
                break
        self.end(talk)
