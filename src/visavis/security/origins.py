"""Web pages by origin: compared whole and parsed, never by prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

ANY = "*"
LONGEST = 300
"""Characters of an origin."""
PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_V6 = re.compile(r"[0-9a-f:.]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; the port is always given."""

    scheme: str
    host: str
    port: int


def parse(text: str) -> Origin | None:
    """The origin that `text` is, all of it; None for anything else, such as `null` or one with a path."""
    if len(text) > LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        return None
    scheme, separator, authority = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS or not authority or set(authority) & set("/\\?#@%"):
        return None
    try:
        parts = urlsplit(f"{scheme}://{authority}")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if authority.endswith(":") or not (_V6 if "[" in authority else _NAME).fullmatch(host):
        return None
    return Origin(scheme, host, PORTS[scheme] if port is None else port)


def check_pattern(text: str) -> str:
    """`text` when it can stand in a list of origins, otherwise ValueError."""
    if text != ANY and parse(text.replace("://*.", "://", 1)) is None:
        raise ValueError("must be an origin, such as https://example.org or https://*.example.org, or *")
    return text


class Origins:
    """A list of them. `https://*.example.org` is every subdomain at any depth, not example.org itself."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self.everyone = ANY in patterns
        exact = (parse(pattern) for pattern in patterns)
        self._exact = {origin for origin in exact if origin is not None}
        wild = (parse(text.replace("://*.", "://", 1)) for text in patterns if "://*." in text)
        self._wild = [origin for origin in wild if origin is not None]

    def allow(self, header: str | None) -> bool:
        """Whether a page whose `Origin` header is this may call; one that is missing or opaque may not."""
        origin = parse(header) if header is not None else None
        if origin is None:
            return False
        return self.everyone or origin in self._exact or any(_below(origin, base) for base in self._wild)


def _below(origin: Origin, base: Origin) -> bool:
    same = (origin.scheme, origin.port) == (base.scheme, base.port)
    return same and origin.host.endswith(f".{base.host}")
