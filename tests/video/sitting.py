"""A session that sits for its portrait: an artist who can be made to wait, and those who watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import numpy as np

from visavis import events as ev
from visavis.arkit import COUNT, Weights
from visavis.audio import Media

T = TypeVar("T")
MEDIA = Media(24_000, 25)
"""960 samples a frame."""


def spoken(turn: int, first: int, count: int = 1, media: Media = MEDIA) -> ev.Frames:
    """Frames whose every sample is 100 times their turn, and whose weights say which one they are."""
    samples = media.edge(first + count) - media.edge(first)
    weights = np.zeros((count, COUNT), np.float32)
    weights[:, 0] = (np.arange(first, first + count) + 1) / 100
    return ev.Frames(turn, first, np.full(samples, 100 * turn, "<i2").tobytes(), weights)


class Artist:
    """Its picture of a face is the first weight in hundredths, and says how many pictures came before it."""

    def __init__(self, name: str = "mia", seconds: float = 0.0) -> None:
        self.name, self.seconds = name, seconds
        self.drawn: list[Weights] = []
        self.needed: list[bool] = []
        self.free = anyio.Event()
        """Drawing waits for it."""
        self.free.set()
        self.fails = False
        self.picture_of: Callable[[Weights], Any] = lambda row: f"{self.name} {round(float(row[0]) * 100)}"

    async def run(self, work: Callable[[], T]) -> T:
        await self.free.wait()
        if self.seconds:
            await anyio.sleep(self.seconds)
        return work()

    def moment(self, fps: int) -> float:
        return 0.0

    def picture(
        self, weights: Weights, drawing: Any, seconds: float, *, needed: bool = False, late: bool = False
    ) -> Any:
        self.drawn.append(weights[None].copy())
        self.needed.append(needed)
        if self.fails:
            raise RuntimeError("no paint")
        return None if late and not needed else self.picture_of(weights)

    async def draw(self, weights: Weights, fps: int, drawings: Any = ()) -> tuple[Any, Any]:
        self.drawn.append(weights.copy())

        def work() -> tuple[Any, Any]:
            if self.fails:
                raise RuntimeError("no paint")
            pictures = tuple(self.picture_of(row) for row in weights)
            return pictures, tuple(picture.encode() for picture in pictures)

        return await self.run(work)
