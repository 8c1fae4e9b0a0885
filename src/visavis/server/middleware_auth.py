"""The one place where a request or a WebSocket is let in, or not. What is not known to be open is closed."""

from __future__ import annotations

import asyncio
import math

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.security.addresses import customer
from visavis.security.callers import ANYONE, KEY, Caller
from visavis.security.limits import Bucket
from visavis.security.origins import parse
from visavis.security.tokens import ADMIN, READ, TALK, BadToken
from visavis.server.auth import Auth
from visavis.server.hop import passed_on
from visavis.settings import LimitSettings

FILES = ("/static/", "/avatars/")
PAGES = frozenset({"/", "/face", "/docs", "/openapi.json", "/health", "/ready", "/api/v1/health"})
"""What everybody may GET, and what is not counted."""
SIGN_IN = frozenset({"/api/auth/token", "/auth/token"})
"""What everybody may POST."""
FOR_ADMINS = frozenset({"/metrics", "/api/v1/pipeline/status"})
SAFE = ("GET", "HEAD", "OPTIONS")
BURST_SECONDS = 10
"""Seconds over which the messages of a connection are averaged: a stalled network delivers all at once."""
BEARER = "bearer"


class Refused(Exception):
    """`retry`: seconds after which it would be let in."""

    def __init__(self, status: int, code: str, message: str, retry: float = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.retry = status, code, retry


class AuthMiddleware:
    """ASGI middleware. Who is let in stands in the scope; see `visavis.security.callers`."""

    def __init__(self, app: ASGIApp, auth: Auth) -> None:
        self._app, self._auth = app, auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection, socket = HTTPConnection(scope), scope["type"] == "websocket"
        if socket and _offered(scope):
            send = _answering(send)
        try:
            scope[KEY] = who = await self._admit(connection, socket=socket)
            if socket:
                await self._serve_socket(connection, receive, send, who)
            else:
                await self._serve(scope, receive, send, who)
        except Refused as refused:
            if socket:
                await _turn_away(refused, receive, send)
            else:
                await _refusal(refused)(scope, receive, send)

    # -- who -----------------------------------------------------------------------------------------------
    async def _admit(self, connection: HTTPConnection, *, socket: bool) -> Caller:
        """Who it is. Raises `Refused`."""
        path = connection.scope["path"]
        method = "GET" if socket else connection.scope["method"]
        public = not socket and method in SAFE and (path in PAGES or path.startswith(FILES))
        requests = None if passed_on(connection) else self._auth.requests
        if requests is not None and not public and (wait := await requests.take(_customer(connection))):
            raise Refused(429, "RATE_LIMITED", "Too many requests; try again later.", wait)
        if self._auth.tokens is None or public or (not socket and path in SIGN_IN and method == "POST"):
            return ANYONE
        who = self._holder(connection)
        assert who.claims is not None
        needed = ADMIN if path in FOR_ADMINS else READ if method in SAFE and not socket else TALK
        if needed not in who.claims.scopes and not who.admin:
            raise Refused(403, "FORBIDDEN", f"This token is not for that: it lacks the scope {needed!r}.")
        self._check_origin(connection, who.claims.origin, socket=socket)
        return who

    def _holder(self, connection: HTTPConnection) -> Caller:
        found = tokens_of(connection)
        if not found:
            raise Refused(401, "UNAUTHORIZED", "A token is needed: POST /api/auth/token or /auth/token.")
        if len(found) > 1:
            raise Refused(401, "UNAUTHORIZED", "There is more than one token; send one.")
        try:
            claims = self._auth.read(found[0])
        except BadToken as error:
            raise Refused(401, "UNAUTHORIZED", f"{str(error).capitalize()}; get a new one.") from None
        return Caller(claims.subject, claims)

    def _check_origin(self, connection: HTTPConnection, bound: str | None, *, socket: bool) -> None:
        """Browsers say from which page a WebSocket or a call to another server is, and pages cannot lie."""
        given = connection.headers.getlist("origin")
        if not given and not (bound and socket):
            return
        origin = parse(given[0]) if len(given) == 1 else None
        if (origin is None and (socket or bound)) or (bound and origin != parse(bound)):
            raise Refused(403, "FORBIDDEN", "The token is for another page.")
        if socket and not self._auth.origins.allow(given[0]):
            raise Refused(403, "FORBIDDEN", "This page may not connect: it is not an allowed origin.")

    # -- what is open --------------------------------------------------------------------------------------
    async def _serve(self, scope: Scope, receive: Receive, send: Send, who: Caller) -> None:
        if who.claims is None or scope["method"] not in SAFE:  # what streams without an end is a GET
            await self._app(scope, receive, send)
            return
        cancellation = anyio.CancelScope()

        async def cut(reason: str) -> None:
            cancellation.cancel(reason)

        with self._auth.opened(who.claims, cut), cancellation:
            await self._app(scope, receive, send)

    async def _serve_socket(
        self, connection: HTTPConnection, receive: Receive, send: Send, who: Caller
    ) -> None:
        auth = self._auth
        if not auth.limited and who.claims is None:
            await self._app(connection.scope, receive, send)
            return
        if passed_on(connection):  # its messages are counted where it came in
            watch = Watch(receive, send, None)
            with auth.opened(who.claims, watch.cut):
                await self._app(connection.scope, watch.receive, watch.send)
            return
        address, subject = _customer(connection), who.subject
        if not await auth.by_address.enter(address):
            raise Refused(429, "RATE_LIMITED", "Too many connections from this address.")
        try:
            if subject and not await auth.by_token.enter(subject):
                raise Refused(429, "RATE_LIMITED", "Too many connections with this token.")
            try:
                watch = Watch(receive, send, auth.limits if auth.limited else None)
                with auth.opened(who.claims, watch.cut):
                    await self._app(connection.scope, watch.receive, watch.send)
            finally:
                if subject:
                    auth.by_token.leave(subject)
        finally:
            auth.by_address.leave(address)


class Watch:
    """A WebSocket whose messages are counted, and that can be cut."""

    def __init__(self, receive: Receive, send: Send, limits: LimitSettings | None) -> None:
        self._receive, self._send = receive, send
        now = asyncio.get_running_loop().time()
        self._messages = _bucket(limits.messages_per_second if limits else 0, now)
        self._bytes = _bucket(limits.bytes_per_second if limits else 0, now)
        self._over = False

    async def receive(self) -> Message:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            if not self._over:
                reason = self._too_much(message)
                if reason is None:
                    return message
                await self.cut(reason)

    async def send(self, message: Message) -> None:
        if not self._over:
            await self._send(message)

    async def cut(self, reason: str) -> None:
        """Close it; the application hears of it like of a client that leaves."""
        if not self._over:
            self._over = True
            await self._send({"type": "websocket.close", "code": 1008, "reason": reason})

    def _too_much(self, message: Message) -> str | None:
        now = asyncio.get_running_loop().time()
        if self._messages is not None and not self._messages.take(1, now):
            return "RATE_LIMITED: too many messages a second"
        content = message.get("text") or message.get("bytes") or ""
        if self._bytes is not None and not self._bytes.take(len(content), now):
            return "RATE_LIMITED: too many bytes a second"
        return None


def tokens_of(connection: HTTPConnection) -> list[str]:
    """Every token of a request, wherever it stands; a good one has one."""
    found = connection.query_params.getlist("token")
    for header in connection.headers.getlist("authorization"):
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() == BEARER:
            found.append(token.strip())
    if offered := _offered(connection.scope):
        found += offered
    return found


def _offered(scope: Scope) -> list[str]:
    """What stands behind `bearer` in the subprotocols of a WebSocket."""
    offered = scope.get("subprotocols") or []
    return list(offered[1:]) if offered and offered[0].lower() == BEARER else []


def _answering(send: Send) -> Send:
    """Chooses the subprotocol `bearer`, without which a browser would hang up."""

    async def answer(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": BEARER}
        await send(message)

    return answer


async def _turn_away(refused: Refused, receive: Receive, send: Send) -> None:
    """Accept, then close: a browser tells a page nothing of a refusal before that."""
    await receive()
    await send({"type": "websocket.accept"})
    reason = f"{refused.code}: {refused}"[:120]
    await send({"type": "websocket.close", "code": 1008, "reason": reason})


def _refusal(refused: Refused) -> JSONResponse:
    headers = {"Retry-After": str(math.ceil(refused.retry))} if refused.retry else {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"code": refused.code, "message": str(refused)}, refused.status, headers=headers)


def _customer(connection: HTTPConnection) -> str:
    return customer(connection.client.host if connection.client else "")


def _bucket(rate: float, now: float) -> Bucket | None:
    return Bucket(rate, rate * BURST_SECONDS, now) if rate else None
