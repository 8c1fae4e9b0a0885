"""Clients that send slowly, or for ever, on a clock of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.vtime import run
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from visavis.cli import stage
from visavis.server.protocol import (
    BURST_SECONDS,
    HEAD_SECONDS,
    LARGEST_HEAD,
    MESSAGE_SECONDS,
    SMALL,
    SMALL_FRAMES,
    Protocol,
    http_protocol,
)
from visavis.settings import Settings

BODY_SECONDS = 60.0


class Line(asyncio.Transport):
    """A connection that remembers when it was cut."""

    def __init__(self) -> None:
        super().__init__({})
        self.written = b""
        self.cut_at: float | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        if self.cut_at is None:
            self.cut_at = asyncio.get_running_loop().time()

    close = abort

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.cut_at is not None

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, whatever the body is."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def connected(protocol: type[HttpToolsProtocol] | None = None) -> tuple[HttpToolsProtocol, Line]:
    config = Config(answer, lifespan="off", log_config=None, timeout_keep_alive=5)
    config.load()
    line, server = Line(), (protocol or http_protocol(BODY_SECONDS))(config, ServerState(), {})
    server.connection_made(line)
    return server, line


async def dribble(server: HttpToolsProtocol, line: Line, data: bytes, pause: float, most: float) -> None:
    """Send byte after byte, until the line is cut."""
    loop = asyncio.get_running_loop()
    for byte in data:
        if line.cut_at is not None or loop.time() > most:
            return
        server.data_received(bytes([byte]))
        await asyncio.sleep(pause)


def test_somebody_who_says_nothing_is_hung_up_on() -> None:
    async def main() -> None:
        _, line = await connected()
        await asyncio.sleep(HEAD_SECONDS - 0.001)
        assert line.cut_at is None
        await asyncio.sleep(0.002)
        assert line.cut_at == HEAD_SECONDS

    run(main())


def test_a_stage_that_is_served_by_itself_hangs_up_too() -> None:
    protocol: Any = stage.listening(answer, Settings()).http

    async def main() -> None:
        _, line = await connected(protocol)
        await asyncio.sleep(HEAD_SECONDS + 0.001)
        assert line.cut_at == HEAD_SECONDS

    run(main())


def test_headers_that_never_end_do() -> None:
    async def main() -> None:
        server, line = await connected()
        head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000
        await dribble(server, line, head, pause=1.0, most=100)
        assert line.cut_at == HEAD_SECONDS

    run(main())


def test_the_second_request_of_a_connection_is_waited_for_no_longer() -> None:
    async def main() -> None:
        server, line = await connected()
        server.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(1)
        assert line.written.startswith(b"HTTP/1.1 200")
        await dribble(server, line, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000, pause=1.0, most=100)
        assert line.cut_at == 1 + HEAD_SECONDS

    run(main())


def test_a_body_that_never_ends_does_even_when_it_was_answered() -> None:
    async def main() -> None:
        server, line = await connected()
        server.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        await dribble(server, line, b"x" * 100_000, pause=1.0, most=1000)
        assert line.cut_at == BODY_SECONDS

    run(main())


def test_a_request_in_time_is_kept() -> None:
    async def main() -> None:
        server, line = await connected()
        for _ in range(3):
            request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n" + b"x" * 10
            await dribble(server, line, request, pause=0.1, most=100)
        assert line.cut_at is None
        assert line.written.count(b"HTTP/1.1 200") == 3

    run(main())


@pytest.mark.parametrize("more", [b"", b"\r\n", b"GE"])
def test_a_line_is_not_kept_for_nothing(more: bytes) -> None:
    async def main() -> None:
        server, line = await connected()
        server.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(1)
        if more:
            server.data_received(more)
        await asyncio.sleep(HEAD_SECONDS + 1)
        assert line.cut_at is not None

    run(main())


@pytest.mark.parametrize("piece", [100, LARGEST_HEAD])
def test_headers_are_not_collected_without_end(piece: int) -> None:
    async def main() -> int:
        server, line = await connected()
        server.data_received(b"GET / HTTP/1.1\r\nX: ")
        sent = 0
        while line.cut_at is None:
            server.data_received(b"x" * piece)
            sent += piece
        return sent

    assert run(main()) <= LARGEST_HEAD + piece


# -- WebSockets ----------------------------------------------------------------------------------------------
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
TEXT, PIECE, PING, PONG, LAST = 0x1, 0x0, 0x9, 0xA, 0x80


def frame(kind: int, content: bytes = b"") -> bytes:
    """As a client sends it; the mask is all zeros."""
    size = len(content)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((kind,)) + length + bytes(4) + content


async def talked() -> tuple[Line, list[str]]:
    """A WebSocket that is open, and what the application hears."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(message["text"])

    config = Config(app, ws=Protocol, lifespan="off", log_config=None, ws_ping_interval=None)
    config.load()
    line = Line()
    server = http_protocol(BODY_SECONDS)(config, ServerState(), {})
    server.connection_made(line)
    server.data_received(HANDSHAKE)
    await asyncio.sleep(0.01)
    assert line.written.startswith(b"HTTP/1.1 101")
    return line, heard


def test_a_message_arrives_in_time_or_never() -> None:
    async def main() -> None:
        for begun in (frame(TEXT, b"a"), frame(TEXT | LAST, b"abc")[:-1]):
            line, heard = await talked()
            protocol: Any = line.protocol
            protocol.data_received(begun)
            began = asyncio.get_running_loop().time()
            for _ in range(int(MESSAGE_SECONDS)):
                await asyncio.sleep(0.9)
                assert line.cut_at is None
                protocol.data_received(b"" if begun[-1:] == b"b" else frame(PIECE, b"x"))
            await asyncio.sleep(MESSAGE_SECONDS)
            assert line.cut_at == pytest.approx(began + MESSAGE_SECONDS)
            assert heard == []

    run(main())


def test_messages_one_behind_the_other_are_no_late_message() -> None:
    async def main() -> None:
        line, heard = await talked()
        protocol: Any = line.protocol
        whole, count = frame(TEXT | LAST, b"abc"), 300
        stream = whole * count
        for begin in range(0, len(stream), len(whole)):  # each end comes with the next one's beginning
            protocol.data_received(stream[max(0, begin - 3) : begin + len(whole) - 3])
            await asyncio.sleep(1)
        protocol.data_received(stream[-3:])
        await asyncio.sleep(1)
        assert (heard, line.cut_at) == (["abc"] * count, None)

    run(main())


@pytest.mark.parametrize("kind", [PING | LAST, PONG | LAST, PIECE])
def test_frames_that_are_no_message_do_not_come_without_end(kind: int) -> None:
    async def main() -> None:
        line, _ = await talked()
        protocol: Any = line.protocol
        protocol.data_received(frame(TEXT, b"a"))
        for _ in range(SMALL_FRAMES * BURST_SECONDS):
            protocol.data_received(frame(kind))
        assert line.cut_at is None
        protocol.data_received(frame(kind))
        assert line.cut_at is not None

    run(main())


def test_a_long_message_may_come_in_many_pieces() -> None:
    async def main() -> None:
        line, heard = await talked()
        protocol: Any = line.protocol
        protocol.data_received(frame(TEXT, b"x" * SMALL))
        pieces = 2 * SMALL_FRAMES * BURST_SECONDS
        for _ in range(pieces):
            protocol.data_received(frame(PIECE, b"x" * SMALL))
        protocol.data_received(frame(PIECE | LAST))
        await asyncio.sleep(1)
        assert ([len(message) for message in heard], line.cut_at) == ([SMALL * (pieces + 1)], None)

    run(main())
