"""Calls an ASGI application without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Scope

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """That of an error."""
        return str(json.loads(self.body)["code"])


def scope(kind: str, path: str, headers: Headers = (), client: str = "203.0.113.9", **more: Any) -> Scope:
    path, _, query = path.partition("?")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "client": (client, 4711),
        "scheme": "http" if kind == "http" else "ws",
        "root_path": "",
        **more,
    }


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Headers = (),
    body: Iterable[bytes] = (b"",),
    pause: float = 0.0,
    client: str = "203.0.113.9",
) -> Answer:
    """`pause` seconds before each piece of the body."""
    pieces, sent = list(body), list[Message]()

    async def receive() -> Message:
        if not pieces:
            await asyncio.Event().wait()
        await asyncio.sleep(pause)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope("http", path, headers, client, method=method), receive, send)
    start, *rest = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(message.get("body", b"") for message in rest))


@dataclass
class Socket:
    """A WebSocket's client: says what it is told to, and keeps what it hears."""

    app: ASGIApp
    path: str
    headers: Headers = ()
    client: str = "203.0.113.9"
    subprotocols: list[str] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self._settled = asyncio.Event()
        """The application waits for what comes next, or has ended."""
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> Socket:
        told = scope("websocket", self.path, self.headers, self.client, subprotocols=self.subprotocols)

        async def receive() -> Message:
            if self._said.empty():
                self._settled.set()
            return await self._said.get()

        async def send(message: Message) -> None:
            self.heard.append(message)
            if message["type"] == "websocket.close":
                self._said.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

        self._task = asyncio.create_task(self.app(told, receive, send))  # type: ignore[arg-type]
        self._task.add_done_callback(lambda _: self._settled.set())
        await self._settled.wait()
        return self

    async def say(self, said: str | bytes) -> None:
        assert self._task is not None
        if not self._task.done():
            self._settled.clear()
        kind = "text" if isinstance(said, str) else "bytes"
        self._said.put_nowait({"type": "websocket.receive", kind: said})
        await self._settled.wait()

    async def leave(self) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1000})
        if self._task is not None:
            await self._task

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.heard if message["type"] == "websocket.send"]

    @property
    def closed(self) -> tuple[int, str] | None:
        last = self.heard[-1] if self.heard else {}
        return (last["code"], last["reason"]) if last.get("type") == "websocket.close" else None
