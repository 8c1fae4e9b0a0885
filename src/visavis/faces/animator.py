"""Moves all faces in one worker thread, the most urgent first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from visavis.arkit import Weights


@dataclass(order=True, slots=True)
class Job:
    due: float
    """When its first frame should leave (seconds, monotonic)."""
    number: int
    work: Callable[[], Weights] = field(compare=False)
    done: Callable[[Weights], None] = field(compare=False)
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

    @property
    def waiting(self) -> int:
        return len(self._heap)

    def submit(
        self,
        due: float,
        work: Callable[[], Weights],
        done: Callable[[Weights], None],
        wanted: Callable[[], bool],
    ) -> None:
        """Run `work` in the worker and `done` with its result on the loop; a job that is no longer `wanted`
        when its time comes is left out. `work` must not raise."""
        self._count += 1
        heapq.heappush(self._heap, Job(due, self._count, work, done, wanted))
        if not self._busy:
            self._start()

    def _start(self) -> None:
        while self._heap:
            job = heapq.heappop(self._heap)
            if job.wanted():
                self._busy = True
                result = asyncio.get_running_loop().run_in_executor(self._executor, job.work)
                result.add_done_callback(partial(self._finish, job))
                return

    def _finish(self, job: Job, result: asyncio.Future[Weights]) -> None:
        self._busy = False
        self._start()
        if not result.cancelled():
            job.done(result.result())
