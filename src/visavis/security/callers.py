"""Who a request or a connection is from, once it was let in."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from visavis.security.tokens import ADMIN, Claims

KEY = "visavis.caller"
"""Where it stands in the ASGI scope."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`subject` owns the sessions that this caller begins; "" when the server is open to everybody."""

    subject: str = ""
    claims: Claims | None = None

    @property
    def admin(self) -> bool:
        return self.claims is not None and ADMIN in self.claims.scopes

    def may_see(self, owner: str) -> bool:
        """Whether a session of `owner` is there for this caller."""
        return self.admin or self.subject == owner


ANYONE = Caller()


def caller(connection: HTTPConnection) -> Caller:
    """Who calls."""
    found: Caller = connection.scope.get(KEY, ANYONE)
    return found
