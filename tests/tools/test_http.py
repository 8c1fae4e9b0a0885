"""HTTP tools against a local socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from visavis import events as ev
from visavis.settings import HttpToolSettings
from visavis.tools import Tool
from visavis.tools.http import LARGEST_RESPONSE, HttpTool
from visavis.tools.toolbox import ServerTool, Toolbox

KEY = "sk-hidden-0123"
Handler = Callable[[str, str, bytes, asyncio.StreamWriter], Awaitable[None]]


def respond(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", more: str = "") -> None:
    writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n".encode() + body)


def call(handle: Handler, arguments: dict[str, Any], path: str = "/", **settings: Any) -> ev.ToolResult:
    """What comes of one call; `handle` gets the request line, the head, the body, and the wire."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [
            line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")
        ]
        body = await reader.readexactly(int(length[0])) if length else b""
        try:
            await handle(head.splitlines()[0], head, body, writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def nobody(action: ev.Action) -> None:
        raise AssertionError("it runs on the server")

    async def main() -> ev.ToolResult:
        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            http = HttpToolSettings(url=f"http://127.0.0.1:{port}{path}", **settings)
            toolbox = Toolbox([ServerTool(Tool("service", "", {}), HttpTool(http), seconds=5)])
            return await toolbox.perform(ev.ToolCall("c", "service", arguments), nobody)

    return asyncio.run(main())


def requested(arguments: dict[str, Any], path: str = "/", **settings: Any) -> tuple[str, str, bytes]:
    """The request line, the head and the body of a call."""
    seen: list[tuple[str, str, bytes]] = []

    async def handle(line: str, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append((line, head, body))
        respond(writer, b"{}")

    assert call(handle, arguments, path, **settings) == ev.ToolResult("c", "{}")
    return seen[0]


def test_arguments_fill_the_address_and_the_rest_is_the_query() -> None:
    line, head, _ = requested(
        {"city": "a/b?c=ü", "days": 2, "dry": True}, "/weather/{city}?v=1", headers={"X-Key": KEY}
    )
    assert line == "GET /weather/a%2Fb%3Fc%3D%C3%BC?v=1&days=2&dry=true HTTP/1.1"
    assert KEY in head


def test_a_post_sends_what_the_address_does_not_hold_as_json() -> None:
    line, head, body = requested({"id": 7, "note": "hi"}, "/orders/{id}", method="POST")
    assert line == "POST /orders/7 HTTP/1.1"
    assert json.loads(body) == {"note": "hi"}
    assert "application/json" in head


def test_a_body_is_filled_with_values_as_they_are() -> None:
    template = {"order": {"count": "{count}", "text": "for {who}", "fixed": [1, "{gone}"]}}
    _, _, body = requested({"count": 3, "who": "Ann", "other": 1}, method="POST", body=template)
    assert json.loads(body) == {"order": {"count": 3, "text": "for Ann", "fixed": [1, None]}}


@pytest.mark.parametrize("segment", ["..", "."])
def test_an_argument_cannot_leave_its_place_in_the_address(segment: str) -> None:
    async def handle(line: str, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("nothing is to be asked")

    assert call(handle, {"id": segment}, "/users/{id}/mail") == ev.ToolResult(
        "c", "The arguments make no address.", failed=True
    )


@pytest.mark.parametrize(
    ("status", "more", "body", "said"),
    [
        ("404 Not Found", "", f"no city; key {KEY}", "The service answered 404: no city; key (secret)"),
        ("500 Oops", "", "", "The service answered 500"),
        (
            "302 Found",
            "Location: http://elsewhere.example/\r\n",
            "",
            "The service is at another address now.",
        ),
        ("200 OK", "", "x" * (LARGEST_RESPONSE + 1), "The service answered more than can be read."),
    ],
)
def test_what_a_service_refuses_the_model_can_read(status: str, more: str, body: str, said: str) -> None:
    async def handle(line: str, head: str, sent: bytes, writer: asyncio.StreamWriter) -> None:
        respond(writer, body.encode(), status, more)

    assert call(handle, {}, headers={"X-Key": KEY}) == ev.ToolResult("c", said, failed=True)


def test_text_is_told_as_it_is_and_a_broken_answer_is_told() -> None:
    async def text(line: str, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        respond(writer, b"It rains.")

    async def broken(line: str, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")

    assert call(text, {}) == ev.ToolResult("c", "It rains.")
    assert call(broken, {}).output.startswith("The service cannot be reached (")
