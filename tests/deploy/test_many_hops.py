"""Calls from server to server: nobody else can make one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from tests.asgi import Answer, Socket, call, scope

from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.server.auth import Auth
from visavis.server.hop import HEADER, VALID_SECONDS, HopMiddleware, Hops, passed_on
from visavis.settings import Settings

KEY, OTHER = "k" * 32, "o" * 32
HERE, THERE = "here", "there"
CLIENT, OUTSIDE = "203.0.113.9", "198.51.100.7"


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """Says where a call is from."""
    connection = HTTPConnection(scope)
    where = connection.client.host if connection.client else ""
    told = f"{where} {scope['scheme']} {passed_on(connection)}"
    if scope["type"] == "http":
        await PlainTextResponse(told)(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": told})
    await receive()


def signed(path: str = "/x?a=1", key: str = KEY, target: str = HERE, kind: str = "http", **more: Any) -> str:
    """The header of a call that `there` passes on."""
    told = {"method": "GET"} if kind == "http" else {}
    return Hops([key], THERE).sign(scope(kind, path, (), CLIENT, **(told | more)), target)


def asked(*headers: str, path: str = "/x?a=1", method: str = "GET", keys: tuple[str, ...] = (KEY,)) -> Answer:
    app = HopMiddleware(inside, Hops(keys, HERE))
    given = [(HEADER, header) for header in headers]
    return asyncio.run(call(app, method, path, given, client=OUTSIDE))


def test_a_call_that_is_passed_on_is_from_the_client_that_made_it() -> None:
    assert asked(signed()).body == f"{CLIENT} http True".encode()
    assert asked(signed(scheme="https")).body == f"{CLIENT} https True".encode()
    assert asked().body == f"{OUTSIDE} http False".encode()


def test_while_keys_are_changed_both_are_good() -> None:
    assert asked(signed(key=OTHER), keys=(KEY, OTHER)).status == 200
    assert asked(signed(key=OTHER)).status == 403


WRONG: dict[str, tuple[Callable[[], str], str, str]] = {
    "empty": (lambda: "", "/x?a=1", "GET"),
    "nonsense": (lambda: "nonsense", "/x?a=1", "GET"),
    "without values": (lambda: ";;;;", "/x?a=1", "GET"),
    "made up": (lambda: f"{time.time():.0f};{HERE};{CLIENT};http;{'0' * 64}", "/x?a=1", "GET"),
    "not ASCII": (lambda: f"{time.time():.0f};{HERE};{CLIENT};http;\xff", "/x?a=1", "GET"),
    "another path": (signed, "/y?a=1", "GET"),
    "another query": (signed, "/x?a=2", "GET"),
    "another method": (signed, "/x?a=1", "DELETE"),
    "a WebSocket": (lambda: signed(kind="websocket"), "/x?a=1", "GET"),
    "another server": (lambda: signed(target="elsewhere"), "/x?a=1", "GET"),
    "another key": (lambda: signed(key=OTHER), "/x?a=1", "GET"),
    "another client": (lambda: signed().replace(CLIENT, "10.0.0.1"), "/x?a=1", "GET"),
    "another scheme": (lambda: signed().replace(";http;", ";https;"), "/x?a=1", "GET"),
    "more at the end": (lambda: f"{signed()}0", "/x?a=1", "GET"),
    "more in front": (lambda: f"0{signed()}", "/x?a=1", "GET"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_server_of_ours_has_signed_for_this_call_is_refused(wrong: str) -> None:
    make, path, method = WRONG[wrong]
    header = make()

    async def main() -> Answer:
        app = HopMiddleware(inside, Hops([KEY], HERE))
        asked = scope("http", path, (), OUTSIDE, method=method)
        asked["headers"] = [(HEADER.encode(), header.encode("latin-1"))]
        return await call(lambda _, receive, send: app(asked, receive, send), method, path)

    answer = asyncio.run(main())
    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert KEY not in answer.body.decode()


def test_two_headers_are_one_too_many() -> None:
    assert asked(signed(), signed()).status == 403


@pytest.mark.parametrize("off", [-VALID_SECONDS - 5, VALID_SECONDS + 5])
def test_a_call_from_another_time_is_refused(off: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + off)
    old = signed()
    monkeypatch.setattr(time, "time", lambda: now)
    assert asked(old).status == 403


def test_a_websocket_is_passed_on_or_refused_before_it_is_open() -> None:
    async def main() -> None:
        app = HopMiddleware(inside, Hops([KEY], HERE))
        good = {HEADER: signed("/ws", kind="websocket")}
        passed = await Socket(app, "/ws", good, client=OUTSIDE).open()
        assert passed.texts == [f"{CLIENT} ws True"]
        await passed.leave()
        refused = await Socket(app, "/ws", {HEADER: signed("/ws")}, client=OUTSIDE).open()
        assert [message["type"] for message in refused.heard] == ["websocket.close"]

    asyncio.run(main())


def test_servers_that_belong_together_need_a_key_and_are_told_so() -> None:
    told = {"cluster": {"redis": "redis://localhost:6379/0"}}
    with pytest.raises(ConfigurationError, match=r"auth\.secret_key is not.*AUTH_SECRET_KEY"):
        Auth(Settings.model_validate(told))


def test_the_former_name_of_the_setting_is_still_one(tmp_path: Any) -> None:
    address = "redis://localhost:6379/0"
    for name in ("VISAVIS_REDIS_URL", "VISAVIS_CLUSTER__REDIS", "VISAVIS_LIMITS__REDIS"):
        assert load_settings({}, None, {name: address}, tmp_path).redis == address
