"""Whose address it is, whatever a client writes into its headers."""

from __future__ import annotations

import pytest

from visavis.security.addresses import Proxies, check_network, customer

PROXIES = Proxies(["127.0.0.1", "::1", "10.0.0.0/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["127.0.0.1"], "203.0.113.9"),  # not a proxy: it says nothing
        ("203.0.113.9", ["198.51.100.1, 10.0.0.1"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the client wrote 1.1.1.1
        ("127.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),  # as a header of its own
        ("127.0.0.1", ["10.1.1.1, 203.0.113.9"], "203.0.113.9"),  # it claims to be a proxy
        ("127.0.0.1", ["203.0.113.9, 10.0.0.7"], "203.0.113.9"),  # through two proxies
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9, 10.0.0.7, 10.0.0.8"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9, unknown, 10.0.0.7"], "10.0.0.7"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9,"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("127.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("127.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [", ".join(["10.0.0.1"] * 1000)], "10.0.0.1"),
        ("127.0.0.1", ["127.0.0.1\x00, evil"], "127.0.0.1"),
        ("testclient", ["203.0.113.9"], "testclient"),
    ],
)
def test_only_what_trusted_proxies_say_is_believed(peer: str, forwarded: list[str], client: str) -> None:
    assert PROXIES.client(peer, forwarded) == client


def test_nobody_is_trusted_without_a_list() -> None:
    assert Proxies([]).client("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"
    assert not Proxies([]).https("127.0.0.1", ["https"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "https"),
    [
        ("127.0.0.1", ["https"], True),
        ("127.0.0.1", ["WSS"], True),
        ("127.0.0.1", ["http"], False),
        ("127.0.0.1", ["https, http"], False),
        ("127.0.0.1", ["https", "http"], False),
        ("127.0.0.1", [], False),
        ("203.0.113.9", ["https"], False),
    ],
)
def test_tls_ends_at_a_trusted_proxy(peer: str, forwarded: list[str], https: bool) -> None:
    assert PROXIES.https(peer, forwarded) is https


def test_an_ipv6_customer_has_a_whole_network() -> None:
    assert customer("2001:db8::1") == customer("2001:db8::ffff:1") != customer("2001:db8:0:1::1")
    assert customer("203.0.113.9") == customer("::ffff:203.0.113.9") != customer("203.0.113.8")
    assert customer("testclient") == "testclient"


def test_a_proxy_is_an_address_or_a_network() -> None:
    assert check_network("10.0.0.1/8") == "10.0.0.1/8"
    with pytest.raises(ValueError, match="must be an address or a network"):
        check_network("nginx")
