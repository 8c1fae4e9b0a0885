"""Tokens: for visitors of an allowed page, for users with a password; and their end.

Source: docs/protocols.md. Errors are `{code, message}`.
"""

from __future__ import annotations

import math
from typing import Literal

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.security.addresses import customer
from visavis.security.callers import caller
from visavis.security.origins import parse
from visavis.security.tokens import BadToken, Claims
from visavis.security.users import LONGEST
from visavis.server.api_errors import ApiError
from visavis.server.api_models import like
from visavis.server.auth import Auth
from visavis.server.described import problems
from visavis.server.middleware_auth import tokens_of

AT_ONCE = 2
"""Passwords that are compared at a time: each takes 64 MiB for a moment."""
NO_STORE = {"Cache-Control": "no-store"}
_EXAMPLE = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl"


class VisitorToken(BaseModel):
    """A token for a visitor of a page."""

    model_config = like({"token": _EXAMPLE, "ttl": 3600, "origin": "https://example.org"})
    token: str = Field(description="In the query as `token`, or as `Authorization: Bearer`.")
    ttl: int = Field(description="Seconds that it is valid.")
    origin: str = Field(description="The page that it is for.")


class SignIn(BaseModel):
    """A user's name and password."""

    model_config = like({"username": "ann", "password": "correct horse"}, extra="forbid")
    username: str = Field(min_length=1, max_length=64, description="One of `auth.users`.")
    password: str = Field(min_length=1, max_length=LONGEST, description="In clear.")


class UserToken(BaseModel):
    """A token for a user."""

    model_config = like({"access_token": _EXAMPLE, "token_type": "bearer", "expires_in": 3600})
    access_token: str = Field(description="In the query as `token`, or as `Authorization: Bearer`.")
    token_type: Literal["bearer"] = Field(description="How it is sent.")
    expires_in: int = Field(description="Seconds that it is valid.")


class AuthRoutes:
    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._comparing = anyio.CapacityLimiter(AT_ONCE)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["auth"])
        add = router.add_api_route
        add(
            "/api/auth/token",
            self.visitor,
            methods=["POST"],
            response_model=VisitorToken,
            responses=problems(403, 404, 429),
        )
        add(
            "/auth/token",
            self.user,
            methods=["POST"],
            response_model=UserToken,
            responses=problems(401, 404, 422, 429),
        )
        add("/auth/revoke", self.revoke, methods=["POST"], status_code=204, responses=problems(401, 404, 429))
        return router

    async def visitor(self, request: Request) -> Response:
        """A token for the page that asks, by its `Origin`. With a token of that page that is still valid in
        the request, the new one is for the same visitor, whose sessions it keeps."""
        self._check_on()
        given = request.headers.getlist("origin")
        if len(given) != 1 or not self._auth.origins.allow(given[0]):
            raise ApiError("FORBIDDEN", "This page may not have a token: it is not an allowed origin.")
        origin = given[0]
        token = self._auth.visitor(origin, self._before(request, origin))
        body = {"token": token, "ttl": self._auth.ttl, "origin": origin}
        return JSONResponse(body, headers=NO_STORE)

    async def user(self, request: Request, sign_in: SignIn) -> Response:
        """A token for a user with a password."""
        self._check_on()
        users, throttle = self._auth.users, self._auth.throttle
        assert users is not None
        name, address = sign_in.username, customer(request.client.host if request.client else "")
        if wait := await throttle.begin(name, address):
            problem = {"code": "RATE_LIMITED", "message": "Too many wrong passwords; try again later."}
            return JSONResponse(problem, 429, headers={"Retry-After": str(math.ceil(wait))})
        right = await anyio.to_thread.run_sync(users.check, name, sign_in.password, limiter=self._comparing)
        if not right:
            raise ApiError("UNAUTHORIZED", "The name or the password is wrong.")
        await throttle.succeeded(name, address)
        body = {
            "access_token": self._auth.user(name),
            "token_type": "bearer",
            "expires_in": self._auth.ttl,
        }
        return JSONResponse(body, headers=NO_STORE)

    async def revoke(self, request: Request) -> Response:
        """End the token of this request, and whatever is open with it."""
        self._check_on()
        claims = caller(request).claims
        assert claims is not None  # nobody else is let in
        await self._auth.revoke(claims)
        return Response(status_code=204)

    def _check_on(self) -> None:
        if self._auth.tokens is None:
            raise ApiError("AUTH_OFF", "This server needs no token.")

    def _before(self, request: Request, origin: str) -> Claims | None:
        found = tokens_of(request)
        try:
            claims = self._auth.read(found[0]) if len(found) == 1 else None
        except BadToken:
            return None
        bound = claims.origin if claims is not None else None
        return claims if bound is not None and parse(bound) == parse(origin) else None
