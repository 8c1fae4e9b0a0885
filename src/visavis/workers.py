"""Threads for models: a bounded number, so that many conversations share the machine in turn.

A call that does not return keeps its thread for ever: nobody can end a thread. Its caller is let go after
`STUCK`, so that its conversation can end; when all threads are lost that way, callers are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from visavis.deadlines import Deadlines
from visavis.errors import VisavisError
from visavis.needed import need

T = TypeVar("T")
SMOOTHING = 0.1
"""Weight of the latest call in what calls take."""
STUCK = 300.0
"""Seconds after which a call is not expected to return any more; a large model may take minutes to load."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call(Generic[T]):
    began: float
    thread: asyncio.Future[T]
    over: asyncio.Future[None]
    """Done when the thread is, or its caller need not wait for it any longer."""


class Workers:
    """At most `limit` blocking calls at a time; of those that wait, the most urgent goes first. Lives on the
    event loop's thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._calls: set[_Call[Any]] = set()
        self.queue: Deadlines[asyncio.Future[None]] = Deadlines()
        self._seconds = 0.0

    @property
    def idle(self) -> bool:
        """Nothing is running."""
        return self._running == 0

    def lost(self) -> int:
        """How many threads have a call that does not return. Whoever waits for one is let go, so somebody has
        to ask now and then."""
        if not self._calls:
            return 0
        now = asyncio.get_running_loop().time()
        lost = [call for call in self._calls if call.began < now - STUCK]
        for call in lost:
            if not call.over.done():
                call.over.set_result(None)
        while len(lost) >= self._limit and (place := self.queue.take(now)) is not None:
            place.set_exception(_nobody())
        return len(lost)

    def problems(self) -> list[str]:
        """What an operator has to mend."""
        return (
            [] if self.lost() < self._limit else ["MODELS_STUCK: models do not answer; restart the server."]
        )

    def delay(self, due: float) -> float:
        """Seconds until all that waits and is due before then will have begun, from what the last calls
        took."""
        return self.queue.before(due) * self._seconds / self._limit

    async def run(self, call: Callable[..., T], *arguments: Any, due: float | None = None) -> T:
        """`call(*arguments)` in a thread. A caller that is cancelled while it waits gives up its place; later
        it waits until the thread is free again.

        `due`: when the result is needed, by the loop's clock; None is now. Raises `VisavisError` when the
        call does not return, or no thread is left.
        """
        loop = asyncio.get_running_loop()
        if due is not None:
            need(due)
        await self._place(loop.time() if due is None else due)
        # A limiter of its own: the shared default one of 40 threads must never be the narrower.
        work = anyio.to_thread.run_sync(call, *arguments, limiter=anyio.CapacityLimiter(1))
        running = _Call(loop.time(), asyncio.ensure_future(work), loop.create_future())
        self._calls.add(running)
        running.thread.add_done_callback(lambda _: self._returned(running))
        with anyio.CancelScope(shield=True):
            await running.over
        if not running.thread.done():
            raise VisavisError("MODEL_STUCK", f"A model has not answered for {STUCK:g} s.")
        result = running.thread.result()
        await checkpoint_if_cancelled()
        return result

    def _returned(self, call: _Call[Any]) -> None:
        """A thread is free again."""
        if not call.thread.cancelled():
            call.thread.exception()  # looked at, although its caller may be gone
        self._calls.discard(call)
        if not call.over.done():
            call.over.set_result(None)
        weight = max(SMOOTHING, 1 / self.queue.jobs)
        self._seconds += weight * (asyncio.get_running_loop().time() - call.began - self._seconds)
        self._leave()

    async def _place(self, due: float) -> None:
        """Wait for a thread."""
        if self.lost() >= self._limit:
            raise _nobody()
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


def _nobody() -> VisavisError:
    return VisavisError("MODELS_STUCK", "The models of this server do not answer; it must be restarted.")
