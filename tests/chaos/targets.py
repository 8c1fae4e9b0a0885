"""Every wire as something to throw messages at: the real server, or a real agent whose provider is made up.

A `Teller` takes one script after the other, each a list of messages; it raises what nobody handled, or a
`Finding` when something else happened that must not.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

from fastapi import FastAPI
from tests.asgi import call
from tests.chaos.house import Guest, house
from tests.chaos.watch import Alarms, alarms, documented
from tests.shell import session

from visavis import events as ev
from visavis.agents import openai_realtime, remote
from visavis.agents.remote_line import Line
from visavis.audio import Media
from visavis.server.talks import NoSuchTalk
from visavis.session import Session
from visavis.settings import Settings
from visavis.wires import Message
from visavis.wires.api import ApiWire
from visavis.wires.frames import FramesWire
from visavis.wires.widget import WidgetWire

MOST = 9
"""Messages of a script: ten that are malformed would end a connection."""
LONGEST = 1000
"""Messages after which a connection is begun anew."""
BINARY = b"\x01"
"""What a binary message begins with in a script's bytes; the others are text."""
SERVER = {
    "agent": "bench.marked:load",
    "face": {"engine": "energy"},
    "scripted": {"speed": 1000},
    "server": {"max_sessions": 1000, "resume_seconds": 0},
    "stages": {
        "asr": "tests.server.light:Ears",
        "llm": "tests.server.light:Echo",
        "tts": "tests.server.light:Hum",
    },
    "video": {"width": 64, "height": 64},
}
"""A server without models."""
OWN = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
"""Codes that an agent elsewhere makes up."""
UNAVAILABLE = {501, 502, 503, 504}
CODES = documented()
ID = "00000000-0000-4000-8000-000000000000"

Feed = Callable[[list[Message]], Awaitable[int]]


class Finding(Exception):
    """Something that must never happen."""


def script(data: bytes) -> list[Message]:
    """The messages in a fuzzer's bytes, one a line."""
    lines = data.split(b"\n")[:MOST]
    return [line[1:] if line.startswith(BINARY) else line.decode(errors="replace") for line in lines]


def written(messages: Iterable[Message]) -> bytes:
    """The bytes of a script."""
    return b"\n".join(
        BINARY + message if isinstance(message, bytes) else message.encode() for message in messages
    )


def check(codes: Iterable[str], heard: Alarms, *, own: bool = False) -> None:
    """Nothing unhandled, and every error has a code that is documented, or is the agent's `own`."""
    if heard.raised:
        raise Finding("; ".join(heard.raised))
    if unknown := {code for code in codes if code not in CODES and not (own and OWN.fullmatch(code))}:
        raise Finding(f"codes that are not documented: {unknown}")


# -- sockets of clients ------------------------------------------------------------------------------------
@asynccontextmanager
async def _widget() -> AsyncIterator[Feed]:
    async with _server() as (app, heard), Caller(lambda: Guest(app), heard) as caller:
        yield caller.feed


@asynccontextmanager
async def _frames() -> AsyncIterator[Feed]:
    async with _server() as (app, heard), Caller(lambda: Guest(app, "/"), heard) as caller:
        yield caller.feed


@asynccontextmanager
async def _api() -> AsyncIterator[Feed]:
    async with _server() as (app, heard):

        def connect() -> Guest:
            with suppress(NoSuchTalk):
                app.state.talks.end(app.state.talks.get(ID))
            app.state.talks.create("mia", media=Media(), output="weights", id=ID)
            return Guest(app, f"/api/v1/sessions/{ID}/ws")

        async with Caller(connect, heard) as caller:
            yield caller.feed


class Caller:
    """Keeps one connection as long as it lasts: a script finds it as the one before has left it."""

    def __init__(self, connect: Callable[[], Guest], heard: Alarms) -> None:
        self._connect, self._heard = connect, heard
        self._guest: Guest | None = None
        self._told = 0

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._guest is not None:
            await self._guest.leave()

    async def feed(self, messages: list[Message]) -> int:
        if self._guest is None or self._guest.closed is not None or self._told >= LONGEST:
            await self.__aexit__()
            self._guest, self._told = self._connect(), 0
        self._guest.heard.clear()
        for message in messages:
            self._guest.say(message)
        self._guest.say(type="ping")
        if await self._guest.until("pong") is None and self._guest.closed is None:
            gone, self._guest = self._guest, None
            await gone.leave()  # which says why the server has left
            raise Finding("the connection has ended")
        self._told += len(messages)
        assert self._guest is not None
        check(self._guest.codes, self._heard)
        return len(messages)


# -- bodies of requests ------------------------------------------------------------------------------------
BODIES = (
    ("/api/session", "application/json"),
    ("/api/openai/chat", "application/json"),
    ("/api/muse/start", "application/json"),
    ("/api/openai/chat", "audio/webm"),
)
"""Where a body goes, by the first byte of its message."""


@asynccontextmanager
async def _page() -> AsyncIterator[Feed]:
    async with _server() as (app, heard):

        async def feed(messages: list[Message]) -> int:
            begun = json.loads((await call(app, "POST", "/api/session")).body)["sessionId"].encode()
            for message in messages:
                body = message if isinstance(message, bytes) else message.encode()
                path, kind = BODIES[(body[:1] or b"0")[0] % len(BODIES)]
                sent = body[1:].replace(ID.encode(), begun)
                answer = await call(app, "POST", path, {"content-type": kind}, [sent])
                if answer.status >= 500 and answer.status not in UNAVAILABLE:
                    raise Finding(f"{path} answers {answer.status}")
                check([] if answer.status < 400 else [answer.code], heard)
            for seat in app.state.sessions:
                seat.session.close()
            await asyncio.sleep(0)
            return len(messages)

        yield feed


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[FastAPI, Alarms]]:
    with alarms() as heard:
        async with house(Settings.model_validate(SERVER)) as app:
            yield app, heard


# -- providers ---------------------------------------------------------------------------------------------
ACTS: dict[str, tuple[ev.Event, ...]] = {
    "!text": (ev.UserText("hello"),),
    "!speech": (ev.MicOn(), ev.UserAudio(b"\x10\x27\xf0\xd8" * 4000), ev.MicOff()),
    "!mic": (ev.MicOn(), ev.UserAudio(b"\x10\x27\xf0\xd8" * 4000)),
    "!stop": (ev.Interrupt(),),
}
"""What the user does in a provider's script."""


class Provider:
    """The far end of a connection: says what it is told to until it is given up."""

    close_code, close_reason = 1006, ""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._more = asyncio.Event()
        self.idle = asyncio.Event()
        """Everything was taken, or nothing will be any more."""
        self.over = False
        self.talk: Session | None = None
        self.transport, self._connection = self, self

    def say(self, messages: list[Message]) -> None:
        self._messages.extend(messages)
        self.idle.clear()
        self._more.set()

    @property
    def left(self) -> int:
        """Messages that were not taken."""
        return len(self._messages)

    async def recv(self, decode: bool | None = None) -> Message:
        while True:
            while not self._messages:
                self.idle.set()
                self._more.clear()
                await self._more.wait()
            message = self._messages.popleft()
            if not (isinstance(message, str) and message in ACTS):
                return message
            for event in ACTS[message]:
                assert self.talk is not None
                self.talk.feed(event)
            await asyncio.sleep(0)

    async def recv_bytes(self) -> bytes:
        message = await self.recv()
        return message if isinstance(message, bytes) else message.encode()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while not self.over:
            yield await self.recv()

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)

    send_raw = send

    async def enter(self) -> Provider:
        return self

    async def close(self, *reason: Any) -> None:
        self.abort()

    def abort(self) -> None:
        self.over = True
        self.idle.set()


class Remote(remote.RemoteEngine):
    provider: Provider

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[Line]:
        yield Line(cast(Any, self.provider))


@asynccontextmanager
async def _remote() -> AsyncIterator[Feed]:
    engine = Remote(Settings.model_validate({"remote": {"url": "ws://agent.example"}}))

    def prepare(provider: Provider) -> Any:
        engine.provider = provider
        return engine

    async with _provided(prepare, own=True) as feed:
        yield feed


@asynccontextmanager
async def _openai() -> AsyncIterator[Feed]:
    engine = openai_realtime.load(Settings.model_validate({"openai": {"key": "sk-none"}}))

    def prepare(provider: Provider) -> Any:
        realtime = SimpleNamespace(connect=lambda **_: provider)
        cast(Any, engine)._client = SimpleNamespace(realtime=realtime)
        return engine

    async with _provided(prepare) as feed:
        yield feed


@asynccontextmanager
async def _gemini() -> AsyncIterator[Feed]:
    from google.genai.live import AsyncSession

    from visavis.agents import gemini_line, gemini_live

    engine = gemini_live.load(Settings.model_validate({"gemini": {"key": "none"}}))

    def prepare(provider: Provider) -> Any:
        @asynccontextmanager
        async def dial(*_: Any) -> AsyncIterator[gemini_line.Line]:
            api: Any = SimpleNamespace(vertexai=False)
            try:
                yield gemini_line.Line(AsyncSession(api, cast(Any, provider)), engine.dialler.failure)
            finally:
                provider.abort()  # its next session has a script of its own

        cast(Any, engine.dialler).dial = dial
        return engine

    async with _provided(prepare) as feed:
        yield feed


@asynccontextmanager
async def _provided(prepare: Callable[[Provider], Any], *, own: bool = False) -> AsyncIterator[Feed]:
    """Conversations with an agent whose provider says the scripts; all that comes of it can be told to
    clients of every dialect."""
    with alarms() as heard:
        stack = AsyncExitStack()
        provider, talk, ear, told = Provider(), cast(Any, None), cast(Any, None), 0
        provider.over = True

        async def feed(messages: list[Message]) -> int:
            nonlocal provider, talk, ear, told
            if provider.over or told >= LONGEST:
                await stack.aclose()
                provider, told = Provider(), 0
                talk, ear = await stack.enter_async_context(session(prepare(provider)))
                provider.talk = talk
            ear.log.clear()
            provider.say(messages)
            await provider.idle.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            told += len(messages)
            _tell(event for event in ear.of(object))
            check([problem.code for problem in ear.of(ev.Problem)], heard, own=own)
            if talk.closed:
                raise Finding("the session has ended")
            return len(messages) - provider.left

        yield feed
        await stack.aclose()


def _tell(events: Iterable[object]) -> None:
    wires = WidgetWire("s"), ApiWire("s", Media(), "both"), FramesWire(ID, 64, 64)
    wires[0].extended = True
    for event in events:
        for wire in wires:
            wire.encode(cast(ev.ToClient, event), 0)


WIRES = {
    "widget": _widget,
    "api": _api,
    "frames": _frames,
    "page": _page,
    "remote": _remote,
    "openai": _openai,
    "gemini": _gemini,
}


class Teller:
    """A wire to be told scripts, by code that is not asynchronous; everything is opened in one task."""

    def __init__(self, wire: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._scripts: asyncio.Queue[tuple[list[Message], asyncio.Future[int]]] = asyncio.Queue()
        self._serving = self._loop.create_task(self._serve(WIRES[wire]()))

    async def _serve(self, target: AbstractAsyncContextManager[Feed]) -> None:
        async with target as feed:
            while True:
                messages, taken = await self._scripts.get()
                try:
                    taken.set_result(await feed(messages))
                except Exception as finding:
                    taken.set_exception(finding)

    def __call__(self, messages: list[Message]) -> int:
        """How many of the messages were taken; raises what must not happen."""
        taken = self._loop.create_future()
        self._scripts.put_nowait((messages, taken))
        count: int = self._loop.run_until_complete(taken)
        return count

    def close(self) -> None:
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
