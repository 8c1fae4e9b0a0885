"""What holds for every request, whoever sends it: where it is from, how large and how slow it may be, and the
headers that tell browsers what a page of ours may do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.security.addresses import Proxies
from visavis.settings import Settings

LARGEST_BODY = 1 << 20
"""Bytes of a request without a recording."""
RECORDINGS = re.compile(r"/api/(v1/sessions/[^/]+/audio|animate|openai/chat)/?")
"""Paths of requests with one."""
PATIENCE = 2
"""Times the largest recording that is read before the line is cut: who sends all before they listen is told
what is wrong by the application."""
HSTS = "max-age=31536000"
DISCONNECTED: Message = {"type": "http.disconnect"}
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


class HttpMiddleware:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, settings: Settings, pages: Iterable[Path]) -> None:
        """`pages` are the HTML files, whose inline styles and scripts are allowed."""
        self._app, self._limits = app, settings.limits
        self._proxies = Proxies(settings.server.trusted_proxies)
        html = [page.read_text(encoding="utf-8") for page in pages]
        self._policy = content_policy(html, settings.server.api_base, settings.server.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        self._see_through_proxies(scope, headers)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        scope["headers"] = [header for header in scope["headers"] if not _in_another_unit(*header)]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), https=scope["scheme"] == "https")
            await send(message)

        if len(headers.getlist("host")) > 1:
            problem = {"code": "BAD_REQUEST", "message": "There is more than one Host header; send one."}
            await JSONResponse(problem, 400)(scope, receive, send_with_headers)
            return
        recording = RECORDINGS.fullmatch(scope["path"])
        limit = PATIENCE * self._limits.upload_megabytes << 20 if recording else LARGEST_BODY
        body = Body(scope, receive, send_with_headers, limit, self._limits.upload_seconds)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            await body.refuse_size()
            return
        with suppress(ClientDisconnect):  # whoever asked is gone, or was refused
            await self._app(scope, body.receive, body.send)

    def _see_through_proxies(self, scope: Scope, headers: Headers) -> None:
        if scope.get("client") is None:
            return
        peer, port = scope["client"]
        if forwarded := headers.getlist("x-forwarded-for"):
            scope["client"] = (self._proxies.client(peer, forwarded), port)
        if self._proxies.https(peer, headers.getlist("x-forwarded-proto")):
            scope["scheme"] = "wss" if scope["type"] == "websocket" else "https"

    def _add_headers(self, headers: MutableHeaders, *, https: bool) -> None:
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault("Referrer-Policy", "same-origin")
        if https:
            headers["Strict-Transport-Security"] = HSTS
        if headers.get("content-type", "").startswith("text/html"):
            headers.setdefault("Content-Security-Policy", self._policy)
            headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(self)"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"


class Body:
    """The body of a request on its way in: at most `limit` bytes, in `seconds`.

    Beyond that the caller is told, and the application hears of a client that has left.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int, seconds: float) -> None:
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._seconds = seconds
        self._latest = asyncio.get_running_loop().time() + seconds
        self._size = 0
        self._whole = self._begun = self._refused = False

    async def receive(self) -> Message:
        if self._refused:
            return DISCONNECTED
        if self._whole:
            return await self._receive()
        message: Message | None = None
        with anyio.move_on_at(self._latest):
            message = await self._receive()
        if message is None:
            late = f"The body did not arrive in {self._seconds:g} s."
            return await self._refuse(408, "TOO_SLOW", late)
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._limit:
            return await self.refuse_size()
        return message

    async def send(self, message: Message) -> None:
        if not self._refused:
            self._begun = True
            await self._send(message)

    async def refuse_size(self) -> Message:
        return await self._refuse(413, "TOO_LARGE", f"A body may have at most {self._limit} bytes here.")

    async def _refuse(self, status: int, code: str, message: str) -> Message:
        self._refused = True
        if not self._begun:
            answer = JSONResponse({"code": code, "message": message}, status, headers={"Connection": "close"})
            await answer(self._scope, self._receive, self._send)
        return DISCONNECTED


def content_policy(pages: Iterable[str], api_base: str = "", framed_by: Iterable[str] = ()) -> str:
    """The Content-Security-Policy of our pages: everything from here, inline only what is in them.

    `api_base` is another server that they talk to, `framed_by` the origins that may show them in a frame.
    """
    elsewhere = ""
    if api_base:
        address = urlsplit(api_base)
        web_socket = address.scheme.replace("http", "ws")
        elsewhere = f" {address.scheme}://{address.netloc} {web_socket}://{address.netloc}"
    inline = dict.fromkeys(found.groups() for page in pages for found in _INLINE.finditer(page))
    hashes = {kind: "".join(f" '{_hash(text)}'" for of, text in inline if of == kind) for kind, _ in inline}
    rules = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'" + hashes.get("script", ""),  # heads are unpacked by wasm
        "style-src": "'self'" + hashes.get("style", ""),
        "img-src": f"'self' data: blob:{elsewhere}",
        "media-src": f"'self' blob:{elsewhere}",
        "connect-src": f"'self' blob:{elsewhere}",
        "worker-src": "'self'",
        "font-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(["'self'", *framed_by]),
    }
    return "; ".join(f"{rule} {sources}" for rule, sources in rules.items())


def _in_another_unit(name: bytes, value: bytes) -> bool:
    """Whether it is a `Range` in a unit that nobody here knows, which is to be ignored (RFC 9110, 14.2)."""
    return name == b"range" and value.partition(b"=")[0].strip().lower() != b"bytes"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
