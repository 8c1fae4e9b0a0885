"""Spoken conversations with the embedded agent: how many this machine carries.

    python -m bench.brains --sessions 1 4 8

Each of them speaks questions in our own synthesiser's voice with the microphone open all the time, listens to
the answer, thinks for a moment and asks on. What counts is the first sound of the answer after the last sound
of the question; the agent's excuse for being late is no answer, and is switched off unless `--excuses`.
The clients share the machine; what they take of it is shown. CPU figures hold on a busy machine, too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2
import orjson
from websockets.asyncio.client import connect

from bench.client import Speech, Talker, Turn
from bench.process import cpu_seconds, memory_mib, server
from bench.report import Row, table
from bench.run import QUESTIONS, spoken
from visavis.capacity.player import Player

CHUNK = 0.04
"""Seconds of microphone sound in a message."""
PAUSE = (1.0, 3.0)
"""Seconds for which somebody thinks before the next question."""
SPREAD = 0.7
"""Seconds between the beginnings of two conversations."""
ENOUGH = 1.5
"""Seconds after which an answer is late."""


@dataclass(frozen=True, slots=True)
class Outcome:
    turns: list[Turn]
    server: float
    """Seconds of processor time."""
    clients: float
    seconds: float
    """How long it took in all."""


class Speaker(Talker):
    """Its microphone is always open: it hears what is said, and silence otherwise, in real time."""

    _waiting = b""
    _begin = 0.0
    _sent = 0

    async def open_microphone(self, rate: int) -> None:
        """Does not return."""
        await self._send(type="audio_stream_start", sampleRate=rate)
        size = round(rate * CHUNK) * 2
        self._begin = self._clock()
        while True:
            self._sent += size
            await asyncio.sleep(self._begin + self._sent / 2 / rate - self._clock())
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            await self._socket.send(piece.ljust(size, b"\0"))

    async def ask(self, speech: Speech) -> Turn:
        """Say it from now on, and listen to the end of the answer."""
        self._waiting = speech.pcm
        said = self._begin + (self._sent + len(speech.pcm)) / 2 / speech.rate
        turn = Turn(said, Player(self._fps))
        await self._listen(turn, None)
        return turn


async def run(url: str, pid: int, sessions: int, turns: int, speeches: Sequence[Speech]) -> Outcome:
    """Let them talk side by side."""
    before, own, began = cpu_seconds(pid), time.process_time(), time.monotonic()
    found = await asyncio.gather(*(_converse(url, number, turns, speeches) for number in range(sessions)))
    return Outcome(
        list(itertools.chain.from_iterable(found)),
        cpu_seconds(pid) - before,
        time.process_time() - own,
        time.monotonic() - began,
    )


async def _converse(url: str, number: int, turns: int, speeches: Sequence[Speech]) -> list[Turn]:
    await asyncio.sleep(number * SPREAD)
    chance, found = random.Random(number), list[Turn]()
    async with connect(url, compression=None, max_queue=1024) as socket:
        speaker = Speaker(socket, orjson.loads(await socket.recv()))
        await socket.send('{"type":"hello"}')
        microphone = asyncio.create_task(speaker.open_microphone(speeches[0].rate))
        for index in range(number, number + turns):
            await asyncio.sleep(chance.uniform(*PAUSE))
            found.append(await speaker.ask(speeches[index % len(speeches)]))
            if found[-1].failure:
                break
        microphone.cancel()
    return found


def rows(outcome: Outcome, pid: int, excuses: int) -> list[Row]:
    turns = outcome.turns
    first = [turn.arrivals[0] - turn.asked for turn in turns if turn.arrivals]
    unheard = sum(turn.heard == "" for turn in turns)
    return [
        Row("end of speech -> first sound", "s", first),
        Row(f"turns later than {ENOUGH} s", "", [sum(seconds > ENOUGH for seconds in first)]),
        Row("turns without an answer", "", [len(turns) - len(first)]),
        Row("turns whose words were not heard", "", [unheard]),
        Row("excuses", "", [excuses]),
        Row("underruns of the player", "", [sum(turn.player.underruns for turn in turns)]),
        Row("server CPU per turn", "s", [outcome.server / max(1, len(turns))]),
        Row("server CPU, cores", "", [outcome.server / outcome.seconds]),
        Row("clients' CPU, cores", "", [outcome.clients / outcome.seconds]),
        Row("server memory", "MiB", [memory_mib(pid)]),
    ]


def _told(url: str) -> tuple[int, str]:
    """The excuses so far, and the stages, as the server tells it."""
    at = url.replace("ws:", "http:").removesuffix("/ws")
    excuses: int = httpx2.get(f"{at}/health").json()["agent"]["excuses"]
    known = httpx2.get(f"{at}/metrics", headers={"Accept": "application/json"}).json()["stages"]
    figures = (
        f"{name} {stage['calls']} calls, p50 {stage['p50_ms']} p95 {stage['p95_ms']} ms"
        for name, stage in known.items()
        if stage["calls"]
    )
    return excuses, "; ".join(figures)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.brains", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 8], help="one measurement each")
    parser.add_argument("--turns", type=int, default=len(QUESTIONS), help="questions of each conversation")
    parser.add_argument("--excuses", action="store_true", help="let the agent say that it is late")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average before {os.getloadavg()[0]:.1f}\n", flush=True)
    speeches = spoken(QUESTIONS)
    settings = {} if options.excuses else {"VISAVIS_ASSISTANT__EXCUSE_SECONDS": "0"}
    with server("embedded", settings) as ours:
        asyncio.run(run(ours.url, ours.pid, 1, 2, speeches))  # the warm-up is not counted
        for sessions in options.sessions:
            before = _told(ours.url)[0]
            outcome = asyncio.run(run(ours.url, ours.pid, sessions, options.turns, speeches))
            excuses, figures = _told(ours.url)
            print(table(f"{sessions} spoken conversations", rows(outcome, ours.pid, excuses - before)))
            print(f"{figures}\n", flush=True)
            for failure in sorted({turn.failure for turn in outcome.turns if turn.failure}):
                print(f"failed: {failure}\n", flush=True)


if __name__ == "__main__":
    main()
