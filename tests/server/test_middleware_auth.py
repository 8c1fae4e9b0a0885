"""Who is let in, and for how much: every try to get around it, on a clock of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from tests.asgi import Answer, Headers, Socket, call
from tests.vtime import run

from visavis.errors import ConfigurationError
from visavis.security.callers import caller
from visavis.security.tokens import ADMIN, READ, TALK, Claims
from visavis.server.auth import Auth
from visavis.server.middleware_auth import BURST_SECONDS, AuthMiddleware
from visavis.settings import Settings

KEY, OTHER = "k" * 32, "o" * 32
USERS = {"boss": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("right")}
PAGE = "https://shop.example"


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """Says who came in; a WebSocket says everything again."""
    who = caller(HTTPConnection(scope)).subject or "anyone"
    if scope["type"] == "http":
        await PlainTextResponse(who)(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def auth_with(**given: Any) -> Auth:
    auth = {"enabled": True, "secret_key": KEY, "users": USERS, "admins": ["boss"]} | given.pop("auth", {})
    server = {"cors_origins": [PAGE, "https://*.shop.example"], "host": "0.0.0.0"}
    return Auth(Settings.model_validate({"auth": auth, "server": server, **given}))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def get(app: AuthMiddleware, path: str, headers: Headers = (), method: str = "GET") -> Answer:
    return run(call(app, method, path, headers))


def connect(
    app: AuthMiddleware, path: str, headers: Headers = (), subprotocols: tuple[str, ...] = ()
) -> Socket:
    async def main() -> Socket:
        return await Socket(app, path, headers, subprotocols=list(subprotocols)).open()

    return run(main())


def forged(key: str = KEY, **changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": "visavis", "aud": "visavis", "sub": "user-eve", "jti": "1", "scope": "talk read admin"}
    return jwt.encode(claims | {"iat": now, "exp": now + 60} | changed, key, algorithm="HS256")


# -- tokens --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["/", "/face", "/health", "/api/v1/health", "/static/a.js", "/avatars/mia/a"]
)
def test_the_page_and_its_files_need_no_token(path: str) -> None:
    assert get(AuthMiddleware(inside, auth_with()), path).body == b"anyone"


CLOSED = [
    ("GET", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions"),
    ("POST", "/"),
    ("POST", "/health"),
    ("DELETE", "/static/a.js"),
    ("GET", "//health"),
    ("GET", "/health/"),
    ("GET", "/HEALTH"),
    ("GET", "/static"),
    ("GET", "/api/v1/../../health"),
    ("GET", "/api/auth/token"),
    ("POST", "/auth/revoke"),
    ("GET", "/metrics"),
    ("POST", "/api/animate"),
    ("POST", "/api/openai/chat"),
    ("GET", "/whatever-comes-next"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_everything_else_does(method: str, path: str) -> None:
    answer = get(AuthMiddleware(inside, auth_with()), path, method=method)
    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


BAD_TOKENS = {
    "another key": forged(OTHER),
    "expired": forged(exp=int(time.time()) - 1),
    "another audience": forged(aud="elsewhere"),
    "another issuer": forged(iss="elsewhere"),
    "alg=none": jwt.encode({"sub": "user-eve"}, "", algorithm="none"),
    "nonsense": "nonsense",
    "empty": "",
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_token_that_is_not_ours_opens_nothing(kind: str) -> None:
    app, token = AuthMiddleware(inside, auth_with()), BAD_TOKENS[kind]
    assert get(app, "/api/v1/sessions", bearer(token)).status == 401
    assert get(app, f"/api/v1/sessions?token={token}").status == 401
    for socket in (
        connect(app, f"/ws?token={token}"),
        connect(app, "/ws", bearer(token)),
        connect(app, "/ws", subprotocols=("bearer", token)),
    ):
        kinds = [message["type"] for message in socket.heard]
        assert kinds == ["websocket.accept", "websocket.close"], "accepted, so that a page hears of it"
        assert socket.closed is not None
        assert socket.closed[0] == 1008
        assert socket.closed[1].startswith("UNAUTHORIZED")


@pytest.mark.parametrize(
    "path", ["/ws", "/", "/api/v1/sessions/x/ws", "/api/muse/stream/x", "/health", "/static/x"]
)
def test_no_websocket_is_open_without_a_token(path: str) -> None:
    socket = connect(AuthMiddleware(inside, auth_with()), path)
    assert socket.closed is not None
    assert socket.closed[0] == 1008


def test_a_token_is_taken_from_everywhere_but_only_one() -> None:
    ours = auth_with()
    app, token = AuthMiddleware(inside, ours), ours.user("ann")
    assert get(app, "/api/v1/sessions", bearer(token)).body == b"user-ann"
    assert get(app, f"/api/v1/sessions?token={token}").body == b"user-ann"
    assert connect(app, f"/ws?token={token}").closed is None
    assert connect(app, "/ws", bearer(token)).closed is None
    offered = connect(app, "/ws", subprotocols=("bearer", token))
    assert offered.heard == [{"type": "websocket.accept", "subprotocol": "bearer"}]
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {forged(OTHER)}")]
    assert get(app, "/api/v1/sessions", twice).status == 401
    assert get(app, f"/api/v1/sessions?token={token}&token={token}").status == 401
    assert get(app, f"/api/v1/sessions?token={token}", bearer(token)).status == 401


def test_a_key_that_is_replaced_is_still_accepted() -> None:
    token = auth_with(auth={"secret_key": OTHER}).user("ann")
    assert get(AuthMiddleware(inside, auth_with()), "/x", bearer(token)).status == 401
    assert (
        get(AuthMiddleware(inside, auth_with(auth={"previous_key": OTHER})), "/x", bearer(token)).status
        == 200
    )


def test_scopes() -> None:
    app = AuthMiddleware(inside, auth_with())
    reader, talker = bearer(forged(scope=READ)), bearer(forged(scope=TALK))
    nothing, boss = bearer(forged(scope="")), bearer(forged(scope=ADMIN))
    paths = [("GET", "/api/v1/sessions"), ("POST", "/api/v1/sessions"), ("GET", "/api/v1/pipeline/status")]
    allowed = {
        name: [get(app, path, who, method).status == 200 for method, path in paths]
        for name, who in {"reader": reader, "talker": talker, "nothing": nothing, "boss": boss}.items()
    }
    assert allowed == {
        "reader": [True, False, False],
        "talker": [False, True, False],
        "nothing": [False, False, False],
        "boss": [True, True, True],
    }
    assert get(app, "/metrics", reader).code == "FORBIDDEN"
    assert connect(app, "/ws", reader).closed is not None


def claims_of(ours: Auth, token: str) -> Claims:
    return ours.read(token)


def test_a_revoked_token_opens_nothing_and_what_it_had_opened_ends() -> None:
    async def main() -> tuple[Socket, Socket, Answer]:
        ours = auth_with()
        app, token = AuthMiddleware(inside, ours), ours.user("ann")
        mine = await Socket(app, "/ws", bearer(token)).open()
        other = await Socket(app, "/ws", bearer(ours.user("ann"))).open()
        await ours.revoke(claims_of(ours, token))
        await mine.leave()
        await other.say("still here")
        return mine, other, await call(app, "GET", "/x", bearer(token))

    mine, other, replayed = run(main())
    assert mine.closed == (1008, "the token was revoked")
    assert other.texts == ["still here"]
    assert replayed.status == 401


def test_a_stream_ends_with_its_token() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def main() -> bool:
        ours = auth_with()
        token = ours.user("ann")
        stream = asyncio.create_task(call(AuthMiddleware(endless, ours), "GET", "/stream", bearer(token)))
        await asyncio.sleep(1)
        await ours.revoke(claims_of(ours, token))
        await asyncio.wait([stream], timeout=1)
        return stream.done() and isinstance(stream.exception(), ValueError)  # nothing was answered

    assert run(main())


# -- origins -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "http://shop.example",
        "https://a.shop.example",
        "https://shop.example:8443",
        "",
    ],
)
def test_a_visitors_token_is_for_its_page_alone(origin: str) -> None:
    ours = auth_with()
    app, token = AuthMiddleware(inside, ours), ours.visitor(PAGE, None)
    assert connect(app, f"/ws?token={token}", {"Origin": PAGE}).closed is None
    assert get(app, "/x", bearer(token) | {"Origin": PAGE}).status == 200
    refused = connect(app, f"/ws?token={token}", {"Origin": origin})
    assert refused.closed is not None
    assert refused.closed[1].startswith("FORBIDDEN")
    assert get(app, "/x", bearer(token) | {"Origin": origin}).code == "FORBIDDEN"


def test_a_visitors_token_is_of_no_use_without_a_page() -> None:
    ours = auth_with()
    token = ours.visitor(PAGE, None)
    assert connect(AuthMiddleware(inside, ours), f"/ws?token={token}").closed is not None
    both = [("Origin", PAGE), ("Origin", "https://evil.example")]
    assert connect(AuthMiddleware(inside, ours), f"/ws?token={token}", both).closed is not None


def test_a_users_token_is_of_no_use_to_another_page() -> None:
    ours = auth_with()
    app, token = AuthMiddleware(inside, ours), ours.user("ann")
    assert connect(app, f"/ws?token={token}").closed is None, "programs have no origin"
    assert connect(app, f"/ws?token={token}", {"Origin": "https://a.shop.example"}).closed is None
    assert connect(app, f"/ws?token={token}", {"Origin": "https://evil.example"}).closed is not None


# -- limits --------------------------------------------------------------------------------------------------
def test_a_hundred_requests_a_minute_and_when_to_come_back() -> None:
    async def main() -> None:
        app = AuthMiddleware(inside, Auth(Settings.model_validate({"limits": {"enabled": True}})))
        for _ in range(100):
            assert (await call(app, "GET", "/x")).status == 200
        refused = await call(app, "GET", "/x")
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "RATE_LIMITED", "1")
        assert (await call(app, "GET", "/x", client="203.0.113.10")).status == 200
        assert (await call(app, "GET", "/static/x")).status == 200
        socket = await Socket(app, "/ws").open()
        assert socket.closed == (1008, "RATE_LIMITED: Too many requests; try again later.")
        await asyncio.sleep(0.7)
        assert (await call(app, "GET", "/x")).status == 200

    run(main())


def test_connections_of_an_address_and_of_a_token() -> None:
    async def main() -> None:
        ours = auth_with(limits={"connections_per_address": 3, "connections_per_token": 2})
        app, ann, bob = AuthMiddleware(inside, ours), bearer(ours.user("ann")), bearer(ours.user("bob"))
        first = await Socket(app, "/ws", ann).open()
        assert (await Socket(app, "/ws", ann).open()).closed is None
        third = await Socket(app, "/ws", ann).open()
        assert third.closed == (1008, "RATE_LIMITED: Too many connections with this token.")
        assert (await Socket(app, "/ws", bob).open()).closed is None
        fourth = await Socket(app, "/ws", bob).open()
        assert fourth.closed == (1008, "RATE_LIMITED: Too many connections from this address.")
        assert (await Socket(app, "/ws", bob, client="203.0.113.10").open()).closed is None
        await first.leave()
        assert (await Socket(app, "/ws", ann).open()).closed is None

    run(main())


def limited(**limits: float) -> AuthMiddleware:
    return AuthMiddleware(inside, Auth(Settings.model_validate({"limits": {"enabled": True, **limits}})))


def test_messages_a_second() -> None:
    async def main() -> None:
        socket = await Socket(limited(messages_per_second=5), "/ws").open()
        for number in range(5 * BURST_SECONDS):
            await socket.say(str(number))
        assert (len(socket.texts), socket.closed) == (5 * BURST_SECONDS, None)
        await asyncio.sleep(0.25)
        await socket.say("one more")
        assert socket.closed is None
        await socket.say("and one too many")
        assert socket.texts[-1] == "one more"
        assert socket.closed == (1008, "RATE_LIMITED: too many messages a second")

    run(main())


def test_bytes_a_second() -> None:
    async def main() -> None:
        socket = await Socket(limited(bytes_per_second=100, messages_per_second=0), "/ws").open()
        await socket.say("x" * 100 * BURST_SECONDS)
        assert len(socket.texts) == 1
        await socket.say("y")
        assert socket.closed == (1008, "RATE_LIMITED: too many bytes a second")
        assert len(socket.texts) == 1

    run(main())


# -- settings ------------------------------------------------------------------------------------------------
def test_an_open_server_lets_everybody_in_without_limits() -> None:
    async def main() -> None:
        app = AuthMiddleware(inside, Auth(Settings()))
        for _ in range(200):
            assert (await call(app, "POST", "/api/v1/sessions", {"Origin": "null"})).body == b"anyone"
        assert (await call(app, "GET", "/metrics", bearer("nonsense"))).status == 200
        socket = await Socket(app, "/ws", subprotocols=["bearer", "nonsense"]).open()
        assert socket.heard == [{"type": "websocket.accept", "subprotocol": "bearer"}]

    run(main())


def test_production_does_not_start_without_a_key() -> None:
    enabled = {"enabled": True}
    with pytest.raises(ConfigurationError, match="AUTH_SECRET_KEY"):
        Auth(Settings.model_validate({"auth": enabled, "environment": "production"}))
    with pytest.raises(ConfigurationError, match="every page would get a token"):
        Auth(Settings.model_validate({"auth": enabled, "server": {"cors_origins": ["*"]}}))
    Auth(Settings.model_validate({"environment": "production"}))


def test_a_key_that_is_made_up_is_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = "7" * 64
    monkeypatch.setattr("visavis.server.auth.secrets.token_hex", lambda size: made_up[: 2 * size])
    ours = Auth(Settings.model_validate({"auth": {"enabled": True}}))
    assert ours.read(ours.user("ann")).subject == "user-ann"
    said = capsys.readouterr()
    assert "no auth.secret_key" in said.out
    assert made_up not in said.out + said.err


def test_the_pages_of_a_server_on_this_machine_are_its_own() -> None:
    local = Auth(Settings.model_validate({"auth": {"enabled": True}}))
    assert local.origins.allow("http://localhost:8080")
    assert local.origins.allow("http://127.0.0.1:8080")
    assert not local.origins.allow("http://localhost:8081")
    assert not local.origins.allow("http://localhost.evil.example:8080")
    public = Auth(Settings.model_validate({"auth": {"enabled": True}, "server": {"host": "0.0.0.0"}}))
    assert not public.origins.allow("http://localhost:8080")
