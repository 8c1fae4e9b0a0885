"""What is given up when drawing takes too much: a rule over the time it took, without a clock of its own."""

from __future__ import annotations

from enum import IntEnum

from visavis.meters import Meter

WINDOW = 1.0
"""Seconds over which the load is measured."""
TOO_MUCH, ENOUGH_ROOM = 0.85, 0.6
"""Share of a drawing thread's time at which less is drawn, and below which more would have to stay."""


class Quality(IntEnum):
    """From the best to the least: anti-aliased, not so, every second picture only, one still picture."""

    FULL = 0
    PLAIN = 1
    HALF = 2
    STILL = 3


COST = {Quality.FULL: 1.0, Quality.PLAIN: 0.7, Quality.HALF: 0.35, Quality.STILL: 0.05}
"""Of a picture, about."""


class Degrade:
    """Decides for everything that one thread draws."""

    def __init__(self) -> None:
        self.quality = Quality.FULL
        self.meter = Meter()
        self.load = 0.0
        """Share of the last window in which pictures were drawn."""
        self._busy = 0.0
        self._since: float | None = None

    def drew(self, seconds: float, now: float) -> None:
        """A picture has taken `seconds`; `now` is when it was finished."""
        self.meter.took(seconds)
        if self._since is None:
            self._since = now - seconds
        self._busy += seconds
        elapsed = now - self._since
        if elapsed < WINDOW:
            return
        self.load = min(self._busy / elapsed, 1.0)
        self._busy, self._since = 0.0, now
        if self.load > TOO_MUCH:
            self.quality = Quality(min(self.quality + 1, Quality.STILL))
        elif self.quality is not Quality.FULL:
            better = Quality(self.quality - 1)
            if self.load * COST[better] / COST[self.quality] < ENOUGH_ROOM:
                self.quality = better
