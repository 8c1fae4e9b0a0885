"""Threads for models: a bounded number, so that many conversations share the machine in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from visavis.deadlines import Deadlines

T = TypeVar("T")
SMOOTHING = 0.1
"""Weight of the latest call in what calls take."""


class Workers:
    """At most `limit` blocking calls at a time; of those that wait, the most urgent goes first. Lives on the
    event loop's thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self.queue: Deadlines[asyncio.Future[None]] = Deadlines()
        self._seconds = 0.0

    @property
    def idle(self) -> bool:
        """Nothing is running."""
        return self._running == 0

    def delay(self, due: float) -> float:
        """Seconds until all that waits and is due before then will have begun, from what the last calls
        took."""
        return self.queue.before(due) * self._seconds / self._limit

    async def run(self, call: Callable[..., T], *arguments: Any, due: float | None = None) -> T:
        """`call(*arguments)` in a thread. A caller that is cancelled while it waits gives up its place; later
        it waits until the thread is free again.

        `due`: when the result is needed, by the loop's clock; None is now.
        """
        loop = asyncio.get_running_loop()
        await self._place(loop.time() if due is None else due)
        began = loop.time()
        try:
            # A limiter of its own: the shared default one of 40 threads must never be the narrower.
            result = await anyio.to_thread.run_sync(call, *arguments, limiter=anyio.CapacityLimiter(1))
        finally:
            weight = max(SMOOTHING, 1 / self.queue.jobs)
            self._seconds += weight * (loop.time() - began - self._seconds)
            self._leave()
        await checkpoint_if_cancelled()
        return result

    async def _place(self, due: float) -> None:
        """Wait for a thread."""
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self.queue.put(due, place, lambda: not place.done(), loop.time())
        self.queue.waited += self._running >= self._limit
        self._start()
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it had been given the place in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self._running -= 1
        self._start()

    def _start(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._running < self._limit and (place := self.queue.take(now)) is not None:
            self._running += 1
            place.set_result(None)
