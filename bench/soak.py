"""Many conversations for a long time, with random faults; nothing may be lost, crossed or left behind.

    python -m bench.soak --sessions 50 --minutes 60

It starts a server of its own with an agent whose every sample is known (bench/marked.py). Each client asks,
listens, and now and then interrupts, floods, sends nonsense, reads slowly, is cut off in the middle of an
answer and comes back for the rest, or leaves. The faults follow from `--seed`. Checked are

- samples: what is heard of an answer is what the agent made, to its end or up to the interruption;
- sessions: every message of a connection is of its own session, and sound and text of its own questions;
- leaks: when all have left, the server has as many files and threads as before; its memory does not grow
  in the second half, when there is enough of it to tell.

A machine that is too busy notices late that a line was cut, and goes by its schedule until then: cuts before
which it took longer than `PROMPT` to answer a ping are counted, and not judged.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench import marked
from bench.process import descriptors, memory_mib, server
from bench.report import Row, table

RESUME_SECONDS = 10.0
SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    "VISAVIS_FACE__ENGINE": "energy",
    "VISAVIS_SCRIPTED__SPEED": "2",
    "VISAVIS_SERVER__MAX_SESSIONS": "1000",
    "VISAVIS_SERVER__RESUME_SECONDS": str(RESUME_SECONDS),
    "VISAVIS_LOGS__LEVEL": "error",
}
FAULTS = ("none", "none", "none", "interrupt", "cut", "leave", "nonsense", "flood", "doze")
PATIENCE = 60.0
"""Seconds without a message in which an answer is given up."""
AHEAD = 6
"""Frames that have come and are not heard yet: they are sent 200 ms ahead, or more."""
PROMPT = 0.2
"""Seconds in which a server that has the processor it needs answers a ping."""
GROWTH, TELLING_MINUTES = 32.0, 20.0
"""MiB of an hour that memory may grow by, and from how long a run that can be told."""
NONSENSE: tuple[str | bytes, ...] = ("{", "[]", '{"type":"dance"}', b"\0", '{"type":"audio","data":"?"}')


@dataclass
class Found:
    """What all clients saw."""

    answers: int = 0
    interrupted: int = 0
    samples: int = 0
    lost: int = 0
    crossed: int = 0
    unanswered: int = 0
    turned_away: int = 0
    late: int = 0
    """Cuts that are not judged."""
    faults: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Of errors that clients were told."""


class Client:
    """One person, who comes again and again."""

    def __init__(self, url: str, number: int, seed: int, found: Found) -> None:
        self._url, self._name, self._found = url, f"client-{number}", found
        self._luck = random.Random(f"{seed}/{number}")
        self._asked = 0
        self._session = self._resume = ""

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            async with connect(self._url, compression=None, max_size=None, max_queue=256) as socket:
                await self._greet(socket, "")
                while time.monotonic() < until and (fault := self._luck.choice(FAULTS)) != "leave":
                    self._found.faults[fault] += 1
                    if not await self._ask(socket, fault):
                        break

    async def _greet(self, socket: ClientConnection, resume: str) -> None:
        config = await self._next(socket)
        if resume:
            await _send(socket, type="hello", resume=resume)
            while (config := await self._next(socket)).get("resumed") is not True:
                if config.get("code") == "RESUME_EXPIRED":
                    raise TooLate
        self._session, self._resume = config["sessionId"], config["resume"]

    async def _ask(self, socket: ClientConnection, fault: str) -> bool:
        """One question and what becomes of it; False when the connection is gone afterwards."""
        self._asked += 1
        question = f"{self._name}-{self._asked} {self._luck.uniform(0.3, 6):.2f}"
        answer = Answer(question)
        moment = self._luck.randrange(1, 60)
        await _send(socket, type="text", data=question)
        try:
            await self._listen(socket, answer, fault, moment)
            if not answer.over and fault == "cut":
                socket.transport.abort()
                await asyncio.sleep(self._luck.uniform(0, RESUME_SECONDS / 2))
                async with connect(self._url, compression=None, max_size=None, max_queue=256) as again:
                    await self._greet(again, self._resume)
                    await self._listen(again, answer, "none", moment)
                    self._judge(answer, fault)
                return False
        except TooLate:
            self._found.late += 1
            return False
        except (TimeoutError, ConnectionClosed) as failure:
            if (
                isinstance(failure, ConnectionClosed)
                and failure.rcvd is not None
                and "places" in failure.rcvd.reason
            ):
                self._found.turned_away += 1
                await asyncio.sleep(1)
                return False
            self._found.unanswered += 1
            print(f"{question}: {fault}: {failure!r}", flush=True)
            return False
        self._judge(answer, fault)
        return True

    async def _listen(self, socket: ClientConnection, answer: Answer, fault: str, moment: int) -> None:
        """Take messages until the answer is over, or it is time to be cut off."""
        while not answer.over:
            message = await self._next(socket)
            if message["type"] == "error":
                self._found.codes[message["code"]] += 1
            named = message.get("sessionId", self._session)
            self._found.crossed += named != self._session or not answer.take(message)
            if len(answer.frames) >= moment and not answer.disturbed and fault != "none":
                answer.disturbed = True
                if fault == "cut":
                    await self._report(socket, answer)
                    return
                await self._disturb(socket, fault)

    async def _report(self, socket: ClientConnection, answer: Answer) -> None:
        """What was heard; without it a server goes by its schedule, and what was under way would be lost."""
        await _send(
            socket, type="playback", turnId=answer.turn, frameIndex=max(0, max(answer.frames) - AHEAD)
        )
        await _send(socket, type="ping")
        asked = time.monotonic()
        while not answer.over and (message := await self._next(socket))["type"] != "pong":
            answer.take(message)
        answer.judged = time.monotonic() - asked < PROMPT

    async def _disturb(self, socket: ClientConnection, fault: str) -> None:
        match fault:
            case "interrupt":
                await _send(socket, type="interrupt")
            case "nonsense":
                await socket.send(self._luck.choice(NONSENSE))
            case "flood":
                for _ in range(200):
                    await _send(socket, type="ping")
            case "doze":
                await asyncio.sleep(self._luck.uniform(0.2, 1.5))

    async def _next(self, socket: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            message: dict[str, Any] = orjson.loads(await socket.recv())
        return message

    def _judge(self, answer: Answer, fault: str) -> None:
        found = self._found
        if not answer.judged:
            found.late += 1
            return
        found.answers += 1
        found.interrupted += answer.interrupted
        found.samples += sum(len(sound) // 2 for sound in answer.frames.values())
        if lost := marked.lost(answer.frames, answer.question, whole=not answer.interrupted):
            found.lost += lost
            had = sorted(answer.frames)
            print(
                f"{answer.question}: {fault}: {lost} samples lost, {len(had)} frames {had[:1]}..{had[-1:]}",
                flush=True,
            )


class TooLate(Exception):
    """The conversation was over before its client came back."""


class Answer:
    """What was heard of one."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.frames: dict[int, bytes] = {}
        self.over = self.interrupted = self.disturbed = False
        self.judged = True
        self.turn = ""

    def take(self, message: dict[str, Any]) -> bool:
        """False when the message is somebody else's."""
        match message["type"]:
            case "audio_start":
                mine = self.turn in ("", message["turnId"])
                self.turn = message["turnId"]
                return mine
            case "sync_frame":
                sound = base64.b64decode(message["audio"])
                known = self.frames.setdefault(message["frameIndex"], sound)
                return message["turnId"] == self.turn and known == sound
            case "transcript_done" if message["role"] == "user":
                return bool(message["text"] == self.question)
            case "transcript_done":
                self.over, self.interrupted = True, message.get("interrupted", False)
                return bool(message["turnId"] == self.turn)
        return True


async def _send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(orjson.dumps(message).decode())


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def soak(url: str, pid: int, sessions: int, minutes: float, seed: int) -> tuple[Found, list[Row]]:
    """All that was found, and what the server's process held."""
    found = Found()
    await Client(url, -1, seed, Found()).run(time.monotonic() + 2)  # what is made once, is made now
    await asyncio.sleep(RESUME_SECONDS + 2)
    files, before = descriptors(pid), threads(pid)
    until = time.monotonic() + minutes * 60
    memory: list[tuple[float, float]] = []

    async def watch() -> None:
        while True:
            memory.append((time.monotonic(), memory_mib(pid)))
            await asyncio.sleep(5)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(Client(url, number, seed, found).run(until) for number in range(sessions)))
    watching.cancel()
    await asyncio.sleep(RESUME_SECONDS + 2)
    late = np.array(memory[len(memory) // 2 :])
    slope = float(np.polyfit(late[:, 0] / 3600, late[:, 1], 1)[0]) if len(late) > 2 else 0.0
    return found, [
        Row("memory", "MiB", [mib for _, mib in memory]),
        Row("growth of memory in the second half", "MiB/h", [slope]),
        Row("files left", "", [descriptors(pid) - files]),
        Row("threads left", "", [threads(pid) - before]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with server("bench.marked:load", SETTINGS) as ours:
        found, process = asyncio.run(
            soak(ours.url, ours.pid, options.sessions, options.minutes, options.seed)
        )
    rows = [
        Row("answers", "", [found.answers]),
        Row("of them interrupted", "", [found.interrupted]),
        Row("sound heard", "h", [found.samples / marked.MEDIA.rate / 3600]),
        Row("samples lost or wrong", "", [found.lost]),
        Row("messages of another session", "", [found.crossed]),
        Row("questions without an answer", "", [found.unanswered]),
        Row("turned away, the server was full", "", [found.turned_away]),
        Row("cuts that a busy machine noticed late, not judged", "", [found.late]),
        *process,
    ]
    print(table(f"{options.sessions} sessions, {options.minutes:g} minutes, seed {options.seed}", rows))
    print("faults:", dict(found.faults), "errors told:", dict(found.codes))
    left = [row.what for row in process[2:] if row.values[0] > 0]
    growth = process[1].values[0] if options.minutes >= TELLING_MINUTES else 0.0
    if found.lost or found.crossed or found.unanswered or left or growth > GROWTH:
        raise SystemExit("something was lost, crossed or left behind")


if __name__ == "__main__":
    main()
