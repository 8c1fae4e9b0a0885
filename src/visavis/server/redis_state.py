"""What several servers know together in Redis: rates, numbers of connections, tokens that were revoked.

While Redis cannot be reached each server goes by what it has counted itself, and catches up afterwards.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from visavis.errors import ConfigurationError, ExtraMissing
from visavis.security.tokens import SET_BACK

try:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError as missing:
    raise ExtraMissing("cluster.redis is set, which needs a Redis client", "redis") from missing

GONE = (RedisError, OSError, ValueError)
"""What stands for a Redis that cannot be reached, or that does not say what it should."""
PREFIX = "visavis:"
REVOKED = f"{PREFIX}revoked"
"""The sorted set of tokens' ids by the time when they expire, and the channel on which new ones are told."""
TIMEOUT = 1.0
"""Seconds that Redis may take for an answer before it counts as gone."""
LOOK_SECONDS = 1.0
"""How often Redis is looked for."""
BEAT_SECONDS = 10.0
"""How often a server says that its connections are still there."""
LEASE_SECONDS = 30
"""After which the connections of a server that says nothing are not counted any more."""
MOST_LINES = 16
"""Connections to Redis."""

_TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local rate, burst, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(known[1]) or burst, tonumber(known[2]) or now
level = math.min(burst, level + math.max(0, now - at) * rate)
local wait = math.max(0, (amount - level) / rate)
if wait == 0 then level = math.min(burst, level - amount) end
redis.call('HSET', KEYS[1], 'level', string.format('%.9f', level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) / rate * 1000) + 1000)
return string.format('%.6f', wait)
"""
"""A token bucket: takes an amount, or gives it back when it is below 0; the seconds until it may be taken."""

_COUNT = """
local now = tonumber(redis.call('TIME')[1])
local us, ours, most, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local all, others = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  if all[i] ~= us then
    local count, at = string.match(all[i + 1], '^(%d+)@(%d+)$')
    if now - tonumber(at) > lease then redis.call('HDEL', KEYS[1], all[i]) else others = others + count end
  end
end
if most > 0 and others + ours > most then return 0 end
if ours == 0 then redis.call('HDEL', KEYS[1], us) else
  redis.call('HSET', KEYS[1], us, ours .. '@' .. now)
  redis.call('EXPIRE', KEYS[1], lease * 2)
end
return 1
"""
"""Says how many one server has of a key, unless all together have more than the most; 0 is any number."""


class Counted(Protocol):
    """How many there are here of each key."""

    name: str

    def held(self) -> Iterable[str]: ...
    def of(self, key: str) -> int: ...


class Revocations(Protocol):
    """Ids of tokens, and when they would have expired."""

    def revoked(self) -> Mapping[str, float]: ...
    async def learn(self, id: str, expires: float) -> None: ...


class RedisState:
    """One server's share in it."""

    def __init__(self, url: str, revocations: Revocations) -> None:
        self._redis: Redis = connected(url, decode=True)
        self._take_script = self._redis.register_script(_TAKE)
        self._count_script = self._redis.register_script(_COUNT)
        self._revocations, self._counts = revocations, list[Counted]()
        self._left: set[tuple[Counted, str]] = set()
        self._somebody_left = asyncio.Event()
        self._name = secrets.token_hex(8)
        self.reachable = False
        self.losses = 0
        """How often Redis went away."""

    async def keep(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Stay in touch until cancelled. Raises `ConfigurationError` when Redis is not there at first."""
        try:
            await self._first_meeting()
            task_status.started()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell_left)
                while True:
                    try:
                        await self._listen()
                    except GONE as error:
                        self._lost(error)
                    await anyio.sleep(LOOK_SECONDS)
        finally:
            with anyio.move_on_after(TIMEOUT, shield=True):
                await self._leave()

    async def _first_meeting(self) -> None:
        try:
            await self._meet()
        except GONE as error:
            raise _nobody(error) from None

    async def _listen(self) -> None:
        """Hear what others revoke, and say what there is here. Raises when Redis is gone."""
        async with self._redis.pubsub() as channel:
            await channel.subscribe(REVOKED)
            await self._meet()
            beat = _now() + BEAT_SECONDS
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=LOOK_SECONDS)
                if message is not None:
                    expires, _, id = message["data"].partition(" ")
                    await self._revocations.learn(id, float(expires))
                if not self.reachable:
                    await self._meet()
                elif _now() >= beat:
                    beat = _now() + BEAT_SECONDS
                    await self._tell_counts()

    async def _meet(self) -> None:
        """Exchange everything with Redis, after which it counts as reachable."""
        now = float((await self._redis.time())[0])
        found: Any = await self._redis.zrangebyscore(REVOKED, now - SET_BACK, "+inf", withscores=True)
        known = {str(id): float(expires) for id, expires in found}
        ours = dict(self._revocations.revoked())
        for id, expires in ours.items():
            if expires > now - SET_BACK and id not in known:
                await self._tell_revoked(id, expires)
        for id, expires in known.items():
            if id not in ours:
                await self._revocations.learn(id, expires)
        await self._tell_counts()
        if not self.reachable and self.losses:
            structlog.get_logger(__name__).info("Redis is back: limits are counted together again")
        self.reachable = True

    def _lost(self, error: Exception) -> None:
        if self.reachable:
            self.reachable = False
            self.losses += 1
            structlog.get_logger(__name__).warning(
                "Redis cannot be reached: this server counts alone, and hears of no tokens revoked elsewhere",
                problem=_told(error),
            )

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        """The answer of Redis, or None when it has none."""
        try:
            return await answer
        except GONE as error:
            self._lost(error)
            return None

    async def _leave(self) -> None:
        """Take along what is counted here."""
        for counts in self._counts if self.reachable else ():
            for key in counts.held():
                await self._asked(self._count(f"{counts.name}:{key}", 0, 0))
        await self._asked(self._redis.aclose())

    # -- rates ---------------------------------------------------------------------------------------------
    async def take(self, key: str, rate: float, burst: float, amount: float) -> float | None:
        """Seconds until `amount` may be taken; 0 when it was, None when Redis does not know."""
        if not self.reachable:
            return None
        wait = await self._asked(self._take_script(keys=[PREFIX + key], args=[rate, burst, amount]))
        return None if wait is None else float(wait)

    # -- numbers -------------------------------------------------------------------------------------------
    def watch(self, counts: Counted) -> None:
        """Tell others of these from now on."""
        self._counts.append(counts)

    async def enter(self, key: str, ours: int, most: int) -> bool | None:
        """Whether this server may have as many as `ours`; None when Redis does not know."""
        if not self.reachable:
            return None
        answer = await self._asked(self._count(key, ours, most))
        return None if answer is None else bool(answer)

    def _count(self, key: str, ours: int, most: int) -> Awaitable[Any]:
        return self._count_script(keys=[PREFIX + key], args=[self._name, ours, most, LEASE_SECONDS])

    def left(self, counts: Counted, key: str) -> None:
        """There are fewer of a key than other servers know."""
        if self.reachable:  # otherwise everything is told when it is again
            self._left.add((counts, key))
            self._somebody_left.set()

    async def _tell_left(self) -> None:
        while True:
            await self._somebody_left.wait()
            self._somebody_left.clear()
            left, self._left = self._left, set()
            for counts, key in left:
                await self._asked(self._count(f"{counts.name}:{key}", counts.of(key), 0))

    async def _tell_counts(self) -> None:
        """Say again what there is here."""
        for counts in self._counts:
            for key in counts.held():
                await self._count(f"{counts.name}:{key}", counts.of(key), 0)

    # -- tokens --------------------------------------------------------------------------------------------
    async def revoke(self, id: str, expires: float) -> None:
        """Tell all servers; when Redis is not there, they hear of it when it is back."""
        if self.reachable:
            await self._asked(self._tell_revoked(id, expires))

    async def _tell_revoked(self, id: str, expires: float) -> None:
        now = float((await self._redis.time())[0])
        async with self._redis.pipeline() as together:
            together.zremrangebyscore(REVOKED, "-inf", now - SET_BACK)
            together.zadd(REVOKED, {id: expires})
            together.publish(REVOKED, f"{expires!r} {id}")
            await together.execute()


def connected(url: str, *, decode: bool, timeout: float | None = None) -> Redis:
    """A client; nothing takes it longer than `timeout`, or `TIMEOUT`. `decode`: answers are text."""
    timeout = timeout or TIMEOUT
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_LINES,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        decode_responses=decode,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


async def check(url: str) -> None:
    """Raises `ConfigurationError` when no Redis answers there."""
    redis = connected(url, decode=True)
    try:
        await redis.time()
    except GONE as error:
        raise _nobody(error) from None
    finally:
        await redis.aclose()


def _nobody(error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"cluster.redis: there is no Redis that answers at that address ({_told(error)}); "
        "start it, or leave VISAVIS_REDIS_URL empty to have a server on its own"
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _told(error: Exception) -> str:
    """What went wrong, without the address, in which there may be a password."""
    return type(error).__name__
