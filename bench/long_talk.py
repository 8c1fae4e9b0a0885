"""A long conversation in real time, and what becomes of the server's memory, tasks and files.

    python -m bench.long_talk --agent openai --minutes 30

The server talks to a simulator of the agent. The user types, presses stop in the middle of a reply, and
speaks hands-free, in turn. The first two minutes are the warm-up: what they cost is no growth.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import Speech, Talker, Turn, talker
from bench.load import CUT, TEXTS
from bench.process import Server, cpu_seconds, descriptors, memory_mib, server, simulator
from bench.run import spoken

EVERY = 60.0
"""Seconds between two looks at the server."""
WARM_UP = 2
"""Looks before growth counts."""
HEAD = "| minute | turns | memory, MiB | tasks | files | CPU, s |\n|---:|---:|---:|---:|---:|---:|"


@dataclass(frozen=True, slots=True)
class Look:
    """What a server has at a moment."""

    seconds: float
    turns: int
    memory: float
    tasks: int
    files: int
    cpu: float

    def markdown(self) -> str:
        return (
            f"| {self.seconds / 60:.1f} | {self.turns} | {self.memory:.1f} | {self.tasks} | {self.files} "
            f"| {self.cpu:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.long_talk", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--agent", choices=("openai", "gemini", "remote"), default="openai")
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    speeches = spoken(TEXTS[:1])
    with simulator(options.agent) as settings, server(options.agent, settings) as ours:
        print(f"### {options.agent}\n\n{HEAD}", flush=True)
        looks, failed = asyncio.run(_talk(ours, options.minutes * 60, speeches))
    settled, last = looks[min(WARM_UP, len(looks) - 1)], looks[-1]
    print(
        f"\n{last.turns} turns, {failed} of them without an answer; since minute {settled.seconds / 60:.0f}:"
    )
    print(f"memory {last.memory - settled.memory:+.1f} MiB, tasks {last.tasks - settled.tasks:+d}, ", end="")
    print(f"files {last.files - settled.files:+d}")


async def _talk(ours: Server, seconds: float, speeches: Sequence[Speech]) -> tuple[list[Look], int]:
    """Talk for so long in one conversation; returns the looks, and how many turns had no answer."""
    begin, turns, failed = time.monotonic(), 0, 0
    looks: list[Look] = []
    async with talker(ours.url) as client:
        for number in itertools.count():
            now = time.monotonic() - begin
            if now >= len(looks) * EVERY or now >= seconds:
                looks.append(await asyncio.to_thread(_look, ours, now, turns))
                print(looks[-1].markdown(), flush=True)
            if now >= seconds:
                return looks, failed
            turn = await _turn(client, number, speeches)
            turns, failed = turns + 1, failed + bool(turn.failure)
            if turn.failure:
                print(f"failed: {turn.failure}", flush=True)
            await asyncio.sleep(0.6)  # the last second still sounds
    raise AssertionError("unreachable")


async def _turn(client: Talker, number: int, speeches: Sequence[Speech]) -> Turn:
    """Every third is spoken, and every third cut off."""
    if number % 3 == 2:
        return await client.speak(speeches[0], "silence")
    # No two are the same, so that nothing is known before.
    return await client.type(
        f"{TEXTS[number % len(TEXTS)]} {number}", interrupt_at=CUT if number % 3 else None
    )


def _look(ours: Server, seconds: float, turns: int) -> Look:
    address = re.sub(r"^ws(.*)/ws$", r"http\1/metrics", ours.url)
    with urllib.request.urlopen(address, timeout=10) as answer:
        found = re.search(r"^visavis_tasks (\S+)", answer.read().decode(), re.MULTILINE)
    tasks = int(float(found[1])) if found else 0
    return Look(seconds, turns, memory_mib(ours.pid), tasks, descriptors(ours.pid), cpu_seconds(ours.pid))


if __name__ == "__main__":
    main()
