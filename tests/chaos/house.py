"""A whole server inside the test's own process, on whichever clock, and the guests who come to it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.types import Message
from tests.asgi import scope
from tests.shell import Inline

from visavis.agents import AgentEngine
from visavis.faces.animator import Animator
from visavis.server.app import create_app
from visavis.server.protocol import TRANSPORT
from visavis.settings import Settings

PATIENCE = 60.0
"""Seconds of the clock, which may be a virtual one."""
ABORTED, GOODBYE = 1006, 1000


@asynccontextmanager
async def house(settings: Settings, agent: AgentEngine | None = None) -> AsyncIterator[FastAPI]:
    """The application with `agent` instead of its own; faces move at once, so that nothing depends on how
    busy the machine is."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        parts = app.state.sessions.parts
        app.state.sessions.parts = replace(parts, agent=agent or parts.agent, animator=Animator(Inline()))
        yield app


class LineCut(OSError):
    """What an application gets that sends to somebody who is gone; servers expect to see it again."""


class Guest:
    """A WebSocket client of an application in this process, who can do everything that networks do."""

    def __init__(
        self,
        app: FastAPI,
        path: str = "/ws",
        headers: Iterable[tuple[str, str]] = (),
        subprotocols: Iterable[str] = (),
    ) -> None:
        self.heard: list[Any] = []
        """What it was told: objects, or bytes."""
        self.closed: tuple[int, str] | None = None
        self.reading = asyncio.Event()
        """Cleared, it reads nothing: whoever sends to it waits."""
        self.reading.set()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self._news = asyncio.Event()
        self._cut = asyncio.Event()
        extensions = {TRANSPORT: {"transport": self}}
        told = scope("websocket", path, headers, subprotocols=[*subprotocols], extensions=extensions, app=app)
        self._serving = asyncio.create_task(app(told, self._said.get, self._send))
        self._serving.add_done_callback(lambda _: self._news.set())

    async def __aenter__(self) -> Guest:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    # -- the server's side ------------------------------------------------------------------------------
    def abort(self) -> None:
        """The server hangs up."""
        self._cut.set()
        self._said.put_nowait({"type": "websocket.disconnect", "code": ABORTED})

    async def _send(self, message: Message) -> None:
        if not self.reading.is_set():
            await self._stall()
        if self._cut.is_set():
            raise LineCut
        if message["type"] == "websocket.close":
            self.closed = message["code"], message["reason"]
            self._said.put_nowait({"type": "websocket.disconnect", "code": message["code"]})
        elif message["type"] == "websocket.send":
            text = message.get("text")
            self.heard.append(message["bytes"] if text is None else orjson.loads(text))
        self._news.set()

    async def _stall(self) -> None:
        either = [asyncio.create_task(event.wait()) for event in (self._cut, self.reading)]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in either:
                task.cancel()

    # -- the test's side --------------------------------------------------------------------------------
    def say(self, message: str | bytes | None = None, /, **fields: Any) -> None:
        """A message as it is, or an object with a `type`."""
        sent = json.dumps(fields) if message is None else message
        kind = "text" if isinstance(sent, str) else "bytes"
        self._said.put_nowait({"type": "websocket.receive", kind: sent})

    async def until(self, type: str, **fields: Any) -> Any:
        """The first message of that kind, waiting for it; None when the server has closed before."""
        async with asyncio.timeout(PATIENCE):
            at = 0
            while True:
                for message in self.heard[at:]:
                    at += 1
                    if isinstance(message, dict) and ({"type": type, **fields}.items() <= message.items()):
                        return message
                if self.closed is not None or self._serving.done():
                    return None
                self._news.clear()
                await self._news.wait()

    async def more(self, count: int) -> bool:
        """Whether it heard `count` messages in all, waiting for them."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count and self.closed is None and not self._serving.done():
                self._news.clear()
                await self._news.wait()
        return len(self.heard) >= count

    async def leave(self, code: int = GOODBYE) -> None:
        """Hang up; returns when the server has let go. What the server raises comes out here."""
        if code == ABORTED:
            self._cut.set()
        self._said.put_nowait({"type": "websocket.disconnect", "code": code})
        with suppress(LineCut):
            await self._serving

    # -- what it heard ----------------------------------------------------------------------------------
    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if isinstance(message, dict) and message["type"] == type]

    @property
    def codes(self) -> list[str]:
        """Of the errors it was told."""
        return [message["code"] for message in self.of("error")]

    def frames(self, turn: str) -> dict[int, bytes]:
        """The sound of each frame of a turn, by its number."""
        return {
            frame["frameIndex"]: base64.b64decode(frame["audio"])
            for frame in self.of("sync_frame")
            if frame["turnId"] == turn
        }
