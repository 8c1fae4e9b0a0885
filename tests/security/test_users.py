"""Passwords: right, wrong, and of nobody."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher
from tests.vtime import run

from visavis.security.users import TRIES, TRY_SECONDS, Throttle, Users, check_hash, hashed
from visavis.server.shared_limits import SharedRates

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_the_right_password_of_somebody_known() -> None:
    users = Users({"ann": CHEAP.hash("right"), "bob": CHEAP.hash("other")})
    assert users.check("ann", "right")
    assert not users.check("ann", "other")
    assert not users.check("ann", "")
    assert not users.check("Ann", "right")
    assert not users.check("eve", "right")


def test_nobody_is_let_in_where_there_are_no_users() -> None:
    assert not Users({}).check("ann", "")


def test_somebody_unknown_costs_as_much_as_somebody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    verify = PasswordHasher.verify

    def noting(self: PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        compared.append(str(hash).rpartition("$")[0].rpartition("$")[0])
        return verify(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", noting)
    users = Users({"ann": CHEAP.hash("right")})
    for name in ("ann", "eve"):
        users.check(name, "wrong")
    assert compared[0] == compared[1], "the same work"


def test_a_hash_is_checked_without_being_repeated() -> None:
    assert check_hash(CHEAP.hash("x"))
    with pytest.raises(ValueError, match="argon2") as error:
        check_hash("my-password")
    assert "my-password" not in str(error.value)


def test_the_hash_that_is_made_is_argon2id() -> None:
    made = hashed("right")
    assert made.startswith("$argon2id$")
    assert Users({"ann": made}).check("ann", "right")


def throttle() -> Throttle:
    return Throttle(SharedRates("wrong-passwords", 1 / TRY_SECONDS, TRIES, None))


def test_wrong_passwords_for_a_name_are_counted_from_everywhere() -> None:
    async def main() -> None:
        ours = throttle()
        assert [await ours.begin("ann", f"10.0.0.{number}") for number in range(TRIES)] == [0] * TRIES
        assert await ours.begin("ann", "10.0.0.99") == TRY_SECONDS
        assert await ours.begin("bob", "10.0.0.99") == 0
        await asyncio.sleep(TRY_SECONDS)
        assert await ours.begin("ann", "10.0.0.99") == 0

    run(main())


def test_wrong_passwords_from_an_address_are_counted_for_all_names() -> None:
    async def main() -> None:
        ours = throttle()
        for number in range(TRIES):
            assert await ours.begin(f"user{number}", "10.0.0.1") == 0
        assert await ours.begin("ann", "10.0.0.1") > 0
        assert await ours.begin("ann", "10.0.0.2") == 0

    run(main())


def test_a_name_that_may_not_be_tried_costs_an_address_nothing() -> None:
    async def main() -> None:
        ours = throttle()
        for number in range(TRIES):
            await ours.begin("ann", f"10.0.0.{number}")
        for _ in range(3 * TRIES):
            assert await ours.begin("ann", "10.0.0.9") > 0
        assert await ours.begin("bob", "10.0.0.9") == 0

    run(main())


def test_the_right_password_does_not_count() -> None:
    async def main() -> None:
        ours = throttle()
        for _ in range(3 * TRIES):
            assert await ours.begin("ann", "10.0.0.1") == 0
            await ours.succeeded("ann", "10.0.0.1")

    run(main())
