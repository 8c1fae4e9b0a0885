"""Which pages are the ones that are meant, and which only look like them."""

from __future__ import annotations

import pytest

from visavis.security.origins import Origins, check_pattern, parse

ALLOWED = Origins(
    ["https://example.org", "http://localhost:8080", "https://*.shop.example", "https://[2001:db8::1]"]
)


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "https://example.org:443",
        "HTTPS://EXAMPLE.ORG",
        "http://localhost:8080",
        "https://a.shop.example",
        "https://b.a.shop.example",
        "https://[2001:db8::1]",
    ],
)
def test_an_allowed_page(origin: str) -> None:
    assert ALLOWED.allow(origin)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "*",
        "https://example.org.evil.example",
        "https://evilexample.org",
        "https://evil.example/https://example.org",
        "https://example.org@evil.example",
        "https://example.org%2eevil.example",
        "https://example.org:443@evil.example",
        "https://example.org#.evil.example",
        "https://example.org\\.evil.example",
        "https://example.org/",
        "https://example.org?",
        "https://example.org:444",
        "https://example.org:",
        "https://example.org:4 43",
        "https://example.org.",
        "https://sub.example.org",
        "http://example.org",
        "ftp://example.org",
        "//example.org",
        "example.org",
        "https://example.org https://evil.example",
        "https://example.org,https://evil.example",
        "https://example.org\r\nX: y",
        "https://exаmple.org",  # a Cyrillic letter
        "http://localhost.evil.example:8080",
        "http://localhost:80800",
        "http://localhost",
        "https://shop.example",
        "https://evilshop.example",
        "https://a.shop.example.evil.example",
        "https://a.shop.example:8443",
        "http://a.shop.example",
        "https://.shop.example",
        "https://*.shop.example",
        "https://[2001:db8::2]",
        "https://[::1",
        "https://" + "a." * 200 + "shop.example",
    ],
)
def test_a_page_that_is_not(origin: str | None) -> None:
    assert not ALLOWED.allow(origin)


def test_everyone_is_every_page_that_has_an_origin() -> None:
    everyone = Origins(["*"])
    assert everyone.allow("https://any.example")
    assert not everyone.allow("null")
    assert not everyone.allow(None)


def test_a_default_port_is_the_same_as_none() -> None:
    assert parse("http://a.example:80") == parse("http://a.example")
    assert parse("http://a.example:443") != parse("https://a.example:443")


@pytest.mark.parametrize(
    "pattern", ["example.org", "https://", "https://*", "https://a.*.b", "https://*.", "**", ""]
)
def test_a_pattern_that_makes_no_sense(pattern: str) -> None:
    with pytest.raises(ValueError, match="must be an origin"):
        check_pattern(pattern)
