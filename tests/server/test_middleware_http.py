"""What holds for every request: its size, its time, where it is from, and what browsers are told."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send
from tests.asgi import Socket, call
from tests.vtime import run

from visavis.server.app import STATIC
from visavis.server.middleware_http import LARGEST_BODY, PATIENCE, HttpMiddleware, content_policy
from visavis.settings import Settings

MEGABYTE = 1 << 20


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it was sent, and by whom."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"{scope['scheme']} {scope['client'][0]}"})
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            size = -1
            break
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    answer = {"size": size, "client": scope["client"][0], "scheme": scope["scheme"]}
    page: Response = HTMLResponse("<html>") if scope["path"] == "/page" else JSONResponse(answer)
    if scope["path"] == "/file":
        page = FileResponse(__file__)
    await page(scope, receive, send)


def middleware(**settings: Any) -> HttpMiddleware:
    return HttpMiddleware(inside, Settings.model_validate(settings), [STATIC / "index.html"])


def pieces(size: int) -> list[bytes]:
    return [b"x" * MEGABYTE] * (size // MEGABYTE) + [b"x" * (size % MEGABYTE)]


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/v1/sessions", LARGEST_BODY),
        ("/auth/token", LARGEST_BODY),
        ("/api/v1/sessions/x/audio/more", LARGEST_BODY),
        ("/x/api/animate", LARGEST_BODY),
        ("/api/v1/sessions/x/audio", PATIENCE * 3 * MEGABYTE),
        ("/api/animate", PATIENCE * 3 * MEGABYTE),
        ("/api/openai/chat", PATIENCE * 3 * MEGABYTE),
    ],
)
def test_a_body_is_as_large_as_it_may_be_and_no_larger(path: str, limit: int) -> None:
    app = middleware(limits={"upload_megabytes": 3})
    fits = run(call(app, "POST", path, body=pieces(limit)))
    assert (fits.status, f'"size":{limit}'.encode() in fits.body) == (200, True)
    told = {"Content-Length": str(limit + 1)}
    for headers in ({}, told):
        answer = run(call(app, "POST", path, headers, body=pieces(limit + 1)))
        assert (answer.status, answer.code) == (413, "TOO_LARGE")
        assert answer.headers["connection"] == "close"


def test_a_body_arrives_in_time_or_is_refused() -> None:
    app = middleware(limits={"upload_seconds": 10})
    assert run(call(app, "POST", "/x", body=[b"x"] * 9, pause=1.0)).status == 200
    answer = run(call(app, "POST", "/x", body=[b"x"] * 11, pause=1.0))
    assert (answer.status, answer.code) == (408, "TOO_SLOW")


def test_only_trusted_proxies_say_who_it_is() -> None:
    app = middleware(server={"trusted_proxies": ["10.0.0.0/8"]})
    headers = [("X-Forwarded-For", "1.1.1.1, 198.51.100.7"), ("X-Forwarded-Proto", "https")]
    proxied = run(call(app, "GET", "/x", headers, client="10.0.0.1"))
    assert b'"client":"198.51.100.7","scheme":"https"' in proxied.body
    assert proxied.headers["strict-transport-security"].startswith("max-age=")
    direct = run(call(app, "GET", "/x", headers))
    assert b'"client":"203.0.113.9","scheme":"http"' in direct.body
    assert "strict-transport-security" not in direct.headers


def test_a_websocket_comes_through_proxies_too() -> None:
    async def main() -> list[str]:
        headers = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
        socket = await Socket(middleware(), "/ws", headers, client="127.0.0.1").open()
        return socket.texts

    assert run(main()) == ["wss 198.51.100.7"]


@pytest.mark.parametrize(
    ("part", "status"),
    [
        ("bytes=0-3", 206),
        (" Bytes = 0-3", 206),
        ("bytes=99999999-", 416),
        ("pages=1-2", 200),
        ("nonsense", 200),
    ],
)
def test_a_part_in_an_unknown_unit_is_all_of_it(part: str, status: int) -> None:
    answer = run(call(middleware(), "GET", "/file", {"Range": part}))
    assert answer.status == status
    assert (answer.body == Path(__file__).read_bytes()) == (status == 200)


def test_browsers_are_told_what_a_page_may_do() -> None:
    page = run(call(middleware(), "GET", "/page"))
    facts = run(call(middleware(), "GET", "/facts"))
    assert page.headers["x-content-type-options"] == facts.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "content-security-policy" not in facts.headers


def test_only_what_is_inline_in_a_page_is_allowed_inline() -> None:
    style = "html{color:red}"
    policy = content_policy([f"<style>{style}</style><body><script src=a.js></script>"] * 2)
    hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'self' 'sha256-{hash}';" in policy
    assert "script-src 'self' 'wasm-unsafe-eval';" in policy


def test_the_pages_have_nothing_inline_that_has_no_hash() -> None:
    for page in (STATIC / "index.html", STATIC / "face.html"):
        text = page.read_text(encoding="utf-8")
        assert text.count("<style") == text.count("<style>")
        assert text.count("<script>") == 0
        assert " style=" not in text
        assert " onclick=" not in text


def test_a_page_may_talk_to_the_server_that_it_is_told_of() -> None:
    policy = content_policy([], "https://api.example/base", ["https://shop.example"])
    assert "connect-src 'self' blob: https://api.example wss://api.example;" in policy
    assert policy.endswith("frame-ancestors 'self' https://shop.example")


def test_a_page_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HttpMiddleware(inside, Settings(), [tmp_path / "none.html"])
