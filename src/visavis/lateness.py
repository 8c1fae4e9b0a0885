"""How much of the last seconds something was late, from whoever notices it as it goes along."""

from __future__ import annotations

import math

LATE = 0.1
"""Seconds that count as late: a third of what players have in reserve."""
MEMORY = 3.0
"""Time constant in seconds with which it is forgotten."""
MOMENT = 0.25
"""Seconds that one notice stands for, at most: a single moment, as when a model is loaded, is nothing."""


class Lateness:
    """Times are seconds, monotonic."""

    def __init__(self) -> None:
        self._share, self._at = 0.0, -math.inf
        self.last = 0.0
        """What was noticed last."""

    def note(self, seconds: float, now: float) -> None:
        """Something is late by so many seconds."""
        before = math.exp(-min(now - self._at, MOMENT) / MEMORY)
        self._share = self.share(now) if seconds <= LATE else self._share * before + 1 - before
        self._at, self.last = now, seconds

    def share(self, now: float) -> float:
        """The share of the last seconds, 0..1; without a notice nothing is late."""
        return self._share * math.exp(-max(0.0, now - self._at) / MEMORY)
