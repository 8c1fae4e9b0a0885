"""Clients of the widget dialect that ask, and only count what comes: hundreds of them in one process."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from visavis.capacity.player import Player
from visavis.errors import VisavisError

T = TypeVar("T")

FULL_LEAD = 10
"""Frames of a reply that may come at once: a reserve cannot be larger before."""
PAUSE = 0.6
"""Seconds between the end of a reply and the next question."""
FRAME, DONE, ERROR = b'"type":"sync_frame"', b'"type":"transcript_done"', b'"type":"error"'
HEAD = 40
"""Bytes of a message in which its type stands."""


@dataclass
class Heard:
    """What all talkers heard while it counted. Times are seconds."""

    frames: int = 0
    stalls: int = 0
    replies: int = 0
    lost: int = 0
    """Talkers whose connection ended, or who were told of an error."""
    first: list[float] = field(default_factory=list)
    """From each question to its first frame; the agent answers it at once."""
    leads: list[float] = field(default_factory=list)
    """How much a player has in reserve at each frame, behind a reply's first `FULL_LEAD`."""


class Talker(asyncio.Protocol):
    """One client. It asks again when a reply was heard, as long as it may."""

    def __init__(self, host: str, path: str, heard: Heard) -> None:
        self._host, self._path, self.heard = host, path, heard
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self._rest = b""
        self._open = False
        self._player = Player()
        self._count = 0
        self._asked = 0.0
        self._leaving = self._talking = False
        self._transport: Any = None
        self.ready: asyncio.Future[None] = self._loop.create_future()

    # -- what it does --------------------------------------------------------------------------------------
    def ask(self) -> None:
        if not self._transport.is_closing():
            self._player, self._count, self._asked = Player(), 0, self.clock()
            self._talking = True
            self.say(type="text", data="Tell me everything.", userId="talker")

    def say(self, **message: Any) -> None:
        """Messages up to 125 bytes. The mask is all zeros, so that it changes nothing."""
        data = orjson.dumps(message)
        self._transport.write(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)

    def leave(self) -> None:
        self._leaving = True
        if not self._transport.is_closing():
            self._transport.write(b"\x88\x82\0\0\0\0" + (1000).to_bytes(2, "big"))
            self._transport.close()

    # -- what it hears -------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "",
            "",
        )
        self._transport.write("\r\n".join(lines).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self.heard.lost += 1
        if not self.ready.done():
            refused = VisavisError("NOT_CONNECTED", "The server did not let all talkers in.")
            self.ready.set_exception(refused)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0 if self._open else self._welcome(data)
        now, end = self.clock(), len(data)
        while end - at >= 4:
            size, begin = data[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                if end - at < 10:
                    break
                size, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if begin + size > end:
                break
            self._take(data[at] & 15, data, begin, size, now)
            at = begin + size
        self._rest = data[at:]

    def _welcome(self, data: bytes) -> int:
        """Where the answer to the handshake ends; 0 when it has not all come."""
        end = data.find(b"\r\n\r\n") + 4
        self._open = end >= 4 and data.startswith(b"HTTP/1.1 101")
        if end >= 4 and not self._open:
            self._transport.close()
        if self._open and not self.ready.done():
            self.ready.set_result(None)
        return end if self._open else 0

    def _take(self, kind: int, data: bytes, begin: int, size: int, now: float) -> None:
        if kind == 9:  # ping
            pong = bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + data[begin : begin + size]
            self._transport.write(pong)
        elif kind == 1:
            if data.find(FRAME, begin, begin + HEAD) >= 0:
                self._frame(now)
            elif data.find(DONE, begin, begin + HEAD) >= 0 and b'"assistant"' in data[begin : begin + size]:
                self._done()
            elif data.find(ERROR, begin, begin + HEAD) >= 0:
                self.heard.lost += 1

    def _frame(self, now: float) -> None:
        number, self._count = self._count, self._count + 1
        heard, player = self.heard, self._player
        heard.frames += 1
        if number == 0:
            heard.first.append(now - self._asked)
        stalls, leads = player.underruns, len(player.leads)
        player.arrive(number, now)
        heard.stalls += player.underruns - stalls
        if number >= FULL_LEAD and len(player.leads) > leads:
            heard.leads.append(player.leads[-1])

    def _done(self) -> None:
        if self._talking:
            self._talking = False
            self.heard.replies += 1
            if not self._leaving:
                self._loop.call_later(PAUSE, self.ask)


class Crowd:
    """Talkers that come, talk and leave."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "127.0.0.1", parts.port or 80
        self._host, self._path = parts.netloc, parts.path or "/"
        self._heard, self._talkers = Heard(), list[Talker]()
        self._luck = random.Random(0)

    def __len__(self) -> int:
        return len(self._talkers)

    async def grow(self, count: int) -> None:
        """Have `count` more of them, who say nothing yet."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, talker = await loop.create_connection(
                lambda: Talker(self._host, self._path, self._heard), *self._address
            )
            self._talkers.append(talker)
            await talker.ready

    def ask(self, newest: int, seconds: float) -> None:
        """The newest so many begin to talk, each at a moment of the next `seconds`."""
        loop = asyncio.get_running_loop()
        for talker in self._talkers[len(self._talkers) - newest :]:
            loop.call_later(self._luck.uniform(0, seconds), talker.ask)

    def sit(self) -> None:
        """Every one begins a conversation in which nothing is said."""
        for talker in self._talkers:
            talker.say(type="interrupt")

    def count(self) -> Heard:
        """Count anew; returns what is counted from now on."""
        self._heard = Heard()
        for talker in self._talkers:
            talker.heard = self._heard
        return self._heard

    async def leave(self) -> None:
        for talker in self._talkers:
            talker.leave()
        self._talkers.clear()
        await asyncio.sleep(0.5)


def run(work: Coroutine[Any, Any, T]) -> T:
    """On the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.run(work)
    return uvloop.run(work)
