"""Moves all faces in one worker thread, the most urgent first, several at a time when many talk.

A thread whose engine does not return is left behind: another one takes its place, a few times.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from visavis.deadlines import Deadlines
from visavis.events import Animated
from visavis.faces.speech_face import Move, move
from visavis.lateness import Lateness

MOST = 32
"""Faces that are moved together; with more of them the first frame of a reply would wait for long."""
BEAT, SLACK = 0.008, 0.056
"""Least seconds between the beginnings of two batches, and how much more when no face is in a hurry. Faces
that are moved together cost a fifth of what they cost one by one, so under load it pays to wait for others;
who comes alone does not wait."""
SOON = 0.1
"""A face whose frames are due in so many seconds is in a hurry."""
HUNG = 10.0
"""Seconds after which an engine is not expected to return any more: it takes hundredths, and on a machine
that is much too busy a few."""
MOST_LEFT = 4
"""Threads that are left behind, until no engine is asked again."""


@dataclass(frozen=True, slots=True)
class Job:
    move: Move
    done: Callable[[Animated], None]
    lost: Callable[[], None]


class Animator:
    """Jobs wait in the order of their deadlines; one batch of them runs at a time. Lives on the event loop's
    thread."""

    def __init__(
        self,
        executor: Executor,
        work: Callable[[Sequence[Move]], Sequence[Animated]] = move,
        another: Callable[[], Executor] | None = None,
    ) -> None:
        """`work` must not raise; `another` executor takes the place of one that does not return."""
        self._executor, self._work, self._another = executor, work, another
        self.queue: Deadlines[Job] = Deadlines()
        self._batch: asyncio.Future[Sequence[Animated]] | None = None
        """What is being done."""
        self._context = copy_context()  # not that of whichever session begins a batch
        self._latest: asyncio.TimerHandle | None = None
        self.left = 0
        """Threads that have not returned."""
        self._timer: asyncio.TimerHandle | None = None
        self._when = math.inf
        """Of the timer."""
        self._next = -SLACK
        """When another batch may begin."""
        self.lateness = Lateness()
        """How long faces wait to be moved."""

    def status(self) -> dict[str, Any]:
        return self.queue.status()

    @property
    def problems(self) -> list[str]:
        """What an operator has to mend."""
        if self.left < MOST_LEFT:
            return []
        return ["FACES_STUCK: the face engine does not return, faces do not move; restart the server."]

    def close(self) -> None:
        """Let go of the thread that is used now."""
        if self._latest is not None:
            self._latest.cancel()
        self._executor.shutdown(wait=self._batch is None)

    def submit(
        self,
        due: float,
        move: Move,
        done: Callable[[Animated], None],
        wanted: Callable[[], bool],
        lost: Callable[[], None],
    ) -> None:
        """Do `move` in the worker and `done` with its result on the loop, or `lost` when it does not return.

        A job that is no longer `wanted` when its time comes is left out. `due`: when its first frame should
        leave (seconds, monotonic).
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self.left >= MOST_LEFT:
            loop.call_soon(lost)
            return
        self.queue.put(due, Job(move, done, lost), wanted, now)
        if self._batch is not None:
            self.queue.waited += 1
        else:
            self._start()

    def _start(self) -> None:
        """Begin a batch, now or when it may begin."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        begin = self._next if self.queue.first <= now + SOON else self._next + SLACK
        if now < begin and len(self.queue) < MOST:
            if len(self.queue) and begin < self._when:
                self._unset()
                self._timer = loop.call_at(begin, self._wake, context=self._context)
                self._when = begin
            return
        self._unset()
        jobs, waited = list[Job](), self.queue.wait_seconds
        while len(jobs) < MOST and (job := self.queue.take(now)) is not None:
            jobs.append(job)
        if jobs:
            self._next = now + BEAT
            self.lateness.note((self.queue.wait_seconds - waited) / len(jobs), now)
            moves = [job.move for job in jobs]
            self._batch = loop.run_in_executor(self._executor, self._work, moves)
            self._batch.add_done_callback(partial(self._finish, jobs), context=self._context)
            if self._another is not None:
                leave = partial(self._leave, jobs, self._another)
                self._latest = loop.call_later(HUNG, leave, context=self._context)

    def _unset(self) -> None:
        """Wait for no time any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._when = None, math.inf

    def _wake(self) -> None:
        self._timer, self._when = None, math.inf
        self._next = -SLACK  # timers may come a little early
        if self._batch is None:
            self._start()

    def _leave(self, jobs: Sequence[Job], another: Callable[[], Executor]) -> None:
        """Go on without a thread that does not return, and without these faces."""
        self.left += 1
        self._batch = self._latest = None
        self._executor.shutdown(wait=False)
        structlog.get_logger(__name__).error(
            "the face engine does not return: neutral faces for the rest of these turns",
            code="FACE_STUCK",
            faces=len(jobs),
            threads_lost=self.left,
        )
        self._executor = another()
        if self.left >= MOST_LEFT:
            now = asyncio.get_running_loop().time()
            while (job := self.queue.take(now)) is not None:
                jobs = (*jobs, job)
        self._start()
        for job in jobs:
            job.lost()

    def _finish(self, jobs: Sequence[Job], result: asyncio.Future[Sequence[Animated]]) -> None:
        if result is not self._batch:  # it was left behind
            self.left -= 1
            if not result.cancelled():
                result.exception()
            return
        if self._latest is not None:
            self._latest.cancel()
        self._batch = self._latest = None
        self._start()
        if not result.cancelled():
            for job, animated in zip(jobs, result.result(), strict=True):
                job.done(animated)
