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
from visavis.server.protocol import HEAD_SECONDS, LARGEST_HEAD, http_protocol
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
