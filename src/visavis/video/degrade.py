"""What is given up when drawing takes too much: a rule over what it took and what came late; has no clock."""

from __future__ import annotations

from enum import IntEnum
from threading import Lock

from visavis.meters import Meter

WINDOW = 1.0
"""Seconds over which the load is measured."""
TOO_MUCH, ENOUGH_ROOM = 0.85, 0.7
"""Share of what may be used at which less is drawn, and below which more would have to stay."""

TOO_LATE = 5
"""Pictures left out of a window for being late at which less is drawn, whoever keeps the processors busy."""


class Quality(IntEnum):
    """From the best to the least: anti-aliased; coarser and enlarged instead; every second picture of these;
    a neutral still one."""

    FULL = 0
    PLAIN = 1
    HALF = 2
    STILL = 3


COST = {Quality.FULL: 1.0, Quality.PLAIN: 0.65, Quality.HALF: 0.35, Quality.STILL: 0.1}
"""Of drawing and encoding a second, about."""
EVERY = {Quality.FULL: 1, Quality.PLAIN: 1, Quality.HALF: 2, Quality.STILL: 5}
"""Of so many pictures one is shown."""


class Degrade:
    """Decides for everything that is drawn and encoded; threads may use it at once."""

    def __init__(self, cores: float = 1.0) -> None:
        """`cores`: processors that may be kept busy."""
        self._cores, self._lock = cores, Lock()
        self.quality = Quality.FULL
        self.meter = Meter()
        """Of pictures that were drawn."""
        self.load = 0.0
        """Share of the last window's processors that was used."""
        self.left_out = 0
        """Pictures that were not drawn because they would have been late."""
        self._left_out = 0
        """Of them, at the beginning of the window."""
        self._busy = 0.0
        self._since: float | None = None

    def worked(self, seconds: float, now: float) -> None:
        """A thread has used `seconds` of a processor, until `now`."""
        with self._lock:
            if self._since is None:
                self._since = now - seconds
            self._busy += seconds
            elapsed = now - self._since
            if elapsed < WINDOW:
                return
            self.load = min(self._busy / elapsed / self._cores, 1.0)
            late, self._left_out = self.left_out - self._left_out, self.left_out
            self._busy, self._since = 0.0, now
            if self.load > TOO_MUCH or late >= TOO_LATE:
                self.quality = Quality(min(self.quality + 1, Quality.STILL))
            elif self.quality is not Quality.FULL and not late:
                better = Quality(self.quality - 1)
                if self.load * COST[better] / COST[self.quality] < ENOUGH_ROOM:
                    self.quality = better
