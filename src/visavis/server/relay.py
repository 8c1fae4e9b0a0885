"""Passes a call on to another server, and what comes of it back: bodies, streams, WebSockets both ways."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import quote

import anyio
import httpx2
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from visavis.server.hop import HEADER

CONNECT_SECONDS = 1.0
READ_SECONDS = 5.0
"""How long a short answer may take."""
LARGEST_MESSAGE = 64 << 20
"""Bytes; above what servers send."""
WAITING = 16
"""Messages of a WebSocket that wait for a slow reader."""
MOST_LINES = 1000
"""Calls at a time to other servers."""
RESTART = (1012, "the server is gone; please connect again")
OF_ONE_LINE = frozenset(
    b"connection keep-alive proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
"""Headers that are not for the next one."""
OF_PROXIES = frozenset(b"x-forwarded-for x-forwarded-proto forwarded".split())
"""What they say has been seen through already, and is signed."""
OF_THIS_SERVER = frozenset(b"date server".split())
NOTHING_DONE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
REPEATABLE = ("GET", "HEAD", "OPTIONS")
RESERVED = (1005, 1006, 1015)
"""Close codes that stand for none."""


class Unreachable(Exception):
    """Nobody answers there, and nothing of the call was done."""


class Relay:
    """Calls of other servers by this one."""

    def __init__(self) -> None:
        limits = httpx2.Limits(max_connections=MOST_LINES, max_keepalive_connections=20)
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        trusted = ssl.create_default_context()  # as WebSockets do: also an authority in SSL_CERT_FILE
        self._http = httpx2.AsyncClient(verify=trusted, limits=limits, timeout=timeout, trust_env=False)
        self.calls = 0
        """That were passed on."""
        self.failures = 0
        """Those that did not come to another server, or whose answer was lost."""

    async def close(self) -> None:
        await self._http.aclose()

    # -- HTTP ----------------------------------------------------------------------------------------------
    async def http(
        self,
        address: str,
        signed: str,
        scope: Scope,
        receive: Receive,
        send: Send,
        gone: Callable[[], Awaitable[None]],
    ) -> None:
        """The call `scope` at the server at `address`; `gone` ends when that is known to be dead. Raises
        `Unreachable`."""
        body = _Body(scope, receive)
        headers = [*_kept(scope, OF_ONE_LINE | OF_PROXIES), (HEADER.encode(), signed.encode())]
        request = self._http.build_request(
            scope["method"], address + _target(scope), headers=headers, content=body.content
        )
        answer: httpx2.Response | None = None
        failure: httpx2.HTTPError | None = None
        whole = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when, gone, tasks.cancel_scope)
            tasks.start_soon(_end_when, body.left, tasks.cancel_scope)
            try:
                answer = await self._http.send(request, stream=True)
                self.calls += 1
                await _pass_back(answer, send)
                whole = True
            except httpx2.HTTPError as broken:
                failure = broken
            finally:
                if answer is not None:
                    with anyio.CancelScope(shield=True):
                        await answer.aclose()
            tasks.cancel_scope.cancel()
        self.failures += not (whole or body.over)
        if answer is not None or body.over:
            return  # a stream that breaks off shows that there was more of it
        if isinstance(failure, NOTHING_DONE) or scope["method"] in REPEATABLE:
            raise Unreachable
        await _lost(scope, receive, send)

    async def read(self, address: str, signed: str, scope: Scope) -> httpx2.Response:
        """What the server at `address` answers to the GET `scope`. Raises `Unreachable`."""
        kept = _kept(scope, OF_ONE_LINE | OF_PROXIES | {b"accept-encoding"})
        headers = [*kept, (HEADER.encode(), signed.encode())]
        try:
            answer = await self._http.get(address + _target(scope), headers=headers, timeout=READ_SECONDS)
        except httpx2.HTTPError as nobody:
            self.failures += 1
            raise Unreachable from nobody
        self.calls += 1
        return answer

    # -- WebSockets ----------------------------------------------------------------------------------------
    async def open(self, address: str, signed: str, scope: Scope) -> ClientConnection:
        """The same WebSocket at the server at `address`. Raises `Unreachable`."""
        headers = [
            (name.decode(), value.decode("latin-1"))
            for name, value in _kept(scope, OF_ONE_LINE | OF_PROXIES | {b"host"})
            if not name.startswith(b"sec-websocket-")
        ]
        try:
            upstream = await connect(
                address.replace("http", "ws", 1) + _target(scope),
                additional_headers=[*headers, (HEADER, signed)],
                subprotocols=[Subprotocol(each) for each in scope.get("subprotocols", ())] or None,
                compression=None,
                user_agent_header=None,
                proxy=None,
                open_timeout=CONNECT_SECONDS,
                close_timeout=CONNECT_SECONDS,
                max_size=LARGEST_MESSAGE,
                max_queue=WAITING,
            )
        except (OSError, TimeoutError, WebSocketException) as nobody:
            self.failures += 1
            raise Unreachable from nobody
        self.calls += 1
        return upstream


async def carry(
    upstream: ClientConnection, receive: Receive, send: Send, gone: Callable[[], Awaitable[None]]
) -> None:
    """Pass the messages of an accepted WebSocket both ways, until either side ends it or `gone` ends."""

    async def there() -> None:
        while (message := await receive())["type"] == "websocket.receive":
            content = message.get("text")
            try:
                await upstream.send(message["bytes"] if content is None else content)
            except ConnectionClosed:
                return  # whoever reads it hears why
        code = message.get("code") or 1006
        if code in RESERVED:
            upstream.transport.abort()  # it is to be waited for
        else:
            await upstream.close(code)
        tasks.cancel_scope.cancel()

    async def back() -> None:
        try:
            while True:
                content = await upstream.recv()
                kind = "text" if isinstance(content, str) else "bytes"
                await send({"type": "websocket.send", kind: content})
        except ConnectionClosed:
            code, reason = upstream.close_code, upstream.close_reason
            end = RESTART if code is None or code in RESERVED else (code, reason or "")
            await send({"type": "websocket.close", "code": end[0], "reason": end[1]})
            tasks.cancel_scope.cancel()

    async def watch() -> None:
        await gone()
        upstream.transport.abort()

    async with anyio.create_task_group() as tasks:
        for each in (there, back, watch):
            tasks.start_soon(each)
    upstream.transport.abort()


async def _pass_back(answer: httpx2.Response, send: Send) -> None:
    headers = [
        (name.lower(), value)
        for name, value in answer.headers.raw
        if name.lower() not in OF_ONE_LINE | OF_THIS_SERVER
        and not name.lower().startswith(b"access-control-")
    ]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body:
    """The body of a call on its way, and afterwards whether the client is still there."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._whole = anyio.Event()
        self.over = False
        """The client is gone."""
        self.content: AsyncIterator[bytes] | None = None
        if {b"content-length", b"transfer-encoding"} & {name for name, _ in scope["headers"]}:
            self.content = self._pieces()
        else:
            self._whole.set()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while (message := await self._receive())["type"] == "http.request":
            yield message.get("body", b"")
            if not message.get("more_body", False):
                self._whole.set()
                return
        self.over = True
        raise httpx2.WriteError("the client is gone")

    async def left(self) -> None:
        """Until it is."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.over = True


async def _end_when(true: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    await true()
    scope.cancel()


async def _lost(scope: Scope, receive: Receive, send: Send) -> None:
    said = "The server that has this session is gone; please try again."
    problem: Message = {"code": "SERVER_GONE", "message": said}
    await JSONResponse(problem, 503, headers={"Retry-After": "2"})(scope, receive, send)


def _target(scope: Scope) -> str:
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _kept(scope: Scope, dropped: frozenset[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return ((name, value) for name, value in scope["headers"] if name not in dropped)
