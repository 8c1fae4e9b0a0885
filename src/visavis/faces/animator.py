"""Moves all faces in one worker thread, the most urgent first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from visavis.events import Animated


@dataclass(order=True, slots=True)
class Job:
    due: float
    """When its first frame should leave (seconds, monotonic)."""
    number: int
    asked: float = field(compare=False)
    work: Callable[[], Animated] = field(compare=False)
    done: Callable[[Animated], None] = field(compare=False)
    wanted: Callable[[], bool] = field(compare=False)


class Animator:
    """Jobs wait in a heap ordered by deadline; one runs at a time. Lives on the event loop's thread.

    First come, first served would let one long reply starve all the others before the processor is full.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._heap: list[Job] = []
        self._count = 0
        self._busy = False
        self.jobs = 0
        self.waited = 0
        """Jobs that found the worker busy."""
        self.wait_seconds = 0.0
        """How long they waited, in all; those that nobody wanted any more are left out."""

    @property
    def waiting(self) -> int:
        return len(self._heap)

    def status(self) -> dict[str, Any]:
        return {
            "waiting": self.waiting,
            "jobs": self.jobs,
            "waited": self.waited,
            "wait_s": round(self.wait_seconds, 3),
        }

    def submit(
        self,
        due: float,
        work: Callable[[], Animated],
        done: Callable[[Animated], None],
        wanted: Callable[[], bool],
    ) -> None:
        """Run `work` in the worker and `done` with its result on the loop; a job that is no longer `wanted`
        when its time comes is left out. `work` must not raise."""
        self._count += 1
        now = asyncio.get_running_loop().time()
        heapq.heappush(self._heap, Job(due, self._count, now, work, done, wanted))
        if self._busy:
            self.waited += 1
        else:
            self._start()

    def _start(self) -> None:
        while self._heap:
            job = heapq.heappop(self._heap)
            if job.wanted():
                loop = asyncio.get_running_loop()
                self._busy = True
                self.jobs += 1
                self.wait_seconds += loop.time() - job.asked
                result = loop.run_in_executor(self._executor, job.work)
                result.add_done_callback(partial(self._finish, job))
                return

    def _finish(self, job: Job, result: asyncio.Future[Animated]) -> None:
        self._busy = False
        self._start()
        if not result.cancelled():
            job.done(result.result())
