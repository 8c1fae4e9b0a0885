"""What every request and WebSocket goes through before the application, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from visavis.security.origins import Origins
from visavis.server.auth import Auth
from visavis.server.hop import HopMiddleware
from visavis.server.middleware_auth import AuthMiddleware
from visavis.server.middleware_http import HttpMiddleware
from visavis.server.routes_auth import AuthRoutes
from visavis.settings import Settings


class Cors(CORSMiddleware):
    """Origins are compared parsed. Credentials are never allowed: a token is sent by hand."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        told = ("Retry-After", "WWW-Authenticate")
        super().__init__(app, origins, allow_methods=["*"], allow_headers=["*"], expose_headers=told)
        self._origins = Origins(origins)

    def is_allowed_origin(self, origin: str) -> bool:
        return self._origins.allow(origin)


def protect(app: FastAPI, settings: Settings, pages: Iterable[Path]) -> None:
    """Everything of `app` goes through here; `pages` are its HTML files. Raises `ConfigurationError`."""
    app.state.auth = auth = Auth(settings)
    app.include_router(AuthRoutes(auth).router())
    if auth.hops is not None:
        from visavis.server.forwarding import ForwardingMiddleware  # an extra that is needed only now

        app.add_middleware(ForwardingMiddleware, state=app.state, hops=auth.hops)
    app.add_middleware(AuthMiddleware, auth=auth)
    if origins := settings.server.cors_origins:
        app.add_middleware(Cors, origins=origins)
    app.add_middleware(HttpMiddleware, settings=settings, pages=pages)
    if auth.hops is not None:
        app.add_middleware(HopMiddleware, hops=auth.hops)
