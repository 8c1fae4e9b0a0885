"""When a server was late: somebody who only asks, again and again, whether it is there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

PROMPT = 0.1
"""Seconds in which a server that has the processor it needs answers a ping. That a line was cut is known
after some more turns of its loop, and frames are 0.3 s ahead."""
PAUSE = 0.05
"""Seconds between two pings."""
KEPT = 100_000


class Pulse:
    """What it noticed, by the loop's clock."""

    def __init__(self) -> None:
        self.waits: deque[float] = deque(maxlen=KEPT)
        """Seconds until a ping was answered."""
        self._late: deque[tuple[float, float]] = deque(maxlen=KEPT)

    async def feel(self, url: str) -> None:
        """Ask until it is cancelled."""
        while True:
            try:
                async with connect(url, compression=None) as socket:
                    while True:
                        await self._ask(await socket.ping())
            except (OSError, WebSocketException):
                await asyncio.sleep(PAUSE)

    async def _ask(self, answered: Awaitable[float]) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        await answered
        self.waits.append(clock() - asked)
        if self.waits[-1] > PROMPT:
            self._late.append((asked, clock()))
        await asyncio.sleep(PAUSE)

    def late(self, since: float, until: float) -> bool:
        """Whether the server was, at any time between."""
        return any(begin < until and since < end for begin, end in self._late)
