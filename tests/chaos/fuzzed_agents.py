"""The agents elsewhere as targets: each script is what a provider says in one conversation.

Acts: `!wait S`; what the user does: `!text`, `!speech`, `!mic`, `!hold` (and lets go), `!stop`, `!done` (has
done what the agent wanted); and what befalls the connection: `!close` and `!error`, after which the agent
makes another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from tests.chaos.fuzzed_clients import ID
from tests.chaos.targets import Feed, Finding, check, leaving_nothing, seconds
from tests.chaos.watch import Alarms, alarms
from tests.shell import Ear, session
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from visavis import events as ev
from visavis.agents import AgentEngine, openai_realtime, remote
from visavis.agents.remote_line import Line
from visavis.audio import Media
from visavis.session import Session
from visavis.settings import Settings
from visavis.tools import Tool
from visavis.tools.toolbox import ClientTool, ServerTool, Toolbox
from visavis.wires import Message
from visavis.wires.api import ApiWire
from visavis.wires.frames import FramesWire
from visavis.wires.widget import WidgetWire

VOICE = b"\x10\x27\xf0\xd8" * 4000
ACTS: dict[str, tuple[ev.Event, ...]] = {
    "!text": (ev.UserText("hello"),),
    "!speech": (ev.MicOn(), ev.UserAudio(VOICE), ev.MicOff()),
    "!mic": (ev.MicOn(), ev.UserAudio(VOICE)),
    "!hold": (ev.MicOn(hands_free=False), ev.UserAudio(VOICE), ev.MicOff()),
    "!stop": (ev.Interrupt(),),
}
"""What the user does."""
CLOSES: dict[str, Callable[[], ConnectionClosed]] = {
    "!close": lambda: ConnectionClosedOK(Close(1000, "bye"), Close(1000, "bye"), rcvd_then_sent=True),
    "!error": lambda: ConnectionClosedError(Close(1011, "internal error"), None),
}
"""What befalls the connection."""
BUSY = 5.0
"""Seconds in which an agent takes what it is told, or will not before something else happens."""


class Provider:
    """The far end: what it says waits for the next connection when there is none."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.connection: Connection | None = None
        self.taken = 0

    def dialled(self) -> Connection:
        self.connection = Connection(self)
        return self.connection

    def say(self, message: Message) -> None:
        self.messages.append(message)
        if self.connection is not None:
            self.connection.news.set()

    async def settle(self) -> None:
        """Wait for the agent to take everything."""
        end = asyncio.get_running_loop().time() + BUSY
        await asyncio.sleep(0.001)
        while self.messages and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)


class Connection:
    """One connection to it, as each SDK sees it."""

    close_code, close_reason = 1006, ""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._over: Exception | None = None
        self.news = asyncio.Event()
        self.transport, self._connection = self, self

    def end(self, why: Exception) -> None:
        """From now on nothing can be said, or heard."""
        self._over = self._over or why
        self.news.set()

    async def recv(self, decode: bool | None = None) -> Message:
        while self._over is None:
            if self._provider.messages:
                self._provider.taken += 1
                return self._provider.messages.popleft()
            self.news.clear()
            await self.news.wait()
        raise self._over

    async def recv_bytes(self) -> bytes:
        message = await self.recv()
        return message if isinstance(message, bytes) else message.encode()

    async def __aiter__(self) -> AsyncIterator[Message]:
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        if self._over is not None:
            raise self._over

    send_raw = send

    async def enter(self) -> Connection:
        return self

    async def close(self, *reason: Any) -> None:
        self.abort()

    def abort(self) -> None:
        self.end(CLOSES["!close"]())


# -- the agents --------------------------------------------------------------------------------------------
class Remote(remote.RemoteEngine):
    provider: Provider

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[Line]:
        yield Line(cast(Any, self.provider.dialled()))


@asynccontextmanager
async def remote_agent() -> AsyncIterator[Feed]:
    engine = Remote(Settings.model_validate({"remote": {"url": "ws://agent.example"}}))

    def prepare(provider: Provider) -> AgentEngine:
        engine.provider = provider
        return engine

    async with _provided(prepare, own=True) as feed:
        yield feed


@asynccontextmanager
async def openai_agent() -> AsyncIterator[Feed]:
    engine = openai_realtime.load(Settings.model_validate({"openai": {"key": "sk-none"}}))

    def prepare(provider: Provider) -> AgentEngine:
        realtime = SimpleNamespace(connect=lambda **_: provider.dialled())
        cast(Any, engine)._client = SimpleNamespace(realtime=realtime)
        return engine

    async with _provided(prepare) as feed:
        yield feed


@asynccontextmanager
async def gemini_agent() -> AsyncIterator[Feed]:
    from google.genai.live import AsyncSession

    from visavis.agents import gemini_line, gemini_live

    engine = gemini_live.load(Settings.model_validate({"gemini": {"key": "none"}}))

    def prepare(provider: Provider) -> AgentEngine:
        @asynccontextmanager
        async def dial(*_: Any) -> AsyncIterator[gemini_line.Line]:
            api: Any = SimpleNamespace(vertexai=False)
            connection = provider.dialled()
            try:
                yield gemini_line.Line(AsyncSession(api, cast(Any, connection)), engine.dialler.failure)
            finally:
                connection.abort()

        cast(Any, engine.dialler).dial = dial
        return engine

    async with _provided(prepare) as feed:
        yield feed


def _provided(
    prepare: Callable[[Provider], AgentEngine], *, own: bool = False
) -> AbstractAsyncContextManager[Feed]:
    """Conversations with an agent whose provider says the scripts; all that comes of it can be told to
    clients of every dialect."""

    @asynccontextmanager
    async def open_() -> AsyncIterator[Feed]:
        with alarms() as heard:

            async def feed(messages: list[Message]) -> int:
                provider = Provider()
                async with (
                    leaving_nothing(),
                    session(prepare(provider), tools=Toolbox(_tools())) as (talk, ear),
                ):
                    for message in messages:
                        await _do(message, provider, talk, ear)
                    await provider.settle()
                    ended = talk.closed
                _examine(ear, heard, own=own)
                if ended:
                    raise Finding("the session has ended")
                return provider.taken

            yield feed

    return open_()


def _tools() -> Iterable[ClientTool | ServerTool]:
    async def look_up(arguments: dict[str, Any]) -> Any:
        return arguments

    yield ServerTool(Tool("look_up"), look_up)
    yield ClientTool(Tool("wave"))
    yield ClientTool(Tool("nod"), returns=True)


async def _do(message: Message, provider: Provider, talk: Session, ear: Ear) -> None:
    wait = seconds(message)
    if isinstance(message, bytes) or (
        wait is None and message not in ACTS and message not in CLOSES and message != "!done"
    ):
        provider.say(message)
        return
    await provider.settle()
    if wait is not None:
        await asyncio.sleep(wait)
    elif message in CLOSES:
        if provider.connection is not None:
            provider.connection.end(CLOSES[message]())
    elif message == "!done":
        for action in ear.of(ev.Action):
            talk.feed(ev.ActionDone(action.call, {"done": True}))
    else:
        for event in ACTS[message]:
            talk.feed(event)
    await asyncio.sleep(0.001)


def _examine(ear: Ear, heard: Alarms, *, own: bool) -> None:
    wires = WidgetWire("s"), ApiWire("s", Media(), "both"), FramesWire(ID, 64, 64)
    wires[0].extended = True
    for event in ear.of(object):
        for wire in wires:
            wire.encode(cast(ev.ToClient, event), 0)
    check([problem.code for problem in ear.of(ev.Problem)], heard, own=own)
