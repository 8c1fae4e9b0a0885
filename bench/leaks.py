"""Whether a server holds more and more: sampled while people talk to it, and counted when all have left.

What counts as flat is here. While people talk, everything is sampled every `EVERY` seconds; a line is
fitted to what was held in the last two thirds of the time, beside what follows from the number of people, and
may rise by `SLOPES` in an hour at most. When all have left, there must be as few tasks, threads, files,
sessions and connections as there were when people had talked for a while and had left; and of the objects of
Python (`blocks`), no more than `BLOCKS` for each answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import httpx2
import numpy as np

from bench.process import descriptors, memory_mib
from bench.report import Row

EVERY = 5.0
"""Seconds between two samples; there may be 100 calls a minute."""
SLOPES = {"memory": 24.0, "tasks": 50.0, "threads": 4.0, "files": 15.0}
"""By how much a line may rise in an hour: memory in MiB; tasks and files by those of ten conversations."""
TELLING_MINUTES = 20.0
"""How long people must have talked for a line to tell anything."""
BLOCKS, FEW_BLOCKS = 0.1, 3000
"""Objects of Python that an answer may leave behind, and how many are not worth a word."""
SAMPLE = re.compile(r"^visavis_(tasks|connections|sessions)(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """What a server holds at a moment."""

    memory: float
    """MiB."""
    tasks: float
    threads: float
    files: float
    sessions: float
    connections: float


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


class Holding:
    """Watches one server, whose process runs on this machine."""

    def __init__(self, http: httpx2.AsyncClient, pid: int) -> None:
        """`http` calls the server, which counts its objects for `/health` (bench/marked.py)."""
        self._http, self._pid = http, pid
        self.samples: list[tuple[float, Held]] = []
        """With the loop's time."""

    async def now(self) -> Held:
        told = dict.fromkeys(("tasks", "connections", "sessions"), 0.0)
        for name, value in SAMPLE.findall((await self._http.get("/metrics")).text):
            told[name] += float(value)
        pid = self._pid
        return Held(memory_mib(pid), threads=threads(pid), files=descriptors(pid), **told)

    async def blocks(self) -> int:
        """Objects of Python; the server stands still while it counts them."""
        count: int = (await self._http.get("/health")).json()["agent"]["blocks"]
        return count

    async def watch(self) -> None:
        """Take samples until it is cancelled."""
        while True:
            with suppress(httpx2.HTTPError):
                self.samples.append((asyncio.get_running_loop().time(), await self.now()))
            await asyncio.sleep(EVERY)


def growth(samples: Sequence[tuple[float, Held]]) -> dict[str, float]:
    """By how much each kind rises in an hour, from the last two thirds of the samples; that more people have
    come explains some of it."""
    late = samples[len(samples) // 3 :]
    if len(late) < 5:
        return dict.fromkeys(SLOPES, 0.0)
    known = np.array([(at / 3600, held.sessions, held.connections, 1.0) for at, held in late])
    held = np.array([[getattr(held, kind) for kind in SLOPES] for _, held in late])
    slopes = np.linalg.lstsq(known, held, rcond=None)[0][0]
    return dict(zip(SLOPES, slopes.tolist(), strict=True))


def rows(samples: Sequence[tuple[float, Held]], before: Held, after: Held, blocks: int) -> list[Row]:
    """For people to read; `blocks`: how many more there are than before."""
    units = {"memory": "MiB"}
    sampled = zip(*(astuple(held) for _, held in samples), strict=True)
    names = [field.name for field in fields(Held)]
    return [
        *(Row(name, units.get(name, ""), values) for name, values in zip(names, sampled, strict=False)),
        *(Row(f"growth of {kind}", f"{units.get(kind, '')}/h", [by]) for kind, by in growth(samples).items()),
        *(Row(f"{name} when all have left", units.get(name, ""), [asdict(after)[name]]) for name in names),
        *(Row(f"{name} before", units.get(name, ""), [asdict(before)[name]]) for name in names),
        Row("Python's objects more than before", "", [blocks]),
    ]


def left(
    samples: Sequence[tuple[float, Held]],
    before: Held,
    after: Held,
    blocks: int,
    answers: int,
    minutes: float,
) -> list[str]:
    """What a server should not hold, in words; nothing is as it should be."""
    found = [
        f"{kind} grow by {by:.1f} an hour, more than {SLOPES[kind]:g}"
        for kind, by in growth(samples).items()
        if minutes >= TELLING_MINUTES and by > SLOPES[kind]
    ]
    for kind, known in asdict(before).items():
        if kind != "memory" and (now := asdict(after)[kind]) > known:
            found.append(f"{now - known:g} {kind} are left")
    if blocks > (most := max(FEW_BLOCKS, BLOCKS * answers)):
        found.append(f"{blocks} objects are left, more than {most:.0f}")
    return found
