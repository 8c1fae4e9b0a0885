"""Every wire as something to throw messages at: the real server, or a real agent whose provider is made up.

A `Teller` takes one script after the other; each has a conversation of its own, on a virtual clock and in one
thread, so that the same script does the same again. It raises what nobody handled, or a `Finding` when
something else happened that must not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar, TypeVarTuple
from unittest import mock

import anyio.to_thread
from tests.chaos.watch import Alarms, documented
from tests.vtime import VirtualLoop

from visavis.wires import Message

MOST = 200
"""Messages of a script, its acts among them."""
BINARY = b"\x01"
"""What a binary message begins with in a script's bytes; the others are text."""
ACT = "!"
"""What an act begins with, something that is done and no message; see each wire."""
WAIT = re.compile(r"!wait ([01](?:\.[0-9]{1,3})?)")
"""The act that every wire knows: so many seconds pass."""
OWN = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
"""Codes that an agent elsewhere makes up."""
CODES = documented()
FAREWELL = 30.0
"""Seconds after which nothing of a conversation may be left."""
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Feed = Callable[[list[Message]], Awaitable[int]]
"""Tells a script; returns how many messages were taken."""
Target = AbstractAsyncContextManager[Feed]


class Finding(Exception):
    """Something that must never happen."""


# -- scripts -----------------------------------------------------------------------------------------------
def script(data: bytes) -> list[Message]:
    """The messages in a fuzzer's bytes, one a line."""
    return [_message(line) for line in data.split(b"\n")[:MOST]]


def _message(line: bytes) -> Message:
    if not line.startswith(BINARY):
        return line.decode(errors="replace")
    return re.sub(rb"\\(.)", lambda escaped: b"\n" if escaped[1] == b"n" else escaped[1], line[1:])


def written(messages: Iterable[Message]) -> bytes:
    """The bytes of a script."""
    return b"\n".join(_line(message) for message in messages)


def _line(message: Message) -> bytes:
    if isinstance(message, str):
        return message.encode()
    return BINARY + message.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def seconds(message: Message) -> float | None:
    """How long a script waits here."""
    wait = WAIT.fullmatch(message) if isinstance(message, str) else None
    return float(wait[1]) if wait else None


# -- what must not happen ----------------------------------------------------------------------------------
def check(codes: Iterable[object], heard: Alarms, *, own: bool = False) -> None:
    """Nothing unhandled, and every error has a code that is documented, or is the agent's `own`."""
    if heard.raised:
        raise Finding("; ".join(heard.raised))
    unknown = {code for code in codes if code not in CODES and not (own and OWN.fullmatch(str(code)))}
    if unknown:
        raise Finding(f"codes that are not documented: {unknown}")


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """What is begun here has ended soon after."""
    before = asyncio.all_tasks()
    yield
    end = asyncio.get_running_loop().time() + FAREWELL
    while left := asyncio.all_tasks() - before:
        if asyncio.get_running_loop().time() > end:
            raise Finding(f"tasks that do not end: {sorted(str(task.get_coro()) for task in left)}")
        await asyncio.sleep(0.01)


# -- one thread --------------------------------------------------------------------------------------------
class Alone(VirtualLoop):
    """A virtual loop that does itself what others leave to threads."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


async def _at_once(work: Callable[..., T], *args: Any, **_: Any) -> T:
    """In place of `anyio.to_thread.run_sync`."""
    await asyncio.sleep(0)
    return work(*args)


@contextmanager
def without_threads() -> Iterator[None]:
    with mock.patch.object(anyio.to_thread, "run_sync", _at_once):
        yield


class Teller:
    """A wire to be told scripts, by code that is not asynchronous; everything is opened in one task."""

    def __init__(self, target: Target) -> None:
        self._loop = Alone()
        self._scripts: asyncio.Queue[tuple[list[Message], asyncio.Future[int]]] = asyncio.Queue()
        self._serving = self._loop.create_task(self._serve(target))

    async def _serve(self, target: Target) -> None:
        async with target as feed:
            while True:
                messages, taken = await self._scripts.get()
                try:
                    taken.set_result(await feed(messages))
                except Exception as finding:
                    taken.set_exception(finding)

    def __call__(self, messages: list[Message]) -> int:
        """How many of the messages were taken; raises what must not happen."""
        taken = self._loop.create_future()
        self._scripts.put_nowait((messages, taken))
        with without_threads():
            self._loop.run_until_complete(
                asyncio.wait((taken, self._serving), return_when=asyncio.FIRST_COMPLETED)
            )
            if not taken.done():
                self._serving.result()
        count: int = taken.result()
        return count

    def close(self) -> None:
        self._serving.cancel()
        with without_threads():
            self._loop.run_until_complete(asyncio.wait((self._serving,)))
            if not self._serving.cancelled():
                self._serving.exception()  # was told, or is of no interest after a finding
            if left := asyncio.all_tasks(self._loop):  # only after a finding
                for task in left:
                    task.cancel()
                self._loop.run_until_complete(asyncio.wait(left))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
