"""Signed tokens (JWT, HS256): who their holder is, what they may do, until when, and from which web page."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jwt

ALGORITHM = "HS256"
LONGEST = 4096
"""Characters of a token."""
SHORTEST_KEY = 32
"""Bytes of a key, as many as the hash has."""
SKEW = 30
"""Seconds that the clock of another issuer may be ahead."""
SET_BACK = 7200
"""Seconds for which a revoked token is remembered after its end: clocks are set, forth and back again."""

LATEST = 1e12
"""Seconds since 1970 that no time is after."""

TALK, READ, ADMIN = "talk", "read", "admin"
"""What a token may be for: to begin and have conversations, to read one's own, everything."""
SCOPES = frozenset({TALK, READ, ADMIN})
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]


class BadToken(Exception):
    """It is not valid; `str(error)` says why, and nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says. Times are seconds since 1970; `origin` is the page it is bound to."""

    subject: str
    scopes: frozenset[str]
    id: str
    issued: float
    expires: float
    origin: str | None = None


class Tokens:
    """Issues, reads and revokes them. The first key signs; all are accepted, so that keys can be changed."""

    def __init__(self, keys: Iterable[str], issuer: str, audience: str) -> None:
        self._keys = tuple(keys)
        self._issuer, self._audience = issuer, audience
        self._revoked: dict[str, float] = {}

    def issue(
        self, subject: str, scopes: Iterable[str], ttl: float, now: float, origin: str | None = None
    ) -> str:
        """A token for `ttl` seconds from `now`, seconds since 1970."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "scope": " ".join(sorted(scopes)),
            "iat": int(now),
            "exp": int(now + ttl),
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode(
            claims | ({} if origin is None else {"origin": origin}), self._keys[0], algorithm=ALGORITHM
        )

    def read(self, token: str, now: float) -> Claims:
        """What a token says that is valid at `now`. Raises `BadToken`."""
        if len(token) > LONGEST:
            raise BadToken("the token is too long")
        claims = _claims(self._verified(token))
        if now >= claims.expires:
            raise BadToken("the token has expired")
        if claims.issued > now + SKEW:
            raise BadToken("the token is from the future")
        if claims.id in self._revoked:
            raise BadToken("the token was revoked")
        return claims

    def revoke(self, id: str, expires: float, now: float) -> None:
        """Refuse the token of this id from now on; it is remembered until `SET_BACK` after it would have
        expired."""
        latest = now - SET_BACK
        self._revoked = {known: until for known, until in self._revoked.items() if until > latest}
        self._revoked[id] = expires

    @property
    def revoked(self) -> Mapping[str, float]:
        """Ids that are remembered, and when they expire."""
        return self._revoked

    def _verified(self, token: str) -> dict[str, object]:
        """The claims of a token with a true signature, for us. Times are compared by `read`."""
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=self._audience,
                    issuer=self._issuer,
                    options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidAudienceError:
                raise BadToken("the token is for somebody else") from None
            except (jwt.InvalidTokenError, ValueError, RecursionError):
                raise BadToken("the token is not valid") from None
        raise BadToken("the token is not valid")


def _claims(raw: dict[str, object]) -> Claims:
    subject, id, scope, origin = raw["sub"], raw["jti"], raw.get("scope", ""), raw.get("origin")
    if not (isinstance(subject, str) and subject and isinstance(id, str) and id and isinstance(scope, str)):
        raise BadToken("the token is not valid")
    if not (origin is None or isinstance(origin, str)):
        raise BadToken("the token is not valid")
    scopes = frozenset(scope.split()) & SCOPES
    return Claims(subject, scopes, id, _seconds(raw["iat"]), _seconds(raw["exp"]), origin)


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) < LATEST:
        raise BadToken("the token is not valid")
    return float(value)
