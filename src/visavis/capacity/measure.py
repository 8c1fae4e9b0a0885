"""Steps the number of talkers up until the first of them hears a stall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visavis.capacity.process import Server, cpu_seconds, memory_mib
from visavis.capacity.talkers import Crowd, Heard

REPLY = 14.0
"""Seconds of a reply: long enough for what is late to add up."""
SPREAD = 3.0
"""Seconds in which those who are new begin to talk."""
IDLE = 200
"""Conversations by which memory is measured."""
USABLE = 0.8
"""Share of the talkers without a stall that a server should be given: people do not come evenly."""
SETTINGS: Mapping[str, str] = {
    "VISAVIS_AUTH__ENABLED": "false",
    "VISAVIS_LIMITS__ENABLED": "false",
    "VISAVIS_LOGS__LEVEL": "error",
    "VISAVIS_SCRIPTED__SECONDS": str(REPLY),
    "VISAVIS_SERVER__MAX_SESSIONS": "100000",
}
"""Of the server that is measured: everybody is let in, and all talk to an agent without a brain."""


@dataclass(frozen=True, slots=True)
class Step:
    """What so many talkers heard in a while. Times are seconds."""

    talkers: int
    seconds: float
    heard: Heard
    cpu: float
    """Of the server."""
    own: float
    """Of the talkers' own process."""

    @property
    def good(self) -> bool:
        return not self.heard.stalls and not self.heard.lost

    @property
    def per_frame(self) -> float:
        return self.cpu / max(1, self.heard.frames)

    def line(self) -> str:
        """One line below `HEAD`."""
        heard = self.heard
        first = percentile(heard.first, 95) * 1000
        figures = (
            *(f"{self.talkers}", f"{heard.stalls}", f"{heard.lost}", f"{self.per_frame * 1000:.3f}"),
            *(f"{self.cpu / self.seconds:.2f}", f"{percentile(heard.leads, 1) * 1000:.0f}", f"{first:.0f}"),
            f"{self.own / self.seconds:.2f}",
        )
        return f"| {' | '.join(figures)} |"


HEAD = (
    "| talkers | stalls | lost | server CPU per frame, ms | server, cores | lead p99, ms "
    "| agent audio -> first frame p95, ms | talkers' process, cores |\n" + "|---:" * 8 + "|"
)


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")


async def climb(
    server: Server,
    steps: Sequence[int],
    seconds: float = REPLY + SPREAD,
    told: Callable[[Step], None] = lambda step: None,
    *,
    on: bool = False,
) -> list[Step]:
    """Have more and more talkers, `seconds` each number of them, up to the first with a stall; or, `on`, all
    of them."""
    crowd, done = Crowd(server.url), list[Step]()
    try:
        await _warm_up(server.url)
        for talkers in steps:
            new = talkers - len(crowd)
            await crowd.grow(new)
            heard, own, cpu = crowd.count(), time.process_time(), cpu_seconds(server.pid)
            begun = time.monotonic()
            crowd.ask(new, SPREAD)
            await asyncio.sleep(seconds)
            took = time.monotonic() - begun
            cpu, own = cpu_seconds(server.pid) - cpu, time.process_time() - own
            step = Step(talkers, took, heard, cpu, own)
            done.append(step)
            told(step)
            if not (step.good or on):
                break
            crowd.count()  # what is said between two steps counts nowhere
    finally:
        await crowd.leave()
    return done


async def idle_memory(server: Server, count: int = IDLE) -> float:
    """Kilobytes of a conversation in which nothing is said."""
    await _warm_up(server.url)
    crowd = Crowd(server.url)
    try:
        await crowd.grow(count // 10)
        crowd.sit()
        await asyncio.sleep(1.0)
        before = memory_mib(server.pid)
        newer = Crowd(server.url)
        try:
            await newer.grow(count)
            newer.sit()
            await asyncio.sleep(1.0)
            return (memory_mib(server.pid) - before) * 1024 / count
        finally:
            await newer.leave()
    finally:
        await crowd.leave()


async def _warm_up(url: str) -> None:
    """What is made once, is made now."""
    crowd = Crowd(url)
    await crowd.grow(4)
    crowd.ask(4, 0.1)
    await asyncio.sleep(1.5)
    await crowd.leave()


def environment(speed: float, engine: str) -> dict[str, str]:
    """The settings of a server whose agent sends its speech at `speed` times real time."""
    return {**SETTINGS, "VISAVIS_SCRIPTED__SPEED": str(speed), "VISAVIS_FACE__ENGINE": engine}


def suggestion(steps: Sequence[Step]) -> int:
    """How many conversations a server like this should admit; 0 when even the first step had a stall."""
    return int(max((step.talkers for step in steps if step.good), default=0) * USABLE)
