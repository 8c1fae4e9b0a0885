"""Who is let in: the tokens, users, origins and limits of one server, made from its settings."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from visavis.errors import ConfigurationError
from visavis.security.origins import Origins
from visavis.security.tokens import ADMIN, READ, TALK, Claims, Tokens
from visavis.security.users import TRIES, TRY_SECONDS, Throttle, Users
from visavis.server.hop import Hops, keys_of
from visavis.server.shared_limits import SharedCounts, SharedRates
from visavis.settings import Settings

if TYPE_CHECKING:
    from visavis.server.redis_state import RedisState  # an extra

LOOPBACK = ("localhost", "127.0.0.1", "::1")
Cut = Callable[[str], Awaitable[None]]
"""Ends a connection, for a reason."""


class Auth:
    """What it goes by. `tokens` and `users` are None when the server is open to everybody."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigurationError`."""
        auth, limits = settings.auth, settings.limits
        self.limited, self.limits = settings.limited, limits
        self.redis = redis = _redis(settings.redis, self)
        self.hops = Hops(keys_of(settings), secrets.token_hex(8)) if settings.redis else None
        """Calls of other servers that belong to this one."""
        per_minute = limits.requests_per_minute if self.limited else 0
        self.requests = SharedRates("requests", per_minute / 60, per_minute, redis) if per_minute else None
        per_address = limits.connections_per_address if self.limited else 0
        self.by_address = SharedCounts("connections-of-address", per_address, redis)
        per_token = limits.connections_per_token if self.limited else 0
        self.by_token = SharedCounts("connections-of-token", per_token, redis)
        self.origins = Origins((*settings.server.cors_origins, *_own_pages(settings)))
        self.ttl, self._admins = auth.token_ttl, frozenset(auth.admins)
        self.tokens = Tokens(_keys(settings), auth.issuer, auth.audience) if auth.enabled else None
        hashes = {name: given.get_secret_value() for name, given in auth.users.items()}
        self.users = Users(hashes) if auth.enabled else None
        self.throttle = Throttle(SharedRates("wrong-passwords", 1 / TRY_SECONDS, TRIES, redis))
        self._open: dict[str, set[Cut]] = {}

    def visitor(self, origin: str, before: Claims | None) -> str:
        """A token for somebody at a page; the same person as `before`, whose sessions they keep."""
        subject = f"visitor-{secrets.token_hex(12)}" if before is None else before.subject
        return self._tokens.issue(subject, (TALK, READ), self.ttl, time.time(), origin)

    def user(self, name: str) -> str:
        """A token for a user who has given the password."""
        scopes = (TALK, READ, ADMIN) if name in self._admins else (TALK, READ)
        return self._tokens.issue(f"user-{name}", scopes, self.ttl, time.time())

    def read(self, token: str) -> Claims:
        """Raises `BadToken`."""
        return self._tokens.read(token, time.time())

    async def revoke(self, claims: Claims) -> None:
        """Refuse a token from now on, and end what is open with it."""
        await self.learn(claims.id, claims.expires)
        if self.redis is not None:
            await self.redis.revoke(claims.id, claims.expires)

    def revoked(self) -> Mapping[str, float]:
        """Ids of tokens that are refused, and when they expire."""
        return {} if self.tokens is None else self.tokens.revoked

    async def learn(self, id: str, expires: float) -> None:
        """Somebody has revoked a token, here or elsewhere."""
        if self.tokens is not None:
            self.tokens.revoke(id, expires, time.time())
        for cut in tuple(self._open.get(id, ())):
            await cut("the token was revoked")

    @contextmanager
    def opened(self, claims: Claims | None, cut: Cut) -> Iterator[None]:
        """While something is open that ends with its token."""
        if claims is None:
            yield
            return
        same = self._open.setdefault(claims.id, set())
        same.add(cut)
        try:
            yield
        finally:
            same.discard(cut)
            if not same:
                self._open.pop(claims.id, None)

    @property
    def _tokens(self) -> Tokens:
        assert self.tokens is not None
        return self.tokens


def _redis(url: str, auth: Auth) -> RedisState | None:
    if not url:
        return None
    from visavis.server.redis_state import RedisState  # an extra that is needed only now

    return RedisState(url, auth)


def _keys(settings: Settings) -> list[str]:
    auth = settings.auth
    if "*" in settings.server.cors_origins:
        raise ConfigurationError(
            "auth.enabled and server.cors_origins: * cannot be had together: every page would get a token. "
            "Name the pages, such as AUTH_ALLOWED_ORIGINS=https://example.org"
        )
    given = [key.get_secret_value() for key in (auth.secret_key, auth.previous_key)]
    if given[0]:
        return [key for key in given if key]
    if settings.environment == "production":
        raise ConfigurationError(
            "auth.secret_key is not set, and in production the server does not start without it. "
            "Make one with `openssl rand -hex 32` and set AUTH_SECRET_KEY"
        )
    structlog.get_logger().warning("no auth.secret_key: tokens are valid until the server stops")
    return [secrets.token_hex(32), *(key for key in given if key)]


def _own_pages(settings: Settings) -> Iterator[str]:
    """The origins of this server's own pages, where they can only be a browser's on this machine."""
    server = settings.server
    if server.host not in LOOPBACK:
        return
    scheme = "http" if server.ssl_certfile is None else "https"
    for host in LOOPBACK:
        yield f"{scheme}://[{host}]:{server.port}" if ":" in host else f"{scheme}://{host}:{server.port}"
