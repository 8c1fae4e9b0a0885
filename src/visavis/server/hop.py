"""Calls that one server passes on to another: signed, so that nobody else can say where a call is from.

The one that passes a call on has let it in: it knows the client's address, and has counted the call. The one
that gets it believes that, asks for the client's token like for any other call, and passes nothing on.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from visavis.errors import ConfigurationError
from visavis.settings import Settings

HEADER = "visavis-hop"
PASSED_ON = "visavis.passed_on"
"""Where it stands in the ASGI scope that a call comes from another server."""
VALID_SECONDS = 30
"""By how much clocks may differ, and how long a call may be on its way."""
_PURPOSE = b"visavis: calls from server to server"


class Hops:
    """Signs calls, and believes those that are signed for this server."""

    def __init__(self, keys: Sequence[str], name: str) -> None:
        """The first of `keys` signs; `name` is this server's."""
        self.name = name
        self._keys = [hmac.digest(key.encode(), _PURPOSE, "sha256") for key in keys]

    def sign(self, scope: Scope, target: str) -> str:
        """The header of a call that is passed on to the server `target`."""
        address = scope["client"][0] if scope.get("client") else ""
        said = f"{time.time():.0f};{target};{address};{_scheme(scope)}"
        return f"{said};{_signature(self._keys[0], said, scope)}"

    def read(self, header: str, scope: Scope) -> tuple[str, str] | None:
        """The client's address and the scheme of its call; None when no server of ours has said so, now and
        to this one, of this very call."""
        said, _, signature = header.rpartition(";")
        if not any(_equal(_signature(key, said, scope), signature) for key in self._keys):
            return None
        at, target, address, scheme = said.split(";")
        if target != self.name or abs(time.time() - float(at)) > VALID_SECONDS:
            return None
        return address, scheme


class HopMiddleware:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, hops: Hops) -> None:
        self._app, self._hops = app, hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [] if scope["type"] == "lifespan" else Headers(scope=scope).getlist(HEADER)
        if not given:
            await self._app(scope, receive, send)
            return
        found = self._hops.read(given[0], scope) if len(given) == 1 else None
        if found is None:
            await _refuse(scope, receive, send)
            return
        address, secure = found[0], found[1] == "https"
        scheme = ("wss" if secure else "ws") if scope["type"] == "websocket" else found[1]
        port = scope["client"][1] if scope.get("client") else 0
        told = {"scheme": scheme, "client": (address, port), PASSED_ON: True}
        await self._app({**scope, **told}, receive, send)


def passed_on(connection: HTTPConnection) -> bool:
    """Whether a call comes from another server, which has counted it."""
    return bool(connection.scope.get(PASSED_ON))


def keys_of(settings: Settings) -> list[str]:
    """What servers that belong together sign with. Raises `ConfigurationError`."""
    auth = settings.auth
    keys = [key.get_secret_value() for key in (auth.secret_key, auth.previous_key)]
    if not keys[0]:
        raise ConfigurationError(
            "cluster.redis is set, but auth.secret_key is not: servers that belong together share it, by "
            "which they know each other. Make one with `openssl rand -hex 32` and set AUTH_SECRET_KEY"
        )
    return [key for key in keys if key]


def _signature(key: bytes, said: str, scope: Scope) -> str:
    method = "WS" if scope["type"] == "websocket" else scope["method"]
    call = f"{said}\n{method}\n{scope['path']}\n{scope['query_string'].decode('latin-1')}"
    return hmac.new(key, call.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _equal(right: str, given: str) -> bool:
    return hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogateescape"))


def _scheme(scope: Scope) -> str:
    return "https" if scope["scheme"] in ("https", "wss") else "http"


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "not from a server of ours"})
        return
    problem = {"code": "FORBIDDEN", "message": "This call says that it is from a server of ours, and is not."}
    await JSONResponse(problem, 403)(scope, receive, send)
