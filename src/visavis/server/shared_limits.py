"""Limits that hold for all servers together when they share Redis, and for this one alone otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from visavis.security.limits import Counts, Rates

if TYPE_CHECKING:
    from visavis.server.redis_state import RedisState  # an extra


class SharedRates:
    """A rate for each key: an address, a user."""

    def __init__(self, name: str, rate: float, burst: float, redis: RedisState | None) -> None:
        self._name, self._rate, self._burst, self._redis = name, rate, burst, redis
        self._mine = Rates(rate, burst)
        """Counted in any case, so that nobody begins anew when Redis goes away."""

    async def take(self, key: str) -> float:
        """0 when one more is allowed now, otherwise the seconds until it is."""
        mine = self._mine.take(key, asyncio.get_running_loop().time())
        together = await self._ask(key, 1)
        return mine if together is None else together

    async def give_back(self, key: str) -> None:
        """What was taken last does not count after all."""
        self._mine.give_back(key)
        await self._ask(key, -1)

    async def _ask(self, key: str, amount: int) -> float | None:
        if self._redis is None:
            return None
        return await self._redis.take(f"{self._name}:{key}", self._rate, self._burst, amount)


class SharedCounts:
    """How many there are at a time of each key, at most `most`; 0 is any number."""

    def __init__(self, name: str, most: int, redis: RedisState | None) -> None:
        self.name, self._most, self._redis = name, most, redis if most else None
        self._mine = Counts(most)
        if self._redis is not None:
            self._redis.watch(self)

    def held(self) -> Iterable[str]:
        """Keys of which there are any here."""
        return self._mine.held()

    def of(self, key: str) -> int:
        """How many there are here."""
        return self._mine.of(key)

    async def enter(self, key: str) -> bool:
        """Count one more, unless there are enough."""
        if not self._mine.enter(key):
            return False
        if self._redis is None:
            return True
        allowed: bool | None = False
        try:
            allowed = await self._redis.enter(f"{self.name}:{key}", self._mine.of(key), self._most)
        finally:
            if allowed is False:
                self.leave(key)
        return allowed is not False

    def leave(self, key: str) -> None:
        self._mine.leave(key)
        if self._redis is not None:
            self._redis.left(self, key)
