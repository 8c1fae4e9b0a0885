"""Load on a running server: N conversations that type or speak, and what they saw.

    python -m bench.load --url ws://127.0.0.1:8080/ws --sessions 10 --turns 3

Everything is timed at the client, on one clock; "agent audio -> first frame" is the server's own ledger.
Start the clients on another machine, or keep them few, if they must not take the server's processor.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.client import End, Speech, Turn, talker
from bench.process import cpu_seconds, memory_mib
from bench.report import Row, table

TEXTS = ("Hello, who are you?", "What can you do?", "Can you tell me a joke?", "How are you today?")
CUT = 30
"""The frame at which an interrupting client presses stop."""
SPREAD = 0.1
"""Seconds between two clients' first questions, so that their frames are not due at the same instants."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients do. With `speeches` they speak, otherwise they type."""

    sessions: int = 1
    turns: int = 3
    texts: Sequence[str] = TEXTS
    speeches: Sequence[Speech] = ()
    end: End = "silence"
    interrupt: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    turns: list[Turn]
    cpu: float | None
    """Seconds of processor time the server took, when its process is known."""


async def run(url: str, load: Load, pid: int | None = None) -> Outcome:
    """Put the load on the server; conversations run side by side, the turns of each one after another."""
    before = cpu_seconds(pid) if pid else 0.0
    found = await asyncio.gather(*(_converse(url, load, number) for number in range(load.sessions)))
    cpu = cpu_seconds(pid) - before if pid else None
    return Outcome(list(itertools.chain.from_iterable(found)), cpu)


async def _converse(url: str, load: Load, number: int) -> list[Turn]:
    await asyncio.sleep(number * SPREAD)
    turns: list[Turn] = []
    async with talker(url) as client:
        for index in range(number, number + load.turns):
            if load.speeches:
                turn = await client.speak(load.speeches[index % len(load.speeches)], load.end)
            else:
                cut = CUT if load.interrupt else None
                turn = await client.type(load.texts[index % len(load.texts)], interrupt_at=cut)
            turns.append(turn)
            if turn.failure:
                break
            # Let the reply be heard: nobody speaks again while the last second still sounds.
            await asyncio.sleep(0.1 if load.interrupt else 0.6)
    return turns


def rows(outcome: Outcome, load: Load, pid: int | None = None) -> list[Row]:
    """The figures of an outcome."""
    answered = [turn for turn in outcome.turns if turn.arrivals]
    question = "end of speech" if load.speeches else "text"
    first = [(turn.arrivals[0] - turn.asked) * 1000 for turn in answered]
    inside = [
        turn.ledger["firstFrame"] - turn.ledger["firstAudio"]
        for turn in answered
        if {"firstFrame", "firstAudio"} <= turn.ledger.keys()
    ]
    spacing = [gap * 1000 for turn in answered for gap in np.diff(turn.arrivals[3:])]
    leads = [lead * 1000 for turn in answered for lead in turn.player.leads]
    frames = sum(len(turn.arrivals) for turn in answered)
    found = [
        Row(f"{question} -> first frame", "ms", first),
        Row("frame spacing", "ms", spacing),
        Row("lead of a frame (p50, p5, p1, least)", "ms", leads, low=True),
        Row("underruns of the player", "", [sum(turn.player.underruns for turn in answered)]),
        Row("frames out of order", "", [sum(turn.gaps for turn in answered)]),
        Row("turns without an answer", "", [sum(not turn.arrivals for turn in outcome.turns)]),
    ]
    if not (load.speeches and load.end == "silence"):
        # Hands-free, a reply is made before it is known that the speaker has finished, and kept until then.
        found.insert(1, Row("agent audio -> first frame", "ms", inside))
    if load.interrupt:
        cuts = [turn for turn in answered if turn.interrupted is not None]
        last = [(turn.arrivals[-1] - (turn.interrupted or 0)) * 1000 for turn in cuts]
        known = [(turn.confirmed - (turn.interrupted or 0)) * 1000 for turn in cuts if turn.confirmed]
        found += [
            Row("interruption -> last frame (negative: none came)", "ms", last),
            Row("interruption -> confirmed", "ms", known),
            Row("stale frames after that", "", [sum(turn.stale for turn in cuts)]),
        ]
    if pid and outcome.cpu is not None:
        found.append(Row("server CPU per frame, all in", "ms", [outcome.cpu * 1000 / max(1, frames)]))
        found.append(Row("server memory now", "MiB", [memory_mib(pid)]))
        found.append(Row("server memory at most", "MiB", [memory_mib(pid, "VmHWM")]))
    return found


def failures(outcome: Outcome) -> list[str]:
    return sorted({turn.failure for turn in outcome.turns if turn.failure})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3, help="questions of each session")
    parser.add_argument("--text", action="append", help="a question; may be repeated")
    parser.add_argument("--wav", action="append", type=Path, help="a spoken question; may be repeated")
    parser.add_argument(
        "--button", action="store_true", help="switch the microphone off at the end of speech"
    )
    parser.add_argument("--interrupt", action="store_true", help=f"press stop at frame {CUT} of every reply")
    parser.add_argument("--pid", type=int, help="the server's process, to measure CPU and memory (Linux)")
    options = parser.parse_args()
    load = Load(
        options.sessions,
        options.turns,
        options.text or TEXTS,
        [Speech.read(file) for file in options.wav or ()],
        "button" if options.button else "silence",
        options.interrupt,
    )
    outcome = asyncio.run(run(options.url, load, options.pid))
    print(table(f"{load.sessions} sessions, {load.turns} turns each", rows(outcome, load, options.pid)))
    for failure in failures(outcome):
        print(f"failed: {failure}")


if __name__ == "__main__":
    main()
