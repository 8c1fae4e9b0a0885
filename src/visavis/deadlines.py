"""Who goes first: what waits for a worker, in the order of when it is needed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Waiting(Generic[T]):
    asked: float
    job: T
    wanted: Callable[[], bool]


class Deadlines(Generic[T]):
    """A heap of jobs by when each is due; equal ones in the order of asking. Times are seconds, monotonic.

    First come, first served would let one long reply starve all the others before the processor is full.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Waiting[T]]] = []
        self._count = 0
        self.jobs = 0
        """Those that were taken."""
        self.waited = 0
        """Jobs that found the worker busy; whoever puts them counts them."""
        self.wait_seconds = 0.0
        """How long they waited, in all; those that nobody wanted any more are left out."""

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def first(self) -> float:
        """When the most urgent one is due."""
        return self._heap[0][0] if self._heap else math.inf

    def put(self, due: float, job: T, wanted: Callable[[], bool], now: float) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, _Waiting(now, job, wanted)))

    def take(self, now: float) -> T | None:
        """The most urgent job that is still wanted; None without one."""
        while self._heap:
            first = heapq.heappop(self._heap)[2]
            if first.wanted():
                self.jobs += 1
                self.wait_seconds += now - first.asked
                return first.job
        return None

    def before(self, due: float) -> int:
        """How many that are wanted are due before then."""
        return sum(first < due and waiting.wanted() for first, _, waiting in self._heap)

    def status(self) -> dict[str, Any]:
        return {
            "waiting": len(self),
            "jobs": self.jobs,
            "waited": self.waited,
            "wait_s": round(self.wait_seconds, 3),
        }
