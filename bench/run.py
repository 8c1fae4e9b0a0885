"""The standard measurements: starts its own servers and prints tables in Markdown.

    python -m bench.run

Server and clients share this machine's processor. Each conversation says `hello`, receives JSON frames and
reports its playback, as the page does. The first exchange with each server is not counted: it is the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.client import Speech
from bench.load import Load, failures, rows, run
from bench.process import Server, server, simulator
from bench.report import Row, table
from visavis.configuration import load_settings
from visavis.say import speak, write

QUESTIONS = (
    "Hello, who are you?",
    "What can you do?",
    "Can you tell me a joke?",
    "How do I connect my own language model?",
    "Do you need an internet connection to work?",
    "What is the capital of Australia?",
    "Tell me a short story about a dragon.",
    "Can you help me with my homework?",
)
"""Complete questions, some of which the demo brain knows and some it must make up."""

SIMULATED = ("openai", "gemini", "remote")
"""Providers with a simulator."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sessions", type=int, default=10, help="scripted talkers at the same time")
    parser.add_argument("--only", choices=("scripted", "simulated", "embedded"))
    options = parser.parse_args()
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, load average before {load}\n", flush=True)
    if options.only in (None, "scripted"):
        _scripted(options.sessions)
    if options.only in (None, "simulated"):
        _simulated(options.sessions)
    if options.only in (None, "embedded"):
        _embedded()


def _scripted(sessions: int) -> None:
    with server("scripted", {}) as ours:
        asyncio.run(run(ours.url, Load(1, 1)))
        _measure("scripted agent, real time, 1 talker", ours, Load(1, 3))
        _measure(f"scripted agent, real time, {sessions} talkers", ours, Load(sessions, 3))
        _measure(f"interruptions, {sessions} talkers", ours, Load(sessions, 3, interrupt=True))
    with server("scripted", {"VISAVIS_SCRIPTED__SPEED": "4"}) as ours:
        asyncio.run(run(ours.url, Load(1, 1)))
        _measure(f"scripted agent, 4x real time, {sessions} talkers", ours, Load(sessions, 2))


def _simulated(sessions: int) -> None:
    """What this server adds to a provider's time."""
    for agent in SIMULATED:
        with simulator(agent) as settings, server(agent, settings) as ours:
            asyncio.run(run(ours.url, Load(1, 1)))
            _measure(f"{agent} simulator, 1 talker", ours, Load(1, 8))
            _measure(f"{agent} simulator, {sessions} talkers", ours, Load(sessions, 4))


def _embedded() -> None:
    begin = time.monotonic()
    with server("embedded", {}) as ours:
        first = asyncio.run(run(ours.url, Load(1, 1, QUESTIONS[:1])))
        arrived = first.turns[0].arrivals
        # Both clocks are the monotonic one of this machine.
        answering = [arrived[0] - begin] if arrived else []
        start = [Row("start -> ready", "s", [ours.ready]), Row("start -> first frame", "s", answering)]
        print(table("embedded agent, warm start", start), flush=True)
        count = len(QUESTIONS)
        _measure("embedded agent, typed", ours, Load(1, count, QUESTIONS))
        speeches = spoken(QUESTIONS)
        _measure("embedded agent, spoken, hands-free", ours, Load(1, count, speeches=speeches))
        button = Load(1, count, speeches=speeches, end="button")
        _measure("embedded agent, spoken, push-to-talk", ours, button)
        _measure("embedded agent, interruptions", ours, Load(1, 4, QUESTIONS, interrupt=True))


def _measure(title: str, ours: Server, load: Load) -> None:
    outcome = asyncio.run(run(ours.url, load, ours.pid))
    print(table(title, rows(outcome, load, ours.pid)), flush=True)
    for failure in failures(outcome):
        print(f"failed: {failure}\n", flush=True)


def spoken(questions: Sequence[str]) -> list[Speech]:
    """Questions as our own voice says them."""
    settings = load_settings({}, None, os.environ, Path.cwd())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "question.wav"
        speeches = []
        for question in questions:
            write(speak(question, settings), file)
            speeches.append(Speech.read(file))
        return speeches


if __name__ == "__main__":
    main()
