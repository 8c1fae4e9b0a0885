"""One clock for all sessions."""

from __future__ import annotations

import asyncio
import heapq
from contextvars import copy_context
from typing import Protocol

from visavis.lateness import Lateness

PERIOD = 1 / 120
"""Seconds between two looks at the deadlines: a quarter of a frame."""
SHARE, MOST = 16, 12
"""Of so many sessions with deadlines, each has one frame leave at a time; of twice as many two, and so on, up
to so many: the server wakes up hardly more often for a hundred than for thirty."""
RARELY = 4
"""Periods between looks when as many frames or more leave at once: only the first of them can be late."""


def together(sessions: int) -> int:
    """How many frames of each leave at once while so many sessions have deadlines."""
    return min(max(1, sessions // SHARE), MOST)


class Look:
    """One at a session, at `due`; without a session it is not needed any more."""

    __slots__ = ("due", "session")

    def __init__(self, due: float, session: Ticking) -> None:
        self.due = due
        self.session: Ticking | None = session


class Ticking(Protocol):
    look: Look | None
    """The ticker's next one at it; the ticker's own note."""

    @property
    def deadline(self) -> float | None: ...
    def tick(self, now: float, group: int) -> None:
        """Its deadline has come; `group`: see `events.Tick`."""
        ...


class Ticker:
    """The deadlines of all sessions in one heap, looked at every `PERIOD` (or a few) while one is near.

    Far cheaper than a timer per session, which would be set and cancelled with every event.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Look]] = []
        self._count = 0
        self._timer: asyncio.Handle | None = None
        self._context = copy_context()  # not that of whichever session sets the timer
        self._when = 0.0
        """Of the timer, which does not tell on every event loop."""
        self.lateness = Lateness()
        """Of the event loop, while anybody talks."""

    def watch(self, session: Ticking) -> None:
        """See to it that `session.tick` is called at its deadline; call again whenever that changes."""
        due = session.deadline
        if due is None or (session.look is not None and session.look.due <= due):
            return  # a look that comes too early only looks again
        self.forget(session)
        session.look = Look(due, session)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, session.look))
        if self._timer is None or due + PERIOD / 2 < self._when:
            self._schedule()

    def forget(self, session: Ticking) -> None:
        """Look at it no more, and hold it no longer."""
        if session.look is not None:
            session.look.session = None
            session.look = None

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        now, due = loop.time(), self._heap[0][0]
        period = PERIOD * min(together(len(self._heap)), RARELY)
        when = now + max(period, due - now)
        if self._timer is not None:
            if self._when <= when + PERIOD / 2:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._tick, context=self._context)
        self._when = when

    def _tick(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        self.lateness.note(now - self._when, now)
        group = together(len(self._heap))
        while self._heap and self._heap[0][0] <= now:
            session = heapq.heappop(self._heap)[2].session
            if session is None:
                continue
            session.look = None
            due = session.deadline
            if due is not None and due <= now:
                session.tick(now, group)
            else:
                self.watch(session)
        if self._heap:
            self._schedule()
