"""All conversations of this server, and the tokens that bring a client back to its own."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.abc import TaskGroup

from visavis.agents import AgentEngine, Brief
from visavis.audio import Media
from visavis.conversation import Conversation
from visavis.conversations.carried import Begun, Carried, Copy
from visavis.conversations.recorder import Recorder
from visavis.conversations.store import Store, hash_of
from visavis.events import Effect, Recast, UserText
from visavis.recording.folder import Folder
from visavis.security.limits import Bucket
from visavis.server.lines import Full
from visavis.server.pressure import Pressure
from visavis.session import Client, Parts, Past, Session, hearing
from visavis.settings import LimitSettings
from visavis.stages import Message

if TYPE_CHECKING:
    from visavis.server.directory import Directory  # an extra

CARRIED = ("widget", "api", "page")
"""Dialects whose sessions others know of."""
MOVED = (1012, "the conversation goes on at another server; please connect again")


class Sitter(Client, Protocol):
    """The connection that a session's client sits behind."""

    def replaced(self) -> None: ...
    def ended(self) -> None: ...


@dataclass(slots=True)
class Seat:
    """A session's place: who sits there may have left for a moment."""

    session: Session
    token: str
    ended: anyio.Event
    dialect: str = "widget"
    owner: str = ""
    """The subject of the token that it was begun with; "" on a server that needs none."""
    avatar: str = ""
    """Whose voice it has, where it was said."""
    since: float = field(default_factory=time.monotonic)
    client: Sitter | None = None
    expiry: anyio.CancelScope | None = None
    farewell: tuple[int, str] | None = None
    """What its connections are closed with, when it is the server that ends the session."""

    def end(self, code: int, reason: str) -> None:
        self.farewell = (code, reason)
        self.session.close()


class Sessions:
    """Opens sessions, keeps those whose client dropped for a while, ends them."""

    def __init__(
        self,
        parts: Parts,
        tasks: TaskGroup,
        limit: int,
        resume_seconds: float,
        store: Store | None = None,
        limits: LimitSettings | None = None,
        recordings: Folder | None = None,
        directory: Directory | None = None,
    ) -> None:
        """`store` writes conversations down, if there is one; without `limits` nobody is limited; into
        `recordings` sessions are recorded, if they are; with a `directory` they can go on elsewhere."""
        self._directory = directory
        if directory is not None:
            directory.own = self._owners
        self.parts, self._store, self._limits, self._recordings = parts, store, limits, recordings
        self._tasks, self.limit, self._patience = tasks, limit, resume_seconds
        self._seats: dict[str, Seat] = {}
        self.draining = False
        """The server is about to stop: nobody new is let in."""
        self.pressure = Pressure(parts.ticker.lateness, parts.animator.lateness)
        self.opened: Counter[str] = Counter()
        """Sessions since the start, by dialect."""

    def __iter__(self) -> Iterator[Seat]:
        return iter(tuple(self._seats.values()))

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def recorded(self) -> bool:
        """Whether sessions are, when nobody minds."""
        return self._recordings is not None

    @property
    def full(self) -> bool:
        return len(self._seats) >= self.limit or self.busy

    @property
    def busy(self) -> bool:
        """Whether those who are here would hear it if more came."""
        return self.pressure.high(len(self._seats))

    def has(self, token: str) -> bool:
        """Whether the conversation that this token brings back is here."""
        return token in self._seats

    def has_id(self, id: str) -> bool:
        return any(seat.session.id == id for seat in self._seats.values())

    def check_room(self, owner: str = "") -> None:
        """Raises `Full` when nobody new is let in, or no more of one owner."""
        if self.draining:
            raise Full(
                "SERVER_STOPPING", "The server is about to restart; please try again in a few seconds."
            )
        if self.full:
            raise Full("SERVER_FULL", "All places are taken; please try again in a minute.")
        most = self._limits.sessions_per_token if self._limits is not None and owner else 0
        elsewhere = 0 if self._directory is None else self._directory.elsewhere(owner)
        if most and self._owners()[owner] + elsewhere >= most:
            raise Full("TOO_MANY_SESSIONS", f"You have {most} conversations already; end one of them first.")

    def _owners(self) -> Counter[str]:
        """How many conversations of whom there are."""
        return Counter(seat.owner for seat in self._seats.values() if seat.owner)

    def open(
        self,
        session_id: str,
        token: str,
        media: Media,
        brief: Brief | None = None,
        agent: AgentEngine | None = None,
        dialect: str = "widget",
        owner: str = "",
        recorded: bool = False,
        carried: Carried | None = None,
    ) -> Seat:
        """A new conversation; its agent, `agent` or the server's, is opened in the server's task group.
        `recorded`: those who talk know that it is, where this server does; `carried` is what it goes on with.
        Raises `Full`."""
        self.check_room(owner if carried is None else "")  # of which there are not more now
        ended, limits = anyio.Event(), self._limits

        def on_end() -> None:
            if end is not None:
                end.cancel()
            self._seats.pop(token, None)
            end_recording()
            if self._directory is not None:
                self._directory.end(session_id)
            ended.set()
            if seat.client is not None:
                seat.client.ended()

        conversation, past = Conversation(media), None
        if carried is not None:
            conversation, past = _carried(carried, self._store, session_id, token)
        elif self._store is not None:
            conversation, past = _with_past(self._store, session_id, token, media)
        if self._directory is not None and dialect in CARRIED:
            told = brief or self.parts.brief
            begun = Begun(
                session_id,
                hash_of(token),
                dialect,
                owner,
                self._patience,
                media,
                told.instructions,
                told.voice,
                told.language,
                told.avatar,
                {} if carried is None else carried.begun.talk,
            )
            copy = Copy(begun, conversation, () if carried is None else carried.said)
            recorder = Recorder(copy.add, time.time, conversation.user_turns)
            for effect in () if carried is None else carried.told:
                recorder.hear(effect)
            past = _heard_by(recorder.hear, past or Past())
            self._directory.begin(copy, lambda: seat.end(*MOVED))
        parts = self.parts if agent is None else replace(self.parts, agent=agent)
        session = Session(session_id, parts, conversation, on_end, brief, past, _hearing(limits))
        end_recording = self._record(session, dialect) if recorded else _nothing
        seat = Seat(session, token, ended, dialect, owner, (brief or self.parts.brief).avatar)
        self._seats[token] = seat
        end: asyncio.TimerHandle | None = None
        if limits is not None and limits.session_minutes:
            longest = f"a conversation may take {limits.session_minutes:g} minutes here"
            end = asyncio.get_running_loop().call_later(limits.session_minutes * 60, seat.end, 1008, longest)
        self.opened[dialect] += 1
        self._tasks.start_soon(session.run, name=f"session {session_id}")
        return seat

    def _record(self, session: Session, dialect: str) -> Callable[[], None]:
        """Record it, where sessions are; returns what to call when it has ended."""
        if self._recordings is None:
            return _nothing
        heard = 0 if self._limits is None else self._limits.audio_seconds_per_minute
        facts = session.facts() | {"dialect": dialect, "hearing": heard}
        now = asyncio.get_running_loop().time
        session.tape, end = self._recordings.record(session.id, now(), facts)
        return lambda: end(now())

    def resume(self, token: str, media: Media, owner: str = "", *, recorded: bool = False) -> Seat | None:
        """The conversation that waits for the holder of this token, or was written down, if there is one."""
        seat = self._seats.get(token)
        if seat is None and self._store is not None:
            known = self._store.known(token)
            if known is None:
                return None
            return self.open(known.id, token, media, owner=owner, recorded=recorded)
        if seat is not None and (seat.owner != owner or seat.session.closed):
            return None  # somebody else's, or about to be gone
        if seat is not None and seat.expiry is not None:
            seat.expiry.cancel()
            seat.expiry = None
        return seat

    def go_on(self, carried: Carried, token: str, agent: AgentEngine | None = None) -> Seat:
        """A conversation that was at another server, with `agent` or the server's. Raises `Full`."""
        begun = carried.begun
        brief, media = carried.brief(self.parts.brief), begun.media
        seat = self.open(begun.id, token, media, brief, agent, begun.dialect, begun.owner, carried=carried)
        if question := carried.question:
            seat.session.feed(UserText(question))
        return seat

    def cast(self, seat: Seat, avatar: str) -> None:
        """Another avatar, whose voice it has from the next reply on."""
        if avatar and avatar != seat.avatar:
            seat.avatar = avatar
            seat.session.feed(Recast(avatar))
            self.describe(seat.session.id, avatar=avatar)

    def describe(self, id: str, **facts: Any) -> None:
        """What another server has to know besides, to go on with a session."""
        if self._directory is not None:
            self._directory.change(id, **facts)

    def send_away(self, seat: Seat, code: int, reason: str) -> None:
        """End a session here, which may go on elsewhere."""
        if self._directory is not None:
            self._directory.release(seat.session.id)
            if seat.client is not None:  # who is not to hear that the reply was cut: it goes on
                seat.session.detach(seat.client)
        seat.end(code, reason)

    def leave(self, seat: Seat, *, for_good: bool) -> None:
        """The client is gone; unless it said goodbye, its conversation waits for it."""
        if for_good or self._patience == 0:
            seat.session.close()
        elif not seat.session.closed and seat.expiry is None:
            seat.expiry = anyio.CancelScope()
            self._tasks.start_soon(self._expire, seat, seat.expiry)

    async def _expire(self, seat: Seat, scope: anyio.CancelScope) -> None:
        with scope:
            with anyio.move_on_after(self._patience):
                await seat.ended.wait()
            seat.session.close()


def _with_past(store: Store, session_id: str, token: str, media: Media) -> tuple[Conversation, Past]:
    """A conversation that is written down, and goes on where it was when there is an earlier one."""
    hear = store.record(session_id, token).hear
    known = store.known(token)
    if known is None:
        return Conversation(media), Past(hear)
    past = Past(hear, partial(store.history, known.id), () if known.cut is None else (known.cut,))
    return Conversation(media, None, known.turns, known.user_turns), past


def _carried(carried: Carried, store: Store | None, session_id: str, token: str) -> tuple[Conversation, Past]:
    """A conversation that goes on where it was at another server."""

    async def recall() -> tuple[Message, ...]:
        return carried.history

    past = Past(None, recall)
    if store is not None:
        recorder = store.record(session_id, token, carried.user_turns)
        for effect in carried.told:
            recorder.hear(effect)
        past = _heard_by(recorder.hear, past)
    return carried.conversation(asyncio.get_running_loop().time()), past


def _heard_by(hear: Callable[[Effect], None], past: Past) -> Past:
    """`past`, with one more who is told all that comes of it."""
    if (other := past.hear) is None:
        return replace(past, hear=hear)

    def both(effect: Effect) -> None:
        other(effect)
        hear(effect)

    return replace(past, hear=both)


def _nothing() -> None:
    pass


def _hearing(limits: LimitSettings | None) -> Bucket | None:
    """Seconds of sound that a session may hear."""
    return hearing(limits.audio_seconds_per_minute if limits is not None else 0)


def new_id() -> str:
    return uuid.uuid4().hex


def new_token() -> str:
    return secrets.token_urlsafe(24)
