"""Calls for conversations that another server has go there; those of a server that has died go on here.

So it does not matter which server a client comes to. A call that was passed on once is not passed on again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

import anyio
import orjson
from starlette.datastructures import Headers, State
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from visavis.conversations.carried import Carried
from visavis.conversations.store import hash_of
from visavis.errors import VisavisError
from visavis.security.callers import caller
from visavis.server.api_errors import RETRY_AFTER, STATUS
from visavis.server.directory import Directory, Place, Replica, Unknown
from visavis.server.hop import Hops, passed_on
from visavis.server.lines import Full
from visavis.server.relay import CONNECT_SECONDS, Relay, Unreachable, carry

WIDGET = "/ws"
IN_PATH = re.compile(r"/api/(?:v1/sessions|muse/stream|muse/file)/(?P<id>[\w-]{1,64})(?:[./].*)?")
IN_BODY = frozenset({"/api/muse/start", "/api/openai/chat"})
"""Calls that name their session in the query, or in a JSON body."""
CHANGES = frozenset({"/api/v1/sessions", "/api/session", *IN_BODY})
"""Calls after which others have to know something."""
ID = re.compile(r"[\w-]{1,64}")
LARGEST_BODY = 64 << 10
"""Bytes of a JSON body that is looked into."""
LONGEST_HELLO = 8 << 10
"""Characters of a client's hello."""
PATIENCE = 4.0
"""Seconds in which the server that has a conversation is reached, or is known to be dead."""
AGAIN_SECONDS = 0.1
FOR_CALLERS, FOR_WIDGETS = ("api", "page"), ("widget",)
"""Dialects of the sessions that REST calls are for, and of those that a token brings back."""
LEFT: Message = {"type": "websocket.disconnect", "code": 1000}
T = TypeVar("T")


class Elsewhere(VisavisError):
    """The conversation cannot be reached now; the client is to try again."""


NOWHERE = "Where this conversation is cannot be found out now; please try again in a few seconds."
NO_ANSWER = "The server that has this conversation does not answer; please try again in a few seconds."
MOVED = "This conversation has just moved to another server; please try again."


class ForwardingMiddleware:
    """ASGI middleware right around the application: whoever comes here was let in."""

    def __init__(self, app: ASGIApp, state: State, hops: Hops) -> None:
        """`state` is the application's; what it takes is there once that has started."""
        self._app, self._state, self._hops = app, state, hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == WIDGET:
            await self._widget(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await self._call(scope, receive, send)

    # -- calls that name a session -------------------------------------------------------------------------
    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        id, receive = await _named(scope, receive)
        if scope["type"] == "http" and (scope["path"] in CHANGES or scope["method"] == "DELETE"):
            send = self._when_known(send)
        try:
            if id and not self._state.talks.knows(id) and await self._elsewhere(id, scope, receive, send):
                return
        except VisavisError as problem:
            await _refuse(problem, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _when_known(self, send: Send) -> Send:
        """Others know of a session, of what it is about, or of its end, before the client does."""

        async def send_later(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._directory.settled()
            await send(message)

        return send_later

    async def _elsewhere(self, id: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Pass the call on to whoever has the session; False when it is to be answered here."""
        who = caller(HTTPConnection(scope))

        async def pass_on(replica: Replica) -> bool:
            signed = self._hops.sign(scope, replica.name)
            if scope["type"] == "http":
                await self._relay.http(replica.address, signed, scope, receive, send, self._gone(replica))
                return True
            upstream = await self._relay.open(replica.address, signed, scope)
            await receive()
            await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol})
            await carry(upstream, receive, send, self._gone(replica))
            return True

        async def here(carried: Carried) -> None:
            agent = None
            if carried.begun.dialect == "page":
                agent = await anyio.to_thread.run_sync(self._state.brain.reader)
            self._state.talks.go_on(carried, agent)

        place = await self._find(id)
        if place is not None and place.ended is not None:
            self._state.talks.remember_ended(id, place.ended)
        begun = None if place is None else place.begun
        if begun is None or begun.dialect not in FOR_CALLERS or not who.may_see(begun.owner):
            return False
        if passed_on(HTTPConnection(scope)):
            raise Elsewhere("SESSION_MOVED", MOVED)
        return bool(await self._reach(id, begun.owner, pass_on, here))

    # -- widgets that come back ------------------------------------------------------------------------------
    async def _widget(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look for a hello with a token until something else is said; then it is known whose client it is."""
        there: tuple[ClientConnection, Replica] | None = None
        hello: Message = {}
        problem: VisavisError | None = None
        looking = not passed_on(HTTPConnection(scope))

        async def hear() -> Message:
            nonlocal there, hello, problem, looking
            message = await receive()
            if not looking or message["type"] != "websocket.receive":
                return message
            kind, token = _hello(message)
            looking = kind in ("hello", "ping")
            if not token or self._state.sessions.has(token):
                return message
            try:
                there, hello = await self._resumed(token, scope), message
            except (Elsewhere, Full) as refused:
                problem = refused
            if there is None and problem is None:
                return message
            looking = False
            return LEFT  # the connection here ends before it has said anything of a conversation

        async def say(message: Message) -> None:
            if there is None and problem is None:
                await send(message)

        try:
            await self._app(scope, hear, say)
            if problem is not None:
                await send({"type": "websocket.close", "code": 1013, "reason": _reason(problem)})
            elif there is not None:
                upstream, replica = there
                with suppress(ConnectionClosed):  # whoever reads it hears why
                    await upstream.send(hello["text"])
                await carry(upstream, receive, send, self._gone(replica))
        finally:
            if there is not None:
                there[0].transport.abort()

    async def _resumed(self, token: str, scope: Scope) -> tuple[ClientConnection, Replica] | None:
        """A connection to the server that has the conversation, on which the first config has come; None when
        it goes on here, or is over."""

        async def open_there(replica: Replica) -> tuple[ClientConnection, Replica]:
            upstream = await self._relay.open(replica.address, self._hops.sign(scope, replica.name), scope)
            try:
                with anyio.fail_after(CONNECT_SECONDS):
                    await upstream.recv()  # the client has had one
            except (ConnectionClosed, TimeoutError) as nobody:
                upstream.transport.abort()
                raise Unreachable from nobody
            return upstream, replica

        async def here(carried: Carried) -> None:
            sessions = self._state.sessions
            sessions.leave(sessions.go_on(carried, token), for_good=False)

        id = await _known(self._directory.with_token(hash_of(token)))
        place = None if id is None else await self._find(id)
        begun = None if place is None else place.begun
        owner = caller(HTTPConnection(scope)).subject
        if id is None or begun is None or begun.dialect not in FOR_WIDGETS or begun.owner != owner:
            return None
        return await self._reach(id, owner, open_there, here)

    # -- where it is -----------------------------------------------------------------------------------------
    async def _reach(
        self,
        id: str,
        owner: str,
        attempt: Callable[[Replica], Awaitable[T]],
        here: Callable[[Carried], Awaitable[None]],
    ) -> T | None:
        """What comes of `attempt` with the server that has the session; None when it is here, where it goes
        on when that one is dead. Raises `Elsewhere` and `Full`."""
        latest = anyio.current_time() + PATIENCE
        while anyio.current_time() < latest:
            place = await self._find(id)
            if place is None or place.begun is None or self._state.sessions.has_id(id):
                return None
            if (holder := place.holder) is not None and holder != self._directory.me:
                with suppress(Unreachable):
                    return await attempt(holder)
            if holder is None or not await self._alive(holder):
                self._state.sessions.check_room()
                if (carried := await self._take(id, holder)) is not None:
                    try:
                        await here(carried)
                    except BaseException:
                        self._directory.drop(carried.begun)
                        raise
                    return None
            await anyio.sleep(AGAIN_SECONDS)
        raise Elsewhere("SERVER_GONE", NO_ANSWER)

    async def _find(self, id: str) -> Place | None:
        return await _known(self._directory.find(id))

    async def _alive(self, replica: Replica) -> bool:
        return await _known(self._directory.alive(replica))

    async def _take(self, id: str, holder: Replica | None) -> Carried | None:
        return await _known(self._directory.take(id, holder))

    def _gone(self, replica: Replica) -> Callable[[], Awaitable[None]]:
        return partial(self._directory.gone, replica)

    @property
    def _directory(self) -> Directory:
        directory: Directory = self._state.directory
        return directory

    @property
    def _relay(self) -> Relay:
        relay: Relay = self._state.relay
        return relay


async def _known(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except Unknown:
        raise Elsewhere("DIRECTORY_UNREACHABLE", NOWHERE) from None


# -- what a call says ----------------------------------------------------------------------------------------
async def _named(scope: Scope, receive: Receive) -> tuple[str, Receive]:
    """The id of the session that a call is for, "" when it names none; and what is left to be received."""
    if (found := IN_PATH.fullmatch(scope["path"])) is not None:
        return found["id"], receive
    if scope["type"] != "http" or scope["path"] not in IN_BODY or scope["method"] != "POST":
        return "", receive
    if query := parse_qs(scope["query_string"].decode("latin-1")).get("sessionId"):
        return _checked(query[0]), receive
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/json"):
        return "", receive
    messages = [await receive()]
    while (
        messages[-1].get("more_body") and sum(len(each.get("body", b"")) for each in messages) <= LARGEST_BODY
    ):
        messages.append(await receive())

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    body = b"".join(each.get("body", b"") for each in messages)
    with suppress(orjson.JSONDecodeError):
        data = orjson.loads(body) if len(body) <= LARGEST_BODY else None
        return _checked(data.get("sessionId") if isinstance(data, dict) else None), again
    return "", again


def _checked(id: Any) -> str:
    return id if isinstance(id, str) and ID.fullmatch(id) else ""


def _hello(message: Message) -> tuple[str, str]:
    """What kind of message it is, and the token in a hello; "" for what cannot be read."""
    text = message.get("text")
    if not isinstance(text, str) or len(text) > LONGEST_HELLO:
        return "", ""
    with suppress(orjson.JSONDecodeError):
        data = orjson.loads(text)
        if isinstance(data, dict):
            token = data.get("resume")
            hello = data.get("type") == "hello"
            return str(data.get("type")), token if hello and isinstance(token, str) else ""
    return "", ""


async def _refuse(problem: VisavisError, scope: Scope, receive: Receive, send: Send) -> None:
    """The client is to come again."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1013, "reason": _reason(problem)})
        return
    body = {"code": problem.code, "message": str(problem)}
    retry = str(RETRY_AFTER) if isinstance(problem, Full) else "2"
    await JSONResponse(body, STATUS.get(problem.code, 503), headers={"Retry-After": retry})(
        scope, receive, send
    )


def _reason(problem: VisavisError) -> str:
    return f"{problem.code}: {problem}"[:120]
