"""Every try to get into a real server without being let in: none may succeed.

Slow senders are in `tests/server/test_slow_senders.py`, where they cost no time.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import jwt
import pytest
from tests.process import Server, server
from tests.server.test_auth import PAGE, PASSWORDS, WAIT, bearer, listen, user, visitor, ws
from websockets.exceptions import InvalidStatus

from visavis.security.users import hashed
from visavis.server.middleware_http import LARGEST_BODY
from visavis.server.protocol import LARGEST_HEAD

KEY = "0123456789abcdef" * 4
CLOSED = "/api/v1/sessions"
"""What needs a token."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": "0.2",
        "VISAVIS_ENV": "production",
        "AUTH_ENABLED": "true",
        "AUTH_SECRET_KEY": KEY,
        "AUTH_ALLOWED_ORIGINS": PAGE,
        "AUTH_USERS": " ".join(f"{name}:{hashed(word)}" for name, word in PASSWORDS.items()),
        "AUTH_ADMINS": "boss",
        "VISAVIS_LIMITS__REQUESTS_PER_MINUTE": "0",
        "VISAVIS_SERVER__TRUSTED_PROXIES": "10.0.0.1",
    }
    with server(tmp_path_factory.mktemp("bypass"), **settings) as started:
        yield started


@pytest.fixture
def http(running: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.http, timeout=WAIT) as client:
        yield client


# -- origins -------------------------------------------------------------------------------------------------
ORIGINS = {
    "missing": [],
    "opaque": ["null"],
    "empty": [""],
    "the allowed one as a prefix": ["https://shop.example.evil.example"],
    "as a suffix": ["https://evilshop.example"],
    "as a user": ["https://shop.example@evil.example"],
    "as a path": ["https://evil.example/https://shop.example"],
    "as a fragment": ["https://evil.example#https://shop.example"],
    "with a path": [f"{PAGE}/"],
    "with a dot": [f"{PAGE}."],
    "with an escape": ["https://shop.example%2eevil.example"],
    "with a backslash": ["https://shop.example\\.evil.example"],
    "another scheme": ["http://shop.example"],
    "another port": ["https://shop.example:8443"],
    "a subdomain": ["https://a.shop.example"],
    "another letter that looks the same": ["https://xn--shp-dla.example"],
    "two in one": [f"{PAGE} https://evil.example"],
    "two, the allowed one first": [PAGE, "https://evil.example"],
    "two, the allowed one last": ["https://evil.example", PAGE],
    "this machine": ["http://localhost"],
    "a file": ["file://"],
}


@pytest.mark.parametrize("kind", ORIGINS)
def test_no_other_page_gets_a_token_or_uses_one(running: Server, http: httpx2.Client, kind: str) -> None:
    headers = [("Origin", origin) for origin in ORIGINS[kind]]
    asked = http.post("/api/auth/token", headers=headers)
    assert (asked.status_code, asked.json()["code"]) == (403, "FORBIDDEN")
    assert asked.headers.get("access-control-allow-origin") in (
        {None, PAGE} if PAGE in ORIGINS[kind] else {None}
    )
    token = visitor(http)
    assert turned_away(running, f"/ws?token={token}", headers)
    if headers:
        used = http.get(CLOSED, headers=[*headers, ("Authorization", f"Bearer {token}")])
        assert used.status_code == 403


def turned_away(running: Server, path: str, headers: Any = (), **options: Any) -> bool:
    """Whether a WebSocket hears nothing but that it is closed by policy, or is none at all."""
    try:
        heard = listen(ws(running, path), until="closed", additional_headers=headers, **options)
    except InvalidStatus as refused:
        return refused.response.status_code == 400
    return [(message["type"], message["code"]) for message in heard] == [("closed", 1008)]


# -- tokens --------------------------------------------------------------------------------------------------
def signed(key: str = KEY, algorithm: str = "HS256", without: str = "", **changed: Any) -> str:
    now = int(time.time())
    ours = {"iss": "visavis", "aud": "visavis", "sub": "user-ann", "jti": "1", "scope": "talk read admin"}
    claims = ours | {"iat": now, "exp": now + 60} | changed
    claims.pop(without, None)
    return jwt.encode(claims, key, algorithm=algorithm)


def tampered() -> str:
    """One of ours, for less, with more written in it."""
    head, claims, signature = signed(scope="read").split(".")
    more = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"scope": "admin"}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(more).encode()).decode().rstrip('=')}.{signature}"


def unsigned(algorithm: str) -> str:
    """One of ours that says it has no signature."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode()
    return f"{head.rstrip('=')}.{signed().split('.')[1]}."


TOKENS = {
    "empty": "",
    "nonsense": "a.b.c",
    "expired": signed(exp=int(time.time()) - 1),
    "expired long ago": signed(iat=0, exp=1),
    "of the future": signed(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "for ever": signed(exp=float("inf")),
    "another audience": signed(aud="elsewhere"),
    "several audiences, none of them us": signed(aud=["elsewhere", "visavis.evil"]),
    "another issuer": signed(iss="elsewhere"),
    "another key": signed("f" * 64),
    "another algorithm": signed(algorithm="HS512"),
    "alg=none": jwt.encode({"sub": "user-ann"}, "", algorithm="none"),
    "alg=none with our claims": unsigned("none"),
    "alg=NoNe": unsigned("NoNe"),
    "no signature": unsigned("HS256"),
    "tampered": tampered(),
    "no expiry": signed(without="exp"),
    "no audience": signed(without="aud"),
    "no id": signed(without="jti"),
    "no holder": signed(without="sub"),
    "an empty holder": signed(sub=""),
    "too long": signed(more="x" * 5000),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_no_other_token_opens_anything(running: Server, http: httpx2.Client, kind: str) -> None:
    token = TOKENS[kind]
    for answer in (http.get(CLOSED, headers=bearer(token or "x")), http.get(CLOSED, params={"token": token})):
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert turned_away(running, "/ws", bearer(token))
    assert turned_away(running, f"/?token={token}")
    if token:
        assert turned_away(running, "/ws", subprotocols=["bearer", token])


def test_the_token_that_those_are_made_like_does(http: httpx2.Client) -> None:
    assert http.get(CLOSED, headers=bearer(signed())).status_code == 200


def test_a_token_is_not_replayed_after_its_end(running: Server, http: httpx2.Client) -> None:
    token = user(http, "ann")
    assert http.post("/auth/revoke", headers=bearer(token)).status_code == 204
    for method, path in (("GET", CLOSED), ("POST", CLOSED), ("POST", "/auth/revoke")):
        assert http.request(method, path, headers=bearer(token)).status_code == 401
    again = http.post("/api/auth/token", headers={"Origin": PAGE} | bearer(token))
    assert jwt.decode(again.json()["token"], options={"verify_signature": False})["sub"] != "user-ann"
    assert turned_away(running, "/ws", bearer(token))


def test_metrics_are_for_administrators(http: httpx2.Client) -> None:
    answers = [
        http.get("/metrics", headers=headers)
        for headers in ({}, bearer(visitor(http)), bearer(user(http, "ann")), bearer(user(http, "boss")))
    ]
    assert [answer.status_code for answer in answers] == [401, 403, 403, 200]
    assert "visavis_sessions" in answers[-1].text
    assert not any("visavis_" in answer.text for answer in answers[:-1])


# -- somebody else's -----------------------------------------------------------------------------------------
def test_another_session_is_never_there(running: Server, http: httpx2.Client) -> None:
    ann, eve = bearer(user(http, "ann")), bearer(visitor(http))
    id = http.post(CLOSED, json={"output": "weights"}, headers=ann).json()["session_id"]
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"{CLOSED}/{id}", None),
        ("GET", f"{CLOSED}/{id}?owner=user-ann", None),
        ("DELETE", f"{CLOSED}/{id}", None),
        ("POST", f"{CLOSED}/{id}/text", {"text": "hello"}),
        ("POST", f"{CLOSED}/{id}/text?wait=true", {"text": "hello"}),
        ("POST", f"{CLOSED}/{id}/audio", None),
        ("GET", f"{CLOSED}/{id}/avatar", None),
        ("GET", f"{CLOSED}/{id}/avatar?format=weights", None),
        ("POST", "/api/muse/start", {"sessionId": id, "text": "hello"}),
        ("GET", f"/api/muse/stream/{id}", None),
    ]
    for method, path, body in calls:
        answer = http.request(method, path, json=body, headers=eve)
        assert answer.status_code == 404, (method, path, answer.text)
        unknown = http.request(method, path.replace(id, "0" * 32), json=body and {**body}, headers=eve)
        assert unknown.status_code == 404
    token = eve["Authorization"].removeprefix("Bearer ")
    for path in (f"{CLOSED}/{id}/ws", f"/api/muse/stream/{id}"):
        assert turned_away(running, f"{path}?token={token}", origin=PAGE)
    assert http.get(CLOSED, headers=eve).json()["total"] == 0
    assert http.get(f"{CLOSED}/{id}", headers=ann).json()["turns"] == 0, "nothing was said in it"
    http.delete(f"{CLOSED}/{id}", headers=ann)


# -- bytes that are read differently by a proxy --------------------------------------------------------------
HIDDEN = f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\n\r\n"
RAW = {
    "two hosts": f"GET {CLOSED} HTTP/1.1\r\nHost: localhost\r\nHost: a\r\n\r\n",
    "no host": f"GET {CLOSED} HTTP/1.0\r\n\r\n",
    "somebody else's address": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
    "somebody else's name": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: boss\r\n\r\n",
    "another method": f"POST {CLOSED} HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: GET\r\n"
    "Content-Length: 0\r\n\r\n",
    "another address": f"GET / HTTP/1.1\r\nHost: a\r\nX-Original-URL: {CLOSED}\r\nX-Rewrite-URL: {CLOSED}\r\n"
    "Accept: application/json\r\nRange: bytes=0-0\r\n\r\n",
    "a length and chunks": "POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks that hide": "POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": "POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"
    f"{HIDDEN}",
    "a space before a colon": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer "
    f"{signed()}\r\n\r\n",
    "a folded line": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\nX: y\r\n Authorization: Bearer {signed()}\r\n\r\n",
    "a token in a trailer": f"POST {CLOSED} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    f"0\r\nAuthorization: Bearer {signed()}\r\n\r\n",
    "two tokens": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {signed()}\r\n"
    "Authorization: Bearer x\r\n\r\n",
    "two tokens in one": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\n"
    f"Authorization: Bearer x, Bearer {signed()}\r\n\r\n",
    "two tokens in two places": f"GET {CLOSED}?token=x HTTP/1.1\r\nHost: a\r\n"
    f"Authorization: Bearer {signed()}\r\n\r\n",
    "a path that climbs": "GET /static/../metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path that climbs in secret": "GET /static/%2e%2e/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path that climbs out of the house": "GET /avatars/..%2f..%2fsettings.py HTTP/1.1\r\nHost: a\r\n\r\n",
    "a whole address": "GET http://localhost/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    "two slashes": "GET //metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    "a parameter": "GET /metrics;/health HTTP/1.1\r\nHost: a\r\n\r\n",
    "a zero": "GET /metrics%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tunnel": "CONNECT localhost:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "another protocol": "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "headers without end": f"GET {CLOSED} HTTP/1.1\r\nHost: a\r\nX: {'x' * LARGEST_HEAD}\r\n\r\n",
    "an address without end": f"GET {CLOSED}?{'x' * LARGEST_HEAD} HTTP/1.1\r\nHost: a\r\n\r\n",
    "a body without end": "POST /auth/token HTTP/1.1\r\nHost: a\r\n"
    f"Content-Length: {LARGEST_BODY + 1}\r\n\r\n",
}
OPEN = {"another address"}
"""Those that ask for what is open to everybody; they must get that, and nothing else."""


@pytest.mark.parametrize("kind", RAW)
def test_bytes_that_mean_two_things_open_nothing(running: Server, kind: str) -> None:
    said = raw(running, RAW[kind])
    statuses = [line.split()[1] for line in said.split("\r\n") if line.startswith("HTTP/1.1 ")]
    assert "total" not in said and "visavis_" not in said and "import" not in said
    if kind in OPEN:
        assert statuses == ["200"]
        assert '"name":"visavis"' in said
    else:
        assert all(status[0] == "4" for status in statuses), statuses


def raw(running: Server, request: str) -> str:
    """All that is answered until nothing more comes."""
    with socket.create_connection(("127.0.0.1", running.port), WAIT) as line:
        received = b""
        try:
            line.sendall(request.encode())
            line.shutdown(socket.SHUT_WR)
            while piece := line.recv(65536):
                received += piece
        except ConnectionError:
            pass
    return received.decode("latin-1")


def test_two_hosts_are_no_request(running: Server) -> None:
    said = raw(running, RAW["two hosts"].replace(CLOSED, "/health"))
    assert said.startswith("HTTP/1.1 400")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_that_is_deep_or_packed_is_refused_and_the_server_goes_on(
    running: Server, http: httpx2.Client, opening: str
) -> None:
    who = bearer(user(http, "ann"))
    deep = (opening * (LARGEST_BODY // len(opening))).encode()
    for path in ("/auth/token", CLOSED, "/api/muse/start", "/api/openai/chat", "/api/session"):
        answer = http.post(path, content=deep, headers=who | {"Content-Type": "application/json"})
        assert answer.status_code in (400, 413, 422), path
        assert len(answer.content) < 2000, "nothing of it is repeated"
        packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = http.post(path, content=bytes(1000), headers=who | packed)
        assert answer.status_code in (400, 413, 415, 422), path
    token = who["Authorization"].removeprefix("Bearer ")
    heard = listen(ws(running, f"/ws?token={token}"), deep[: LARGEST_BODY - 1].decode(), until="error")
    assert heard[-1]["type"] == "error"
    assert http.get("/health").status_code == 200
