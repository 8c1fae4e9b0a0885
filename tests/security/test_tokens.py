"""Tokens that are ours, and all the ways in which one is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from visavis.security.tokens import ADMIN, LONGEST, READ, SET_BACK, TALK, BadToken, Tokens

NOW = 1_800_000_000.0
KEY, OTHER = "k" * 32, "o" * 32
CLAIMS = {"iss": "us", "aud": "here", "sub": "ann", "iat": NOW, "exp": NOW + 60, "jti": "1", "scope": "talk"}


def tokens(*keys: str) -> Tokens:
    return Tokens(keys or (KEY,), "us", "here")


def signed(key: str = KEY, algorithm: str = "HS256", without: str = "", **changed: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changed).items() if name != without}
    return jwt.encode(claims, key, algorithm=algorithm)


def unsigned(algorithm: str) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(CLAIMS)}."


def test_what_is_issued_is_read_until_it_expires() -> None:
    ours = tokens()
    token = ours.issue("ann", (TALK, READ), 60, NOW, "https://a.example")
    claims = ours.read(token, NOW + 59.9)
    assert (claims.subject, claims.origin) == ("ann", "https://a.example")
    assert claims.scopes == {TALK, READ}
    assert claims.expires == NOW + 60
    with pytest.raises(BadToken, match="expired"):
        ours.read(token, NOW + 60)


def test_no_two_tokens_are_the_same() -> None:
    ours = tokens()
    ids = {ours.read(ours.issue("ann", (), 60, NOW), NOW).id for _ in range(10)}
    assert len(ids) == 10


def test_a_well_made_token_of_another_issuer_with_our_key_is_read() -> None:
    claims = tokens().read(signed(scope="talk admin nonsense", aud=["there", "here"]), NOW)
    assert claims.scopes == {TALK, ADMIN}


BAD: dict[str, Callable[[], str]] = {
    "another key": lambda: signed(OTHER),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "part of a signature": lambda: signed()[:-4],
    "alg=none": lambda: unsigned("none"),
    "alg=None": lambda: unsigned("None"),
    "alg=HS256 without a signature": lambda: unsigned("HS256"),
    "another algorithm": lambda: signed(KEY * 2, "HS512"),
    "another audience": lambda: signed(aud="there"),
    "another issuer": lambda: signed(iss="them"),
    "from the future": lambda: signed(iat=NOW + 3600),
    "expired": lambda: signed(exp=NOW),
    "never expires": lambda: signed(without="exp"),
    "expires at infinity": lambda: signed(exp=float("inf")),
    "expires as text": lambda: signed(exp="tomorrow"),
    "no id": lambda: signed(without="jti"),
    "empty id": lambda: signed(jti=""),
    "no audience": lambda: signed(without="aud"),
    "no issuer": lambda: signed(without="iss"),
    "nobody": lambda: signed(without="sub"),
    "empty subject": lambda: signed(sub=""),
    "a list of scopes": lambda: signed(scope=["admin"]),
    "an origin that is no text": lambda: signed(origin=["https://a.example"]),
    "not a token": lambda: "hello",
    "empty": lambda: "",
    "dots": lambda: "..",
    "not ASCII": lambda: "ą.ę.ó",
    "too long": lambda: signed(pad="x" * LONGEST),
    "deep": lambda: base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.",
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_ours_is_refused(kind: str) -> None:
    with pytest.raises(BadToken) as error:
        tokens().read(BAD[kind](), NOW)
    assert "ann" not in str(error.value)


def test_keys_are_changed_without_an_end_of_what_was_issued() -> None:
    before, during, after = tokens(OTHER), tokens(KEY, OTHER), tokens(KEY)
    old = before.issue("ann", (TALK,), 60, NOW)
    new = during.issue("ann", (TALK,), 60, NOW)
    assert during.read(old, NOW).subject == during.read(new, NOW).subject == "ann"
    assert after.read(new, NOW).subject == "ann"
    for issuer, token in ((after, old), (before, new)):
        with pytest.raises(BadToken):
            issuer.read(token, NOW)


def test_a_revoked_token_is_refused_and_forgotten_a_while_after_it_would_have_expired() -> None:
    ours = tokens()
    first, second = ours.issue("ann", (), 60, NOW), ours.issue("ann", (), 600, NOW)
    claims = ours.read(first, NOW)
    ours.revoke(claims.id, claims.expires, NOW)
    with pytest.raises(BadToken, match="revoked"):
        ours.read(first, NOW + 1)
    assert ours.read(second, NOW + 1).subject == "ann"
    claims = ours.read(second, NOW)
    ours.revoke(claims.id, claims.expires, NOW + 61)
    assert len(ours.revoked) == 2
    ours.revoke(claims.id, claims.expires, NOW + SET_BACK + 61)
    assert list(ours.revoked) == [claims.id]
