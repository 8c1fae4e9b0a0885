"""A real server that needs tokens, through all four dialects; and a real one over TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from argon2 import PasswordHasher
from tests.process import Server, server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from visavis.security.users import TRIES
from visavis.server.api_errors import RETRY_AFTER

WAIT = 20.0
PAGE = "https://shop.example"
ORIGIN = {"Origin": PAGE}
PASSWORDS = {"ann": "right", "boss": "also right"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    settings = {
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": "0.5",
        "VISAVIS_SCRIPTED__SPEED": "20",
        "VISAVIS_ENV": "production",
        "AUTH_ENABLED": "true",
        "AUTH_SECRET_KEY": "k" * 32,
        "AUTH_ALLOWED_ORIGINS": PAGE,
        "AUTH_USERS": " ".join(f"{name}:{cheap.hash(word)}" for name, word in PASSWORDS.items()),
        "AUTH_ADMINS": "boss",
        "VISAVIS_LIMITS__REQUESTS_PER_MINUTE": "0",
        "VISAVIS_LIMITS__SESSIONS_PER_TOKEN": "2",
        "VISAVIS_LIMITS__AUDIO_SECONDS_PER_MINUTE": "2",
    }
    with server(tmp_path_factory.mktemp("auth"), **settings) as started:
        yield started


@pytest.fixture
def http(running: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.http, timeout=WAIT) as client:
        yield client


def visitor(http: httpx2.Client) -> str:
    answer = http.post("/api/auth/token", headers=ORIGIN, json={})
    assert answer.status_code == 200
    return str(answer.json()["token"])


def user(http: httpx2.Client, name: str) -> str:
    answer = http.post("/auth/token", json={"username": name, "password": PASSWORDS[name]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def listen(url: str, *said: Any, until: str, **options: Any) -> list[dict[str, Any]]:
    """What a WebSocket tells until a message of that type; its end is a message `closed`."""

    async def main() -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        async with connect(url, max_size=None, **options) as line:
            try:
                for message in said:
                    await line.send(message if isinstance(message, bytes) else json.dumps(message))
                while not heard or heard[-1]["type"] != until:
                    heard.append(json.loads(await asyncio.wait_for(line.recv(), WAIT)))
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                heard.append({"type": "closed", "code": closed.rcvd.code, "reason": closed.rcvd.reason})
        return heard

    return asyncio.run(main())


def ws(running: Server, path: str) -> str:
    return f"ws://127.0.0.1:{running.port}{path}"


# -- getting a token -----------------------------------------------------------------------------------------
def test_an_allowed_page_gets_a_token_and_can_read_the_answer(http: httpx2.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = http.options("/api/auth/token", headers=ORIGIN | asked)
    answer = http.post("/api/auth/token", headers=ORIGIN, json={})
    assert preflight.status_code == answer.status_code == 200
    assert set(answer.json()) == {"token", "ttl", "origin"}
    assert (answer.json()["ttl"], answer.json()["origin"]) == (3600, PAGE)
    for told in (preflight, answer):
        assert told.headers["access-control-allow-origin"] == PAGE
        assert "access-control-allow-credentials" not in told.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "origin", [None, "null", "https://shop.example.evil.example", "http://shop.example", "http://localhost:1"]
)
def test_another_page_gets_none(http: httpx2.Client, origin: str | None) -> None:
    answer = http.post("/api/auth/token", headers={} if origin is None else {"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert "access-control-allow-origin" not in answer.headers


def test_a_user_gets_a_token_for_the_password(http: httpx2.Client) -> None:
    answer = http.post("/auth/token", json={"username": "ann", "password": "right"})
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 3600)
    for wrong in ({"username": "ann", "password": "wrong"}, {"username": "eve", "password": "right"}):
        refused = http.post("/auth/token", json=wrong)
        assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHORIZED")
    same = http.post("/auth/token", json={"username": "ann", "password": "x" * 1025})
    assert same.status_code == 422
    assert "x" * 100 not in same.text


def test_passwords_are_not_tried_for_ever(running: Server) -> None:
    with httpx2.Client(base_url=running.http, headers={"X-Forwarded-For": "198.51.100.1"}) as client:
        wrong = {"username": "mallory", "password": "guess"}
        answers = [client.post("/auth/token", json=wrong) for _ in range(TRIES + 1)]
    assert [answer.status_code for answer in answers] == [401] * TRIES + [429]
    assert int(answers[-1].headers["retry-after"]) > 0


def test_a_new_token_for_the_same_visitor(http: httpx2.Client) -> None:
    old = visitor(http)
    session = http.post("/api/v1/sessions", json={}, headers=bearer(old)).json()["session_id"]
    new = http.post("/api/auth/token", headers=ORIGIN | bearer(old)).json()["token"]
    assert http.get(f"/api/v1/sessions/{session}", headers=bearer(new)).status_code == 200
    assert http.delete(f"/api/v1/sessions/{session}", headers=bearer(new)).status_code == 204


# -- the four dialects ---------------------------------------------------------------------------------------
def test_the_widget(running: Server, http: httpx2.Client) -> None:
    token, said = visitor(http), {"type": "text", "data": "hello"}
    heard = listen(ws(running, f"/ws?token={token}"), said, until="audio_end", origin=PAGE)
    assert heard[-1]["type"] == "audio_end"
    for url, options in ((ws(running, "/ws"), {"origin": PAGE}), (ws(running, f"/ws?token={token}"), {})):
        [refused] = listen(url, until="closed", **options)
        assert refused["code"] == 1008
        assert refused["reason"]


def test_the_widget_with_a_token_as_a_subprotocol(running: Server, http: httpx2.Client) -> None:
    async def main() -> str | None:
        offered = ["bearer", user(http, "ann")]
        async with connect(running.ws, subprotocols=offered) as line:  # type: ignore[arg-type]
            assert json.loads(await line.recv())["type"] == "config"
            return line.subprotocol

    assert asyncio.run(main()) == "bearer"


def test_the_dialect_of_frames(running: Server, http: httpx2.Client) -> None:
    said = {"type": "text_input", "text": "hello"}
    headers = {"additional_headers": bearer(user(http, "ann"))}
    assert listen(ws(running, "/"), said, until="stream_end", **headers)[-1]["type"] == "stream_end"
    [refused] = listen(ws(running, "/"), said, until="closed")
    assert (refused["code"], refused["reason"][:12]) == (1008, "UNAUTHORIZED")


def test_sessions_belong_to_whoever_began_them(running: Server, http: httpx2.Client) -> None:
    mine, other, boss = bearer(visitor(http)), bearer(visitor(http)), bearer(user(http, "boss"))
    session = http.post("/api/v1/sessions", json={"output": "weights"}, headers=mine).json()["session_id"]
    path = f"/api/v1/sessions/{session}"
    assert http.post("/api/v1/sessions", json={}).status_code == 401
    assert http.get(path).status_code == 401
    calls = [
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/text", {"text": "hello"}),
        ("POST", f"{path}/audio", None),
        ("GET", f"{path}/avatar?format=weights", None),
    ]
    for method, url, body in calls:
        answer = http.request(method, url, json=body, headers=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_SESSION"), (method, url)
    shown = [http.get("/api/v1/sessions", headers=who).json()["total"] for who in (mine, other, boss)]
    assert shown == [1, 0, 1]
    line, token = f"{path}/ws", other["Authorization"].removeprefix("Bearer ")
    [refused] = listen(ws(running, f"{line}?token={token}"), until="closed", origin=PAGE)
    assert (refused["code"], refused["reason"]) == (1008, "there is no such session")
    own = mine["Authorization"].removeprefix("Bearer ")
    said = {"type": "text_message", "data": "hello"}
    heard = listen(ws(running, f"{line}?token={own}"), said, until="audio_response", origin=PAGE)
    assert heard[-1]["session_id"] == session
    assert http.delete(path, headers=boss).status_code == 204
    assert http.get(path, headers=mine).status_code == 410
    assert http.get(path, headers=other).status_code == 404, "not even that there was one"


def test_the_page(running: Server, http: httpx2.Client) -> None:
    mine, other = bearer(user(http, "boss")), bearer(visitor(http))
    mine = bearer(visitor(http))
    assert http.post("/api/session", json={}).status_code == 401
    session = http.post("/api/session", json={}, headers=mine).json()["sessionId"]
    start = {"sessionId": session, "text": "Hello."}
    assert http.post("/api/muse/start", json=start, headers=other).status_code == 404
    assert http.get(f"/api/muse/stream/{session}", headers=other).status_code == 404
    assert (
        http.post("/api/openai/chat", json={"text": "hi", "sessionId": session}, headers=other).status_code
        == 404
    )
    assert http.post("/api/muse/start", json=start, headers=mine).json()["mode"] == "mse"
    token = other["Authorization"].removeprefix("Bearer ")
    stream = ws(running, f"/api/muse/stream/{session}?token={token}")
    [refused] = listen(stream, until="closed", origin=PAGE)
    assert (refused["code"], refused["reason"]) == (1008, "there is no such session")


def test_a_conversation_is_resumed_by_its_owner_alone(running: Server, http: httpx2.Client) -> None:
    async def main() -> list[str]:
        ann, boss = user(http, "ann"), user(http, "boss")
        async with connect(f"{running.ws}?token={ann}") as line:
            resume = json.loads(await line.recv())["resume"]
            await line.send(json.dumps({"type": "text", "data": "hello"}))
            await line.recv()
            line.transport.abort()
        kinds = []
        for token in (boss, ann):
            async with connect(f"{running.ws}?token={token}") as line:
                await line.recv()
                await line.send(json.dumps({"type": "hello", "resume": resume}))
                told = json.loads(await line.recv())
                kinds.append(told.get("code", told["type"]))
        return kinds

    assert asyncio.run(main()) == ["RESUME_EXPIRED", "config"]


# -- the end of a token --------------------------------------------------------------------------------------
def test_a_revoked_token_ends_everywhere(running: Server, http: httpx2.Client) -> None:
    token = user(http, "ann")

    async def main() -> tuple[int, int, str]:
        async with connect(f"{running.ws}?token={token}") as line:
            await line.recv()
            answer = await asyncio.to_thread(http.post, "/auth/revoke", headers=bearer(token))
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(line.recv(), WAIT)
            assert closed.value.rcvd is not None
            return answer.status_code, closed.value.rcvd.code, closed.value.rcvd.reason

    assert asyncio.run(main()) == (204, 1008, "the token was revoked")
    replayed = http.get("/api/v1/sessions", headers=bearer(token))
    assert (replayed.status_code, replayed.json()["code"]) == (401, "UNAUTHORIZED")


# -- limits --------------------------------------------------------------------------------------------------
def test_so_many_conversations_of_one_token(http: httpx2.Client) -> None:
    mine = bearer(visitor(http))
    answers = [http.post("/api/v1/sessions", json={}, headers=mine) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["code"] == "TOO_MANY_SESSIONS"
    assert answers[2].headers["retry-after"] == str(RETRY_AFTER)
    for answer in answers[:2]:
        http.delete(f"/api/v1/sessions/{answer.json()['session_id']}", headers=mine)
    assert http.post("/api/v1/sessions", json={}, headers=mine).status_code == 201


def test_so_much_sound_in_a_minute(running: Server, http: httpx2.Client) -> None:
    second = bytes(2 * 16_000)
    start = {"type": "audio_stream_start", "sampleRate": 16_000}
    url = ws(running, f"/ws?token={user(http, 'ann')}")
    heard = listen(url, start, second, second, second, second, until="error")
    assert heard[-1]["code"] == "RATE_LIMITED"
    assert [message["type"] for message in heard].count("error") == 1
    heard = listen(url, start, second, second, {"type": "ping"}, until="pong")
    assert [message["type"] for message in heard].count("error") == 0


# -- TLS -----------------------------------------------------------------------------------------------------
def test_a_server_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    options = ("serve", "--ssl-certfile", str(chain), "--ssl-keyfile", str(key))

    async def first(url: str) -> str:
        async with connect(url, ssl=trusted) as line:
            return str(json.loads(await line.recv())["type"])

    with server(tmp_path, options, AGENT_TYPE="scripted") as started:
        page = httpx2.get(f"https://localhost:{started.port}/health", verify=trusted, timeout=WAIT)
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert asyncio.run(first(f"wss://localhost:{started.port}/ws")) == "config"
        with socket.create_connection(("127.0.0.1", started.port), WAIT) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"HTTP/1.1 200" not in plain.recv(1000)
