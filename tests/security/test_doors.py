"""Every door of the server and of a stage, whatever is added to them: nobody comes in by any of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.asgi import Answer, Headers, Socket, call, scope
from tests.chaos.house import Guest, house
from tests.shell import Puppet
from tests.stage_server import SECRET, offer
from tests.vtime import run

from visavis.deploy import stage_server
from visavis.deploy.stage_server import StageServer
from visavis.security.callers import Caller
from visavis.security.users import hashed
from visavis.server import frames_socket
from visavis.server.app import create_app
from visavis.server.auth import Auth
from visavis.server.hop import HEADER, HopMiddleware, Hops
from visavis.server.middleware_auth import FOR_ADMINS, PAGES, SAFE, SIGN_IN, AuthMiddleware
from visavis.server.middleware_http import LARGEST_BODY, PATIENCE, RECORDINGS
from visavis.settings import Settings

KEY = "0123456789abcdef" * 4
PAGE = "https://shop.example"
SETTINGS = {
    "agent": "scripted",
    "auth": {"enabled": True, "secret_key": KEY, "users": {"boss": hashed("right")}, "admins": ["boss"]},
    "face": {"engine": "energy"},
    "limits": {"requests_per_minute": 0},
    "server": {"cors_origins": [PAGE], "host": "0.0.0.0"},
    "video": {"width": 64, "height": 64},
}
UNKNOWN = "0" * 32


def application() -> FastAPI:
    """That has not started: nothing of it may be reached."""
    return create_app(Settings.model_validate(SETTINGS))


def doors(routes: Any) -> Iterator[tuple[str, str]]:
    """Method and path of all that is there; `WS` is a WebSocket."""
    for route in routes:
        if isinstance(route, APIWebSocketRoute):
            yield "WS", route.path
        elif isinstance(route, APIRoute):
            yield from ((method, route.path) for method in sorted(route.methods or ()))
        elif included := getattr(route, "original_router", None):
            yield from doors(included.routes)


ALL = sorted(set(doors(application().routes)))
CLOSED = [door for door in ALL if not (door[0] in SAFE and door[1] in PAGES) and door[1] not in SIGN_IN]
SOCKETS = [path for method, path in CLOSED if method == "WS"]
CALLS = [door for door in CLOSED if door[0] != "WS"]
DEAF = {"/api/muse/stream/{session_id}"}
"""A stream of pictures, which reads nothing of what is said to it."""
OF_SESSIONS = [door for door in CLOSED if "{" in door[1]]


def test_these_are_the_doors() -> None:
    """Whoever adds one finds it tried here; what is open is meant to be."""
    assert {"/ws", "/", "/api/v1/sessions/{session_id}/ws", "/api/muse/stream/{session_id}"} == {*SOCKETS}
    assert len(CALLS) > 18
    assert ("POST", "/api/v1/sessions/{session_id}/webrtc") in CALLS
    assert {path for _, path in ALL} - {path for _, path in CLOSED} == {*PAGES, *SIGN_IN} - {
        "/",  # is a WebSocket, too
        "/docs",
        "/openapi.json",
    }


# -- tokens --------------------------------------------------------------------------------------------------
def signed(key: str = KEY, **changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": "visavis", "aud": "visavis", "sub": "user-ann", "jti": "1", "scope": "talk read admin"}
    return jwt.encode(claims | {"iat": now, "exp": now + 600} | changed, key, algorithm="HS256")


TOKENS = {
    "missing": None,
    "expired": signed(exp=int(time.time()) - 1),
    "another audience": signed(aud="elsewhere"),
    "another key": signed("f" * 64),
    "alg=none": jwt.encode({"sub": "user-ann", "aud": "visavis", "exp": 1 << 33}, "", algorithm="none"),
    "revoked": signed(jti="gone"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_no_door_opens_without_a_token_of_ours(kind: str) -> None:
    async def main() -> None:
        app, token = application(), TOKENS[kind]
        await app.state.auth.learn("gone", time.time() + 600)
        for place in ("header", "query", "subprotocol") if token else ("nowhere",):
            query = f"?token={token}" if place == "query" else ""
            headers = {"Authorization": f"Bearer {token}"} if place == "header" else {}
            for method, path in CALLS if place != "subprotocol" else ():
                answer = await call(app, method, path + query, headers)
                assert (answer.status, answer.code) == (401, "UNAUTHORIZED"), (method, path, place)
            for path in SOCKETS:
                offered = ["bearer", str(token)] if place == "subprotocol" else []
                socket = await Socket(app, path + query, headers, subprotocols=offered).open()
                assert turned_away(socket, "UNAUTHORIZED"), (path, place)

    run(main())


def turned_away(socket: Socket, code: str) -> bool:
    kinds = [message["type"] for message in socket.heard]
    assert kinds == ["websocket.accept", "websocket.close"], "accepted, so that a page hears of it"
    return socket.closed is not None and socket.closed[0] == 1008 and socket.closed[1].startswith(code)


def test_the_token_that_those_are_made_like_does() -> None:
    async def main() -> None:
        async with begun() as (app, _):
            for token, status in ((signed(), 200), (signed(jti="another"), 200), (signed("f" * 64), 401)):
                answer = await call(app, "GET", "/metrics", {"Authorization": f"Bearer {token}"})
                assert answer.status == status

    asyncio.run(main())


def test_what_is_for_administrators_is_for_no_one_else() -> None:
    async def main() -> None:
        app = application()
        for path in FOR_ADMINS:
            for token in (app.state.auth.user("ann"), app.state.auth.visitor(PAGE, None)):
                answer = await call(app, "GET", path, {"Authorization": f"Bearer {token}"})
                assert (answer.status, answer.code) == (403, "FORBIDDEN")

    run(main())


# -- from another server -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", TOKENS)
def test_who_comes_over_another_server_of_ours_needs_a_token_all_the_same(kind: str) -> None:
    async def main() -> None:
        auth, token = Auth(Settings.model_validate(SETTINGS)), TOKENS[kind]
        await auth.learn("gone", time.time() + 600)
        app = HopMiddleware(AuthMiddleware(nowhere, auth), Hops([KEY], "here"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for method, path in CALLS:
            signed = Hops([KEY], "there").sign(scope("http", path, method=method), "here")
            answer = await call(app, method, path, headers | {HEADER: signed})
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED"), (method, path)
        for path in SOCKETS:
            signed = Hops([KEY], "there").sign(scope("websocket", path), "here")
            socket = await Socket(app, path, headers | {HEADER: signed}).open()
            assert turned_away(socket, "UNAUTHORIZED"), path

    run(main())


def test_nobody_comes_from_another_server_to_one_that_is_alone() -> None:
    """Its header says nothing there: neither who it is, nor that it was counted."""

    async def main() -> None:
        limits = {"limits": {"requests_per_minute": 1}}
        app = create_app(Settings.model_validate(SETTINGS | limits))
        told = {HEADER: Hops([KEY], "there").sign(scope("http", "/metrics", method="GET"), "")}
        statuses = [(await call(app, "GET", "/metrics", told)).status for _ in range(2)]
        assert statuses == [401, 429]

    run(main())


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nobody may come here")


# -- pages ---------------------------------------------------------------------------------------------------
ORIGINS = {
    "null": ["null"],
    "as a prefix": [f"{PAGE}.evil.example"],
    "as a suffix": ["https://evilshop.example"],
    "another scheme": ["http://shop.example"],
    "a subdomain": ["https://a.shop.example"],
    "two": [PAGE, "https://evil.example"],
    "none": [],
}


@pytest.mark.parametrize("kind", ORIGINS)
def test_no_door_opens_to_another_page(kind: str) -> None:
    """With a visitor's token; that of a user opens sockets to allowed pages alone."""

    async def main() -> None:
        app = application()
        auth, origins = app.state.auth, [("Origin", origin) for origin in ORIGINS[kind]]
        headers = [("Authorization", f"Bearer {auth.visitor(PAGE, None)}"), *origins]
        for method, path in CALLS if origins else ():  # a program can say that it is any page
            answer = await call(app, method, path, headers)
            assert (answer.status, answer.code) == (403, "FORBIDDEN"), (method, path)
        for path in SOCKETS:
            assert turned_away(await Socket(app, path, headers).open(), "FORBIDDEN"), path
            if origins:
                headers_of_user = [("Authorization", f"Bearer {auth.user('ann')}"), *origins]
                assert turned_away(await Socket(app, path, headers_of_user).open(), "FORBIDDEN"), path

    run(main())


# -- somebody else's -----------------------------------------------------------------------------------------
@asynccontextmanager
async def begun() -> AsyncIterator[tuple[FastAPI, str]]:
    """A server that has started, and a session of ann's; its threads need a real clock."""
    async with house(Settings.model_validate(SETTINGS), Puppet()) as app:
        headers = {
            "Authorization": f"Bearer {app.state.auth.user('ann')}",
            "Content-Type": "application/json",
        }
        answer = await call(app, "POST", "/api/v1/sessions", headers, [b'{"output":"weights"}'])
        assert answer.status == 201, answer.body
        yield app, json.loads(answer.body)["session_id"]


def test_another_session_is_like_none_at_every_door() -> None:
    async def main() -> None:
        async with begun() as (app, id):
            eve = app.state.auth.user("eve")
            for method, path in OF_SESSIONS:
                theirs, none = [await tried(app, method, path, given, eve) for given in (id, UNKNOWN)]
                assert theirs == none, (method, path)
            talk = app.state.talks.get(id, Caller("user-ann"))
            assert talk.seat.session.turn == 0
            assert not talk.seat.ended.is_set()

    asyncio.run(main())


BODIES = {
    "/webrtc": ("application/sdp", b"v=0"),
    "/audio": ("audio/pcm", bytes(320)),
    "/text": ("application/json", b'{"text":"hello"}'),
}


async def tried(app: ASGIApp, method: str, path: str, id: str, token: str) -> Any:
    """What somebody hears of a session."""
    kind, body = next((BODIES[end] for end in BODIES if path.endswith(end)), ("application/json", b"{}"))
    path = path.replace("{session_id}", id).replace("{name}", id).replace("{peer_id}", UNKNOWN)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    if method == "WS":
        socket = await Socket(app, path, headers).open()
        assert socket.closed is not None
        assert socket.closed[0] == 1008
        return socket.closed
    answer = await call(app, method, path, headers, [body])
    assert answer.status == 404, (method, path, answer.body)
    return answer.body.replace(id.encode(), b"")


# -- too much ------------------------------------------------------------------------------------------------
def test_no_door_takes_a_body_that_says_it_is_too_large() -> None:
    """The others are counted as they come: `tests/server/test_middleware_http.py`."""

    async def main() -> None:
        app = application()
        for method, path in ALL:
            path = path.replace("{session_id}", UNKNOWN)
            most = PATIENCE * Settings().limits.upload_megabytes << 20
            if not RECORDINGS.fullmatch(path):
                most = LARGEST_BODY
            if method != "WS":
                answer = await call(app, method, path, {"Content-Length": str(most + 1)})
                assert (answer.status, answer.code) == (413, "TOO_LARGE"), path

    run(main())


def test_no_socket_takes_a_message_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    most = Settings().server.max_message_bytes
    monkeypatch.setattr(frames_socket, "MAX_MESSAGE", most)  # which has whole recordings in it otherwise

    async def main() -> None:
        async with begun() as (app, id):
            for path in sorted({*SOCKETS} - DEAF):
                token = app.state.auth.user("ann")
                guest = Guest(app, f"{path.replace('{session_id}', id)}?token={token}")
                guest.say("x" * (most + 1))
                assert await guest.until("no such thing") is None
                assert guest.closed is not None
                assert guest.closed[0] == 1009, path

    asyncio.run(main())


# -- a stage by itself ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stage() -> StageServer:
    return offer("tts", "tests.stages.test_remote_stages:voice")


RIGHT = ("Authorization", f"Bearer {SECRET}")
STAGE: dict[str, tuple[list[tuple[str, str]], int]] = {
    "nothing": ([], 401),
    "another secret": ([("Authorization", f"Bearer {SECRET}x")], 401),
    "half of it": ([("Authorization", f"Bearer {SECRET[:-1]}")], 401),
    "another scheme": ([("Authorization", f"Basic {SECRET}")], 401),
    "letters of elsewhere": ([("Authorization", "Bearer \xfc")], 401),
    "two, the right one first": ([RIGHT, ("Authorization", "Bearer x")], 401),
    "two, the right one last": ([("Authorization", "Bearer x"), RIGHT], 401),
    "a page": ([RIGHT, ("Origin", "http://localhost")], 403),
    "a page without an address": ([RIGHT, ("Origin", "null")], 403),
}


@pytest.mark.parametrize("kind", STAGE)
def test_no_door_of_a_stage_opens(stage: StageServer, kind: str) -> None:
    headers, status = STAGE[kind]
    for method, path in (("GET", "/hello"), ("POST", "/tts")):
        assert stage_said(stage, method, path, headers).status == status
    assert stage_said(stage, "GET", f"/hello?token={SECRET}", headers).status == status


def test_the_right_secret_does(stage: StageServer) -> None:
    assert stage_said(stage, "GET", "/hello", [RIGHT]).status == 200
    assert stage_said(stage, "GET", "/health", []).body == b'{"status":"ok","kind":"tts"}', "and no more"


def test_no_more_wait_for_a_stage_than_it_can_bear(
    stage: StageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_server, "MOST_WAITING", 0)
    assert stage_said(stage, "POST", "/tts", [RIGHT]).status == 503
    assert stage_said(stage, "POST", "/tts", []).status == 401


def stage_said(stage: StageServer, method: str, path: str, headers: Headers) -> Answer:
    async def main() -> Answer:
        return await asyncio.wait_for(call(stage.app(), method, path, headers), 10)

    return run(main())
