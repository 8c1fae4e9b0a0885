"""Moves all faces in one worker thread, the most urgent first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from visavis.deadlines import Deadlines
from visavis.events import Animated


@dataclass(frozen=True, slots=True)
class Job:
    work: Callable[[], Animated]
    done: Callable[[Animated], None]


class Animator:
    """Jobs wait in the order of their deadlines; one runs at a time. Lives on the event loop's thread."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.queue: Deadlines[Job] = Deadlines()
        self._busy = False

    def status(self) -> dict[str, Any]:
        return self.queue.status()

    def submit(
        self,
        due: float,
        work: Callable[[], Animated],
        done: Callable[[Animated], None],
        wanted: Callable[[], bool],
    ) -> None:
        """Run `work` in the worker and `done` with its result on the loop; a job that is no longer `wanted`
        when its time comes is left out. `due`: when its first frame should leave (seconds, monotonic).
        `work` must not raise."""
        self.queue.put(due, Job(work, done), wanted, asyncio.get_running_loop().time())
        if self._busy:
            self.queue.waited += 1
        else:
            self._start()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        job = self.queue.take(loop.time())
        if job is not None:
            self._busy = True
            result = loop.run_in_executor(self._executor, job.work)
            result.add_done_callback(partial(self._finish, job))

    def _finish(self, job: Job, result: asyncio.Future[Animated]) -> None:
        self._busy = False
        self._start()
        if not result.cancelled():
            job.done(result.result())
