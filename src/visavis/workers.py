"""Threads for models: a bounded number, so that many conversations share the machine in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

T = TypeVar("T")


class Workers:
    """At most `limit` blocking calls at a time; the others wait for their turn."""

    def __init__(self, limit: int) -> None:
        self._limiter = anyio.CapacityLimiter(limit)
        self.calls = 0
        self.waited = 0
        """Calls that found every thread taken."""
        self.wait_seconds = 0.0
        """How long they waited, in all."""

    @property
    def idle(self) -> bool:
        """Nothing is running."""
        return self._limiter.borrowed_tokens == 0

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """`call(*arguments)` in a thread. A cancelled caller waits until the thread is free again."""
        self.calls += 1
        self.waited += self._limiter.available_tokens <= 0
        asked = time.monotonic()
        async with self._limiter:
            self.wait_seconds += time.monotonic() - asked
            # A limiter of its own: the shared default one of 40 threads must never be the narrower.
            result = await anyio.to_thread.run_sync(call, *arguments, limiter=anyio.CapacityLimiter(1))
        await checkpoint_if_cancelled()
        return result
