"""Which servers there are, which of them has a conversation, and what it takes to go on with it elsewhere:
all of it in Redis.

What stands there is a copy of what each server knows of its own conversations; a Redis that has forgotten
everything is told again. A server that says nothing for `LEASE_SECONDS` counts as gone, and whoever takes one
of its conversations is the only one who may write to it from then on.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio
import orjson
import structlog
from anyio.abc import TaskStatus
from redis.asyncio import Redis

from visavis.conversations.carried import RECALLED, Begun, Carried, Copy, Standing, unpack
from visavis.events import Word
from visavis.server.redis_state import GONE, PREFIX, TIMEOUT, connected

BEAT_SECONDS = 0.5
"""How often a server says that it is there."""
LEASE_SECONDS = 1.5
"""After which one that says nothing is gone."""
SAVE_SECONDS = 0.25
"""How often is told what is new of a conversation."""
TELL_SECONDS = 5.0
"""How long Redis may take to hear what is new: nobody waits for that, and it may be a lot of sound."""
RENEW_SECONDS = 10.0
"""How often is told of one of which nothing is new."""
TOLD_SECONDS = 3600
"""How long it is known that there was a conversation."""
MOST_ENDED = 10_000
"""Ends of conversations that may wait for Redis."""
SERVERS = f"{PREFIX}servers"
"""The sorted set of servers by the time when they count as gone."""
OWNERS = f"{PREFIX}owners"
"""How many conversations of whom each of them has."""

_BEAT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], string.format('%.3f', now + ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.3f', now))
local there = redis.call('ZRANGE', KEYS[1], 0, -1)
local owners = redis.call('HMGET', KEYS[2], unpack(there))
redis.call('DEL', KEYS[2])
for i, server in ipairs(there) do
  if server == ARGV[1] then owners[i] = ARGV[3] end
  redis.call('HSET', KEYS[2], server, owners[i] or '{}')
end
redis.call('EXPIRE', KEYS[1], 60)
redis.call('EXPIRE', KEYS[2], 60)
return {there, owners}
"""
"""Says that a server is there, and how many conversations of whom; those that are, and how many they have."""

_SAVE = """
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 'taken' end
local keep, whole, words = ARGV[2], ARGV[3] ~= '', ARGV[5]
local dropped, entries = tonumber(ARGV[6]), tonumber(ARGV[7])
if whole then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'begun', ARGV[3])
  redis.call('SET', KEYS[4], ARGV[8])
elseif not holder then return 'forgotten' end
redis.call('HSET', KEYS[1], 'standing', ARGV[4])
if words ~= '' then redis.call('HSET', KEYS[1], 'words', words) end
if dropped < 0 then redis.call('DEL', KEYS[3]) end
if dropped > 0 then redis.call('LTRIM', KEYS[3], dropped, -1) end
for i = 9, 8 + entries do redis.call('RPUSH', KEYS[2], ARGV[i]) end
if entries > 0 then redis.call('LTRIM', KEYS[2], -tonumber(ARGV[#ARGV]), -1) end
for i = 9 + entries, #ARGV - 1 do redis.call('RPUSH', KEYS[3], ARGV[i]) end
for i = 1, 4 do redis.call('EXPIRE', KEYS[i], keep) end
return 'known'
"""
"""Tells what is new of a conversation, or with what it was begun with all of it."""

_TAKE = """
local known = redis.call('HMGET', KEYS[1], 'holder', 'begun', 'standing', 'words')
if not known[2] or (known[1] or '') ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
local turns, sound = redis.call('LRANGE', KEYS[2], 0, -1), redis.call('LRANGE', KEYS[3], 0, -1)
return {known[2], known[3], known[4] or '', turns, sound}
"""
"""Takes a conversation from the server that had it, unless another one was faster."""

_LEAVE = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('HSET', KEYS[1], 'holder', '') end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('SET', KEYS[5], ARGV[3], 'EX', ARGV[2])
return 1
"""
"""A conversation is nobody's any more, or it has ended and was somebody's."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A server: its name, new with every start, and where the others reach it."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} {self.address}"

    @classmethod
    def read(cls, text: str) -> Replica | None:
        name, _, address = text.partition(" ")
        return cls(name, address) if address else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation is: `holder` is None when nobody has it now. Of one that is over only `ended` is
    known, whose it was."""

    holder: Replica | None
    begun: Begun | None = None
    ended: str | None = None


class Unknown(Exception):
    """Redis cannot be asked."""


@dataclass(slots=True)
class _Held:
    """A conversation that is here."""

    copy: Copy
    taken: Callable[[], None]
    whole: bool = True
    """The others know nothing of it."""
    standing: bytes = b""
    told: float = -math.inf


@dataclass(frozen=True, slots=True)
class _Over:
    """One that is not here any more: it has ended, or `last` is where it was."""

    begun: Begun
    last: list[Any] | None = None


class Directory:
    """One server's share in it. `begin`, `release` and `end` never wait; a task tells Redis."""

    def __init__(self, url: str, me: Replica) -> None:
        self.me = me
        self.servers = frozenset({me})
        """Those that are there, as far as is known."""
        self.reachable = True
        self.carried = 0
        """Conversations that came from servers that had died or stopped."""
        self.lost = 0
        """Those that another server has taken, because this one seemed dead."""
        self.own: Callable[[], Mapping[str, int]] = dict
        """How many conversations of whom are here."""
        self._elsewhere: Counter[str] = Counter()
        self._redis: Redis = connected(url, decode=False)
        self._telling: Redis = connected(url, decode=False, timeout=TELL_SECONDS)
        script = self._redis.register_script
        self._beat, self._save, self._take, self._leave = map(script, (_BEAT, _SAVE, _TAKE, _LEAVE))
        self._held: dict[str, _Held] = {}
        self._over: dict[str, _Over] = {}
        self._rounds = self._done = 0
        self._wanted, self._round, self._heard = anyio.Event(), anyio.Event(), anyio.Event()
        self._log = structlog.get_logger(__name__)

    # -- the tasks -----------------------------------------------------------------------------------------
    async def keep(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Stay in touch until cancelled; then what is here is anybody's."""
        try:
            await self._asked(self._say_here)
            task_status.started()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stay)
                tasks.start_soon(self._tell)
        finally:
            with anyio.move_on_after(TIMEOUT, shield=True):
                for id in tuple(self._held):
                    self.release(id)
                await self._asked(self._write)
                await self._asked(lambda: self._redis.zrem(SERVERS, str(self.me)))
                await self._asked(self._redis.aclose)
                await self._asked(self._telling.aclose)

    async def _stay(self) -> None:
        while True:
            await anyio.sleep(BEAT_SECONDS)
            await self._asked(self._say_here)

    async def _say_here(self) -> None:
        args: list[Any] = [str(self.me), LEASE_SECONDS, orjson.dumps(dict(self.own()))]
        there, owners = await self._beat(keys=[SERVERS, OWNERS], args=args)
        replicas = [Replica.read(each.decode()) for each in there]
        self.servers = frozenset(each for each in replicas if each is not None)
        self._elsewhere = Counter()
        for replica, told in zip(replicas, owners, strict=True):
            if replica != self.me:
                self._elsewhere.update(orjson.loads(told))
        heard, self._heard = self._heard, anyio.Event()
        heard.set()

    async def _tell(self) -> None:
        while True:
            with anyio.move_on_after(SAVE_SECONDS):
                await self._wanted.wait()
            self._wanted = anyio.Event()
            self._rounds += 1
            await self._asked(self._write)
            done, self._round, self._done = self._round, anyio.Event(), self._rounds
            done.set()

    async def _asked(self, ask: Callable[[], Awaitable[Any]]) -> None:
        """Ask Redis; when it does not answer, it will be told everything."""
        try:
            await ask()
            self.reachable = True
        except GONE as error:
            if self.reachable:
                problem = type(error).__name__  # without the address, in which there may be a password
                self._log.warning("the directory of conversations cannot be reached", problem=problem)
            self.reachable = False
            self._elsewhere.clear()
            for held in self._held.values():
                held.whole = True

    async def _write(self) -> None:
        """Tell all that is new."""
        now, over = _now(), dict(self._over)
        news = [(held, args) for held in self._held.values() if (args := self._news(held, now)) is not None]
        if not news and not over:
            return
        async with self._telling.pipeline(transaction=False) as together:
            for held, args in news:
                await self._save(_keys(held.copy.begun), args, together)
            for each in over.values():
                keys, begun = _keys(each.begun), each.begun
                if each.last is not None:
                    await self._save(keys, each.last, together)
                keep = [TOLD_SECONDS, begun.owner] if each.last is None else ["", ""]
                await self._leave([*keys, _ended(begun.id)], [str(self.me), *keep], together)
            answers = await together.execute()
        for id, each in over.items():
            if self._over.get(id) is each:
                del self._over[id]
        for (held, _), answer in zip(news, answers, strict=False):
            if answer == b"forgotten":
                held.whole = True
            elif answer == b"taken":
                self._lose(held)

    def _news(self, held: _Held, now: float) -> list[Any] | None:
        """What `_SAVE` is told of a conversation, when there is something; what cannot be told of one ends
        nothing."""
        try:
            return self._new_of(held, now)
        except Exception:
            self._log.exception("a conversation cannot be told to others", session=held.copy.begun.id)
            return None

    def _new_of(self, held: _Held, now: float) -> list[Any] | None:
        copy, whole = held.copy, held.whole
        if whole:
            copy.forget()
        new = copy.changes(now)
        same = new.standing == held.standing and not (new.entries or new.dropped or new.pieces or new.words)
        if same and not whole and now < held.told + RENEW_SECONDS:
            return None
        held.whole, held.standing, held.told = False, new.standing, now
        keep = math.ceil(copy.begun.keep + LEASE_SECONDS + RENEW_SECONDS)
        begun = copy.begun.packed() if whole else b""
        told = [str(self.me), keep, begun, new.standing, new.words or b"", new.dropped, len(new.entries)]
        return [*told, copy.begun.id, *new.entries, *new.pieces, RECALLED]

    def _lose(self, held: _Held) -> None:
        id = held.copy.begun.id
        if self._held.get(id) is held:
            del self._held[id]
            self.lost += 1
            self._log.warning("a conversation goes on at another server", session=id)
            held.taken()

    # -- conversations that are here -----------------------------------------------------------------------
    def begin(self, copy: Copy, taken: Callable[[], None]) -> None:
        """It is here from now on, until another server takes it, which is told with `taken`."""
        self._over.pop(copy.begun.id, None)
        self._held[copy.begun.id] = _Held(copy, taken)
        self._wanted.set()

    def change(self, id: str, **facts: Any) -> None:
        """What it was begun with is something else now, or more."""
        if (held := self._held.get(id)) is not None:
            held.copy.begun = replace(held.copy.begun, **facts)
            held.whole = True

    def release(self, id: str) -> None:
        """It is to go on elsewhere, from where it is now."""
        if (held := self._held.pop(id, None)) is not None:
            held.whole = True
            self._finish(id, _Over(held.copy.begun, self._news(held, _now())))

    def end(self, id: str) -> None:
        """It is over."""
        if (held := self._held.pop(id, None)) is not None:
            self._finish(id, _Over(held.copy.begun))

    def drop(self, begun: Begun) -> None:
        """One that was taken, and cannot go on."""
        self._finish(begun.id, _Over(begun))

    def _finish(self, id: str, over: _Over) -> None:
        self._over[id] = over
        while len(self._over) > MOST_ENDED:
            del self._over[next(iter(self._over))]
        self._wanted.set()

    async def settled(self) -> None:
        """Until Redis knows all that there is now, or has not answered in time."""
        wanted = self._rounds + 1
        self._wanted.set()
        with anyio.move_on_after(TIMEOUT):
            while self._done < wanted:
                await self._round.wait()

    # -- all conversations ---------------------------------------------------------------------------------
    def elsewhere(self, owner: str) -> int:
        """How many conversations of this owner the others have, or had half a second ago; none that is known
        while Redis is gone."""
        return self._elsewhere[owner]

    async def with_token(self, hashed: str) -> str | None:
        """The id of the conversation that its holder may go on with. Raises `Unknown`."""
        found = await self._ask(lambda: self._redis.get(_token(hashed)))
        return None if found is None else found.decode()

    async def find(self, id: str) -> Place | None:
        """Where it is. Raises `Unknown`."""

        async def ask() -> Any:
            async with self._redis.pipeline(transaction=False) as together:
                together.hmget(_session(id), "holder", "begun")
                together.get(_ended(id))
                return await together.execute()

        (holder, begun), ended = await self._ask(ask)
        if begun is not None:
            return Place(Replica.read((holder or b"").decode()), Begun.unpacked(begun))
        return None if ended is None else Place(None, ended=ended.decode())

    async def alive(self, replica: Replica) -> bool:
        """Whether it has said so lately. Raises `Unknown`."""
        await self._ask(self._say_here)
        return replica in self.servers

    async def take(self, id: str, holder: Replica | None) -> Carried | None:
        """The conversation that `holder` had, which is ours now; None when another one was faster. Raises
        `Unknown`."""
        keys = [_session(id), _turns(id), _sound(id)]
        args = [str(self.me), "" if holder is None else str(holder)]
        found = await self._ask(lambda: self._take(keys=keys, args=args))
        if found is None:
            return None
        begun, standing, words, entries, sound = found
        self.carried += 1
        return Carried(
            Begun.unpacked(begun),
            Standing.unpacked(standing),
            tuple(map(unpack, entries)),
            tuple(Word(*word) for word in orjson.loads(words or b"[]")),
            b"".join(sound),
        )

    async def gone(self, replica: Replica) -> None:
        """Until it is known to be gone."""
        while replica in self.servers or not self.reachable:
            await self._heard.wait()

    async def _ask(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except GONE as error:
            raise Unknown from error


def _session(id: str) -> str:
    return f"{PREFIX}session:{id}"


def _turns(id: str) -> str:
    return f"{PREFIX}turns:{id}"


def _sound(id: str) -> str:
    return f"{PREFIX}sound:{id}"


def _ended(id: str) -> str:
    return f"{PREFIX}ended:{id}"


def _token(hashed: str) -> str:
    return f"{PREFIX}resume:{hashed}"


def _keys(begun: Begun) -> list[str]:
    return [_session(begun.id), _turns(begun.id), _sound(begun.id), _token(begun.token)]


def _now() -> float:
    return asyncio.get_running_loop().time()
