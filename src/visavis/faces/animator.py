"""Moves all faces in one worker thread, the most urgent first, several at a time when many talk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from visavis.deadlines import Deadlines
from visavis.events import Animated
from visavis.faces.speech_face import Move, move
from visavis.lateness import Lateness

MOST = 16
"""Faces that are moved together; with more of them the first frame of a reply would wait for long."""
BEAT = 0.008
"""Least seconds between the beginnings of two batches. Faces that are moved together cost a fifth of what
they cost one by one, so under load it pays to wait for others; who comes alone does not wait."""


@dataclass(frozen=True, slots=True)
class Job:
    move: Move
    done: Callable[[Animated], None]


class Animator:
    """Jobs wait in the order of their deadlines; one batch of them runs at a time. Lives on the event loop's
    thread."""

    def __init__(
        self, executor: Executor, work: Callable[[Sequence[Move]], Sequence[Animated]] = move
    ) -> None:
        """`work` must not raise."""
        self._executor, self._work = executor, work
        self.queue: Deadlines[Job] = Deadlines()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        """When another batch may begin."""
        self.lateness = Lateness()
        """How long faces wait to be moved."""

    def status(self) -> dict[str, Any]:
        return self.queue.status()

    def submit(
        self,
        due: float,
        move: Move,
        done: Callable[[Animated], None],
        wanted: Callable[[], bool],
    ) -> None:
        """Do `move` in the worker and `done` with its result on the loop; a job that is no longer `wanted`
        when its time comes is left out. `due`: when its first frame should leave (seconds, monotonic)."""
        now = asyncio.get_running_loop().time()
        self.queue.put(due, Job(move, done), wanted, now)
        if self._busy:
            self.queue.waited += 1
        else:
            self._start()

    def _start(self) -> None:
        """Begin a batch, now or when it may begin."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._next and len(self.queue) < MOST:
            if self._timer is None and len(self.queue):
                self._timer = loop.call_at(self._next, self._wake)
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        jobs, waited = list[Job](), self.queue.wait_seconds
        while len(jobs) < MOST and (job := self.queue.take(now)) is not None:
            jobs.append(job)
        if jobs:
            self._busy, self._next = True, now + BEAT
            self.lateness.note((self.queue.wait_seconds - waited) / len(jobs), now)
            moves = [job.move for job in jobs]
            result = loop.run_in_executor(self._executor, self._work, moves)
            result.add_done_callback(partial(self._finish, jobs))

    def _wake(self) -> None:
        self._timer, self._next = None, 0.0  # timers may come a little early
        if not self._busy:
            self._start()

    def _finish(self, jobs: Sequence[Job], result: asyncio.Future[Sequence[Animated]]) -> None:
        self._busy = False
        self._start()
        if not result.cancelled():
            for job, animated in zip(jobs, result.result(), strict=True):
                job.done(animated)
