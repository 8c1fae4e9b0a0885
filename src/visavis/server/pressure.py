"""Whether a server is so busy that those who talk would soon hear stalls: then nobody new is let in."""

from __future__ import annotations

import asyncio

from visavis.lateness import Lateness

OFTEN = 0.5
"""Share of the last seconds in which the event loop or the faces were late."""
FEW = 20
"""Conversations that are never too many: a machine that is slow with so few of them is busy with something
else, which lasts no shorter when people are turned away."""


class Pressure:
    """What the event loop and the faces have noticed."""

    def __init__(self, loop: Lateness, faces: Lateness) -> None:
        self.loop, self.faces = loop, faces

    def high(self, conversations: int) -> bool:
        """Whether it is too much with so many of them."""
        now = asyncio.get_running_loop().time()
        return conversations > FEW and max(self.loop.share(now), self.faces.share(now)) >= OFTEN
