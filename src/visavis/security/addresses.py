"""Whose request it is when it came through proxies: only what a trusted one says is believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MOST_HOPS = 32
"""Entries of a forwarding header that are looked at."""
SUBNET = 64
"""Bits of an IPv6 address that belong to one customer."""

Address = IPv4Address | IPv6Address


class Proxies:
    """Those that are trusted, as addresses or networks (`10.0.0.0/8`)."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = [ip_network(network, strict=False) for network in trusted]

    def trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address of the client: `peer` is who is connected, `forwarded` every `X-Forwarded-For` header.

        Each proxy adds who it was called by, so the list is read from its end, as long as those who wrote it
        are trusted. What is left of that was written by the client, and says nothing.
        """
        address = parse(peer)
        entries = [entry.strip() for header in forwarded for entry in header.split(",")]
        for entry in reversed(entries[-MOST_HOPS:]):
            if not self.trusts(address):
                break
            said = parse(entry)
            if said is None:
                break
            address = said
        return peer if address is None else str(address)

    def https(self, peer: str, forwarded: Sequence[str]) -> bool:
        """Whether a trusted proxy says, with `X-Forwarded-Proto`, that it was called over TLS."""
        said = [entry.strip().lower() for header in forwarded for entry in header.split(",")]
        return self.trusts(parse(peer)) and bool(said) and said[-1] in ("https", "wss")


def check_network(text: str) -> str:
    """`text` when it is an address or a network, otherwise ValueError."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be an address or a network, such as 10.0.0.5 or 10.0.0.0/8") from None
    return text


def parse(text: str) -> Address | None:
    """An address, also with a port behind it or in brackets; IPv4 inside IPv6 is IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def customer(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the network of an IPv6 address."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, SUBNET), strict=False))
    return address if parsed is None else str(parsed)
