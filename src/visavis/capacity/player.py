"""A player that only keeps the time: when would a client hear each frame, and when would it stall?"""

from __future__ import annotations

from dataclasses import dataclass, field

START = 3
"""Frames a player waits for before it begins, and before it goes on after a stall."""


@dataclass
class Player:
    """Plays frames at `fps` from the arrival of the third one. Times are seconds on the caller's clock."""

    fps: float = 30.0
    underruns: int = 0
    leads: list[float] = field(default_factory=list)
    """Seconds from each frame's arrival to the moment it is needed."""
    _origin: float | None = None
    _waiting: list[int] = field(default_factory=list)

    def arrive(self, frame: int, now: float) -> None:
        """Frame number `frame` of the turn is here."""
        if self._origin is not None:
            lead = self._origin + frame / self.fps - now
            if lead >= 0:
                self.leads.append(lead)
                return
            self.underruns += 1
            self._origin = None
        self._waiting.append(frame)
        if len(self._waiting) == START:
            self._origin = now - self._waiting[0] / self.fps
            self._waiting.clear()

    def heard(self, now: float) -> int:
        """The last frame that has become audible; -1 before the first."""
        return -1 if self._origin is None else int((now - self._origin) * self.fps)
