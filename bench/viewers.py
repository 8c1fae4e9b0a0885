"""Talkers over `/ws` beside viewers of live video: does drawing hold up the sound?

    python -m bench.viewers --viewers 3 --sessions 10

Starts a server with the scripted agent. The viewers watch sessions of their own that speak all the time, as
endless WebM; everything runs on this machine. "underruns of the player" is what the talkers lacked; the last
line says what the server gave up drawing, and for how long.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import httpx2

from bench.load import Load, failures, rows, run
from bench.process import cpu_seconds, server
from bench.report import Row, table

FPS = 25
CLUSTER = b"\x1f\x43\xb6\x75"
"""A live WebM has one for each frame."""
PICTURE = 1_000
"""Bytes from which one has a picture: two packets of sound, all that the others have, are shorter."""


@dataclass
class Viewer:
    """When each frame of one stream came, and which of them have pictures."""

    frames: list[float] = field(default_factory=list)
    pictures: list[float] = field(default_factory=list)

    async def watch(self, http: httpx2.AsyncClient) -> None:
        """Create a session, keep it speaking, and take its video until cancelled."""
        session = (await http.post("/sessions", json={})).json()["session_id"]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask(http, session))
            async with http.stream("GET", f"/sessions/{session}/avatar") as stream:
                rest = b""
                async for piece in stream.aiter_bytes():
                    *whole, rest = (rest + piece).split(CLUSTER)
                    now = time.monotonic()
                    self.frames += [now] * len(whole)
                    self.pictures += [now] * sum(len(cluster) > PICTURE for cluster in whole)

    async def _ask(self, http: httpx2.AsyncClient, session: str) -> None:
        while True:
            await http.post(f"/sessions/{session}/text", json={"text": "Go on."})
            await asyncio.sleep(6.5)  # the murmur lasts six seconds


async def follow(http: httpx2.AsyncClient, qualities: list[str]) -> None:
    """Note once a second how well the server draws, until cancelled."""
    while True:
        qualities.append((await http.get("/pipeline/status")).json()["pictures"]["quality"])
        await asyncio.sleep(1)


def late(times: list[float]) -> float:
    """Seconds by which a stream fell behind a player that had begun at once."""
    return max((at - times[0] - number / FPS for number, at in enumerate(times)), default=0.0)


def steps(qualities: list[str]) -> str:
    """What was given up and came back, each with the seconds it lasted."""
    return ", ".join(f"{quality} {len(list(same))} s" for quality, same in groupby(qualities))


async def measure(url: str, viewers: int, load: Load, pid: int) -> None:
    base = url.replace("ws", "http", 1).removesuffix("/ws") + "/api/v1"
    watching = [Viewer() for _ in range(viewers)]
    async with httpx2.AsyncClient(base_url=base, timeout=60) as http:
        tasks = [asyncio.create_task(viewer.watch(http)) for viewer in watching]
        await asyncio.sleep(5)  # the renderer is loaded when the first one watches
        qualities: list[str] = []
        tasks.append(asyncio.create_task(follow(http, qualities)))
        began, before = time.monotonic(), cpu_seconds(pid)
        outcome = await run(url, load, pid)
        seconds, cpu = time.monotonic() - began, cpu_seconds(pid) - before
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
                await task
    print(table(f"{load.sessions} talkers beside {viewers} viewers", rows(outcome, load, pid)))
    for failure in failures(outcome):
        print(f"failed: {failure}")
    heard, seen = (
        [[at for at in times if began <= at <= began + seconds] for times in kind]
        for kind in ([viewer.frames for viewer in watching], [viewer.pictures for viewer in watching])
    )
    gaps = [(b - a) * 1000 for times in seen for a, b in pairwise(times)]
    found = [
        Row("pictures a second and viewer", "", [sum(map(len, seen)) / max(1, viewers) / seconds]),
        Row("frames of sound a second and viewer", "", [sum(map(len, heard)) / max(1, viewers) / seconds]),
        Row("sound missing in the worst stream", "s", [max((late(times) for times in heard), default=0.0)]),
        Row("from one picture to the next", "ms", gaps),
        Row("server CPU, all in", "cores", [cpu / seconds]),
    ]
    print(table(f"the viewers, machine's load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores", found))
    print(f"What was drawn: {steps(qualities)}.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--viewers", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=10, help="talkers at the same time")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with server("scripted", {}) as ours:
        asyncio.run(measure(ours.url, options.viewers, Load(options.sessions, options.turns), ours.pid))


if __name__ == "__main__":
    main()
