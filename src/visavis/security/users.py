"""People with a password: hashed with argon2, compared in the same time whether they exist or not."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 1024
"""Characters of a name or a password."""
TRIES = 5
"""Wrong passwords that are allowed at once, for a name and from an address."""
TRY_SECONDS = 60.0
"""Time after which another one is."""


def hashed(password: str) -> str:
    """What stands for a password in the settings; blocking, tens of milliseconds."""
    return PasswordHasher().hash(password)


def check_hash(text: str) -> str:
    """`text` when it is an argon2 hash, otherwise ValueError, without repeating it."""
    try:
        extract_parameters(text)
    except InvalidHashError:
        raise ValueError("must be the argon2 hash of a password, as `visavis password` makes it") from None
    return text


class Users:
    """Names and the hashes of their passwords."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)
        parameters = [extract_parameters(text) for text in self._hashes.values()]
        # Somebody who does not exist takes as long as the first one who does; if nobody does, no time at all.
        hasher = PasswordHasher.from_parameters(parameters[0]) if parameters else PasswordHasher(1, 8, 1)
        self._nobody = hasher.hash(secrets.token_urlsafe(16))
        self._hasher = hasher

    def check(self, name: str, password: str) -> bool:
        """Whether this is the password of `name`; blocking, tens of milliseconds."""
        known = self._hashes.get(name)
        try:
            self._hasher.verify(known or self._nobody, password)
        except VerificationError:
            return False
        return known is not None


class Failures(Protocol):
    """A rate for each key, as `Rates`: `take` answers 0, or the seconds to wait."""

    async def take(self, key: str) -> float: ...
    async def give_back(self, key: str) -> None: ...


class Throttle:
    """Wrong passwords, counted for each name and each address."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures

    async def begin(self, name: str, address: str) -> float:
        """0 when somebody may try, otherwise seconds until they may. A try counts unless it `succeeded`."""
        by_name, by_address = _keys(name, address)
        if wait := await self._failures.take(by_address):
            return wait
        if wait := await self._failures.take(by_name):
            await self._failures.give_back(by_address)
            return wait
        return 0.0

    async def succeeded(self, name: str, address: str) -> None:
        for key in _keys(name, address):
            await self._failures.give_back(key)


def _keys(name: str, address: str) -> tuple[str, str]:
    return f"name {name}", f"address {address}"
