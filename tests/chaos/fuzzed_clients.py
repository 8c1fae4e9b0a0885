"""The dialects of clients as targets: a server that needs tokens, in which somebody else talks, too.

Acts: `!wait S`; `!open {...}` connects once more (`query`, `origin`, `authorization`, `subprotocols`, all
optional; without any of them with a good token), and is heard from then on; `!drop` and `!leave` end the
connection, which is made again when there is more to say. In texts `$TOKEN` and `$OTHER` are the tokens of
two callers, `$RESUME` resumes the last conversation, `$THEIRS` is what somebody else's would be resumed with,
`$LONG` is long, and `$HUGE` longer than a message may be.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from bench.marked import MarkedAgent, load, lost
from fastapi import FastAPI
from tests.asgi import call
from tests.chaos.house import ABORTED, GOODBYE, Guest, house
from tests.chaos.targets import ACT, Feed, Finding, check, leaving_nothing, seconds
from tests.chaos.watch import Alarms, alarms
from tests.shell import Faces

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.scripted import ScriptedEngine
from visavis.audio import Media
from visavis.server.talks import NoSuchTalk
from visavis.settings import Settings
from visavis.tools import Tool
from visavis.tools.toolbox import ClientTool
from visavis.video.drawn import DrawnRenderer
from visavis.wires import Message

SERVER = {
    "auth": {"enabled": True, "secret_key": "fuzz" * 8, "token_ttl": 31 * 86_400},
    "face": {"engine": "energy"},
    "limits": {"enabled": False},
    "scripted": {"speed": 10},
    "server": {"max_message_bytes": 10_000, "max_sessions": 50},
    "stages": {
        "asr": "tests.server.light:Ears",
        "llm": "tests.server.light:Echo",
        "tts": "tests.server.light:Hum",
    },
    "video": {"width": 64, "height": 64},
}
"""A server without models."""
ID = "00000000-0000-4000-8000-000000000000"
GOOD_CLOSES = frozenset({1000, 1008, 1009, 1013})
"""Codes that a server may close with; 1011 is a conversation that has ended by itself."""
MOST_GUESTS = 4
"""Connections of a script at a time."""
BURST = 8
"""Messages that arrive at once."""
EVERY = 100
"""Scripts between two questions of somebody else."""
UNAVAILABLE = {501, 502, 503, 504}


class Acting(MarkedAgent):
    """Has the client wave when it is asked to act."""

    async def send(self, event: ev.ToAgent) -> None:
        if isinstance(event, ev.UserText) and event.text.startswith("act"):
            self._put(ev.ToolCall(f"c{self._count}", "wave", {}))
        await super().send(event)


class Engine(ScriptedEngine):
    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[MarkedAgent]:
        agent = Acting(self.script)
        try:
            yield agent
        finally:
            agent.stop()


class Place:
    """A server, and somebody else who talks to it and must not notice anything."""

    def __init__(self, app: FastAPI, heard: Alarms) -> None:
        self.app, self.heard = app, heard
        self.token, self.other = (app.state.auth.user(name) for name in ("ann", "cal"))
        app.state.auth.read = cache(app.state.auth.read)  # good tokens, whose signatures take long, once
        self._count = 0
        self._ben = Guest(app, f"/ws?token={app.state.auth.user('ben')}")

    async def begin(self) -> None:
        config = await self._ben.until("config")
        self.theirs = str(config["resume"])
        await self._ask()

    async def end(self) -> None:
        await self._ben.leave()

    async def _ask(self) -> None:
        """Somebody else asks, and hears all of the answer and nothing more."""
        question = f"ben-{self._count} 0.1"
        self._ben.heard.clear()
        self._ben.say(type="text", data=question)
        done = await self._ben.until("transcript_done", role="assistant")
        await asyncio.sleep(1)
        turns = {frame["turnId"] for frame in self._ben.of("sync_frame")}
        if done is None or len(turns) != 1 or lost(self._ben.frames(*turns), question):
            raise Finding(f"somebody else's conversation was disturbed: {done}, {turns}")
        self._ben.heard.clear()

    @asynccontextmanager
    async def script(self) -> AsyncIterator[None]:
        """While one is told; afterwards nobody is here but who was before."""
        async with leaving_nothing():
            yield
            sessions, talks = self.app.state.sessions, self.app.state.talks
            for seat in sessions:
                if seat.owner != "user-ben":
                    seat.session.close()
            await asyncio.sleep(0.001)
        self._count += 1
        if self._ben.heard or self._ben.closed is not None:
            raise Finding(f"somebody else hears of it: {self._ben.heard[:1]}, {self._ben.closed}")
        if (len(sessions), len(talks), len(self.app.state.lines)) != (1, 0, 1):
            raise Finding("something is left of a conversation")
        if self._count % EVERY == 0:
            await self._ask()
        check((), self.heard)


async def _still(avatar: str) -> DrawnRenderer:
    """Faces are not what is tried here."""
    return DrawnRenderer(lambda seconds: np.zeros((64, 64, 3), np.uint8), (64, 64))


@asynccontextmanager
async def _place() -> AsyncIterator[Place]:
    with alarms() as heard:
        settings = Settings.model_validate(SERVER)
        async with house(settings, Engine(settings.scripted, load(settings).pcm)) as app:
            parts = app.state.sessions.parts
            parts.tools.add(ClientTool(Tool("wave"), returns=True))
            app.state.sessions.parts = replace(parts, faces=Faces())
            app.state.pictures.renderer = _still
            place = Place(app, heard)
            await place.begin()
            yield place
            await place.end()


# -- sockets -----------------------------------------------------------------------------------------------
@asynccontextmanager
async def widget() -> AsyncIterator[Feed]:
    async with _place() as place:
        yield _feeding(place, "/ws")


@asynccontextmanager
async def frames() -> AsyncIterator[Feed]:
    async with _place() as place:
        yield _feeding(place, "/")


@asynccontextmanager
async def api() -> AsyncIterator[Feed]:
    async with _place() as place:
        talks = place.app.state.talks

        def prepare() -> None:
            with suppress(NoSuchTalk):
                talks.get(ID, any=True)
                return
            talks.create("mia", media=Media(), output="weights", id=ID, owner="user-ann")

        yield _feeding(place, f"/api/v1/sessions/{ID}/ws", prepare)


def _feeding(place: Place, path: str, prepare: Callable[[], None] = lambda: None) -> Feed:
    async def feed(messages: list[Message]) -> int:
        async with place.script():
            prepare()
            visit = Visit(place, path)
            try:
                for message in messages:
                    await visit.do(message)
                await visit.settle()
                await visit.check()
            finally:
                await visit.leave()
        return visit.taken

    return feed


class Visit:
    """What one script does to a server: some connections, one of which is talked over."""

    def __init__(self, place: Place, path: str) -> None:
        self._place, self._path = place, path
        self._guests: list[Guest] = []
        self._guest: Guest | None = None
        self._burst = 0
        self.taken = 0
        """Messages that a connection took that was open before and after."""

    async def do(self, message: Message) -> None:
        """Say something, or do what an act says."""
        if (wait := seconds(message)) is not None:
            await self.settle()
            await asyncio.sleep(wait)
        elif message in ("!drop", "!leave"):
            await self.settle()
            await self._hang_up(ABORTED if message == "!drop" else GOODBYE)
        elif isinstance(message, str) and message.startswith(ACT + "open"):
            await self.settle()
            await self._open(_wishes(message[len(ACT + "open") :]))
        else:
            if self._guest is None or self._guest.closed is not None:
                await self._open({})
            assert self._guest is not None
            self._guest.say(self._filled(message) if isinstance(message, str) else message)
            self._burst += 1
            if self._burst == BURST:
                await self.settle()

    async def settle(self) -> None:
        """Have what was said taken."""
        await asyncio.sleep(0.001)
        if self._guest is not None and self._guest.closed is None:
            self.taken += self._burst
        self._burst = 0

    async def check(self) -> None:
        """Whoever is connected is answered, and nobody was told what is not documented."""
        for guest in self._guests:
            await self._examine(guest)

    async def _examine(self, guest: Guest) -> None:
        if guest.closed is None:
            guest.say(type="ping")
            if await guest.until("pong") is None and guest.closed is None:
                await guest.leave()  # which says why the server has left
                raise Finding("the connection has ended")
        if guest.closed is not None and guest.closed[0] not in GOOD_CLOSES:
            raise Finding(f"the server has closed: {guest.closed}")
        check(guest.codes, self._place.heard)

    async def leave(self) -> None:
        for guest in self._guests:
            await guest.leave()

    async def _hang_up(self, code: int) -> None:
        if self._guest is not None:
            await self._guest.leave(code)
            self._guest.closed = self._guest.closed or (GOODBYE, "")
            self._guest = None

    async def _open(self, wishes: dict[str, Any]) -> None:
        """One connection more; the oldest goes when there are too many."""
        if len(self._guests) == MOST_GUESTS:
            oldest = self._guests.pop(0)
            await self._examine(oldest)
            await oldest.leave()
        query = self._filled(str(wishes.get("query", "token=$TOKEN")))
        query = _header(query).encode("ascii", "replace").decode()
        headers = [(name, _header(self._filled(str(wishes[name])))) for name in HEADERS if name in wishes]
        offered = wishes.get("subprotocols")
        names = [_header(self._filled(str(name))) for name in offered] if isinstance(offered, list) else ()
        self._guest = Guest(self._place.app, f"{self._path}?{query}", headers, names)
        self._guests.append(self._guest)

    def _filled(self, text: str) -> str:
        if "$" not in text:
            return text
        configs = [config["resume"] for guest in self._guests for config in guest.of("config")]
        place = self._place
        for name, value in (
            ("$TOKEN", place.token),
            ("$OTHER", place.other),
            ("$RESUME", configs[-1] if configs else ""),
            ("$THEIRS", place.theirs),
            ("$LONG", "A" * 6_000),
            ("$HUGE", "A" * 12_000),
        ):
            text = text.replace(name, value)
        return text


HEADERS = ("origin", "authorization")


def _wishes(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _header(text: str) -> str:
    """What a server lets through as a header's value."""
    return "".join(letter for letter in text[:20_000] if " " <= letter <= "\xff" and letter != "\x7f").strip()


# -- bodies of requests ------------------------------------------------------------------------------------
FORM = "multipart/form-data; boundary=x"
REQUESTS = (
    ("/api/session", "application/json"),
    ("/api/openai/chat", "application/json"),
    ("/api/muse/start", "application/json"),
    ("/api/openai/chat", "audio/webm"),
    ("/api/openai/chat", "audio/pcm;rate=16000"),
    ("/api/openai/chat", FORM),
    (f"/api/openai/chat?sessionId={ID}", "audio/wav"),
    ("/api/session", ""),
    ("/api/openai/chat?token=x", "application/json"),
    ("/api/muse/start", "text/plain"),
)
"""Where a body goes, by the first byte of its message."""


@asynccontextmanager
async def page() -> AsyncIterator[Feed]:
    async with _place() as place:

        async def feed(messages: list[Message]) -> int:
            taken = 0
            async with place.script():
                bearer = ("authorization", f"Bearer {place.token}")
                answer = await call(place.app, "POST", "/api/session", [bearer])
                begun = str(json.loads(answer.body)["sessionId"])
                for message in messages:
                    if (wait := seconds(message)) is not None:
                        await asyncio.sleep(wait)
                        continue
                    body = message if isinstance(message, bytes) else message.encode()
                    path, kind = REQUESTS[((body[:1] or b"0")[0] - 48) % len(REQUESTS)]
                    sent = body[1:].replace(ID.encode(), begun.encode()).replace(b"$LONG", b"A" * 70_000)
                    path = path.replace(ID, begun)
                    answer = await call(place.app, "POST", path, [bearer, ("content-type", kind)], [sent])
                    if answer.status >= 500 and answer.status not in UNAVAILABLE:
                        raise Finding(f"{path} answers {answer.status}")
                    check([] if answer.status < 400 else [answer.code], place.heard)
                    taken += 1
            return taken

        yield feed
