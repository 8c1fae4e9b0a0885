"""Puts the application behind its shield and its guard."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from visavis.security.origins import Origins
from visavis.server.access import Access
from visavis.server.guard import Guard
from visavis.server.routes_auth import AuthRoutes
from visavis.server.shield import Shield
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
    access = Access(settings)
    app.include_router(AuthRoutes(access).router())
    app.add_middleware(Guard, access=access)
    if origins := settings.server.cors_origins:
        app.add_middleware(Cors, origins=origins)
    app.add_middleware(Shield, settings=settings, pages=pages)
