"""Many conversations for a long time, with random faults; nothing may be lost, crossed or left behind.

    python -m bench.soak --sessions 50 --minutes 60

It starts a server of its own with an agent whose every sample is known (bench/marked.py). Each client asks,
listens, and now and then interrupts, floods, sends nonsense, reads slowly, is cut off in the middle of an
answer and comes back for the rest, or leaves. The faults follow from `--seed`. Checked are

- samples: what is heard of an answer is what the agent made, to its end or up to the interruption;
- sessions: every message of a connection is of its own session, and sound and text of its own questions;
- leaks: what the server holds does not grow while they talk, and when all have left it is what it was before
  (bench/leaks.py says what counts as flat).

A machine that is too busy notices late that a line was cut, and goes by its schedule until then: cuts around
which somebody who only asks whether the server is there had to wait for an answer (bench/pulse.py) are
counted, and not judged; so are those who are turned away meanwhile.
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
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench import leaks, marked
from bench.leaks import Holding
from bench.process import server
from bench.pulse import Pulse
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
PAUSE = (0.0, 5.0)
"""Seconds until somebody asks again."""
AHEAD = 6
"""Frames that have come and are not heard yet: they are sent 200 ms ahead, or more."""
NOTICED = 1.0
"""Seconds after which a server that is not late has noticed that a line was cut."""
WARM_UP = 1 / 30
"""Share of the time for which they talk before, so that what is made once is there, and pools are full."""
LINE: dict[str, Any] = {"compression": None, "max_size": None, "max_queue": 256, "open_timeout": PATIENCE}
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
    unended: int = 0
    """Answers that were all heard, whose end was under way when the line was cut."""
    late: int = 0
    """Lines that were cut, or too slow, while the server was late: not judged."""
    faults: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Of errors that clients were told."""


class Client:
    """One person, who comes again and again."""

    def __init__(self, url: str, number: int, seed: int, found: Found, pulse: Pulse) -> None:
        self._url, self._name, self._found, self._pulse = url, f"client-{number}", found, pulse
        self._luck = random.Random(f"{seed}/{number}")
        self._asked = 0
        self._session = self._resume = ""

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            try:
                async with connect(self._url, **LINE) as socket:
                    await self._greet(socket, "")
                    await self._talk(socket, until)
            except (OSError, WebSocketException) as failure:
                self._found.unanswered += 1
                print(f"{self._name}: {failure!r}", flush=True)

    async def _talk(self, socket: ClientConnection, until: float) -> None:
        while time.monotonic() < until and (fault := self._luck.choice(FAULTS)) != "leave":
            self._found.faults[fault] += 1
            if not await self._ask(socket, fault):
                break
            await asyncio.sleep(self._luck.uniform(*PAUSE))

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
        asked = time.monotonic()
        try:
            await self._listen(socket, answer, fault, moment)
            if not answer.over and fault == "cut":
                socket.transport.abort()
                answer.cut = time.monotonic()
                await asyncio.sleep(self._luck.uniform(0, RESUME_SECONDS / 2))
                async with connect(self._url, **LINE) as again:
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
            if answer.cut and isinstance(failure, TimeoutError) and answer.whole:
                self._found.unended += 1
                self._judge(answer, fault)
                return False
            slow = isinstance(failure, ConnectionClosed) and failure.rcvd and failure.rcvd.code == 1013
            if self._late(answer) or (slow and self._pulse.late(asked, time.monotonic())):
                self._found.late += 1
                return False
            self._found.unanswered += 1
            had = f"{len(answer.frames)} frames, turn {answer.turn}, {time.monotonic() - answer.cut:.1f} s"
            print(f"{question}: {fault}: {failure!r}, {had}", flush=True)
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
        answer.reported = time.monotonic()
        while not answer.over and (message := await self._next(socket))["type"] != "pong":
            answer.take(message)

    def _late(self, answer: Answer) -> bool:
        """Whether the line was cut while the server was late."""
        return answer.cut > 0 and self._pulse.late(answer.reported, answer.cut + NOTICED)

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
        lost = marked.lost(answer.frames, answer.question, whole=not answer.interrupted)
        if lost and self._late(answer):
            found.late += 1
            return
        found.answers += 1
        found.interrupted += answer.interrupted
        found.samples += sum(len(sound) // 2 for sound in answer.frames.values())
        if lost:
            found.lost += lost
            had = sorted(answer.frames)
            gaps = [(one, two) for one, two in pairwise(had) if two != one + 1]
            print(
                f"{answer.question}: {fault}: {lost} samples lost, frames {had[:1]}..{had[-1:]}, gaps {gaps}",
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
        self.reported = self.cut = 0.0
        """When the client told how far it was, and when its line was cut."""
        self.turn = ""

    @property
    def whole(self) -> bool:
        """Whether every sample has come."""
        return marked.lost(self.frames, self.question) == 0

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


async def soak(
    url: str, pid: int, sessions: int, minutes: float, seed: int
) -> tuple[Found, list[Row], list[str]]:
    """All that was found, what the server held, and what of it is wrong."""
    pulse = Pulse()

    async def talk(seed: int, minutes: float) -> Found:
        found, until = Found(), time.monotonic() + minutes * 60
        people = (Client(url, number, seed, found, pulse).run(until) for number in range(sessions))
        await asyncio.gather(*people)
        await asyncio.sleep(RESUME_SECONDS + 2)
        return found

    at = url.replace("ws:", "http:").removesuffix("/ws")
    async with httpx2.AsyncClient(base_url=at, timeout=PATIENCE, headers={"Connection": "close"}) as http:
        holding = Holding(http, pid)
        feeling = asyncio.create_task(pulse.feel(url))
        await talk(seed + 1, minutes * WARM_UP)
        before, blocks = await holding.now(), await holding.blocks()
        watching = asyncio.create_task(holding.watch())
        found = await talk(seed, minutes)
        watching.cancel()
        after, more = await holding.now(), await holding.blocks() - blocks
        feeling.cancel()
    rows = leaks.rows(holding.samples, before, after, more)
    wrong = leaks.left(holding.samples, before, after, more, found.answers, minutes)
    return found, [Row("a ping's answer", "s", list(pulse.waits)), *rows], wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with server("bench.marked:load", SETTINGS) as ours:
        found, process, wrong = asyncio.run(
            soak(ours.url, ours.pid, options.sessions, options.minutes, options.seed)
        )
    rows = [
        Row("answers", "", [found.answers]),
        Row("of them interrupted", "", [found.interrupted]),
        Row("sound heard", "h", [found.samples / marked.MEDIA.rate / 3600]),
        Row("samples lost or wrong", "", [found.lost]),
        Row("messages of another session", "", [found.crossed]),
        Row("questions without an answer", "", [found.unanswered]),
        Row("ends of answers that were cut, all of them heard", "", [found.unended]),
        Row("turned away, the server was full", "", [found.turned_away]),
        Row("lines that a busy machine noticed or served late, not judged", "", [found.late]),
        *process,
    ]
    print(table(f"{options.sessions} sessions, {options.minutes:g} minutes, seed {options.seed}", rows))
    print("faults:", dict(found.faults), "errors told:", dict(found.codes))
    if found.lost or found.crossed or found.unanswered or wrong:
        raise SystemExit("; ".join(["something was lost, crossed or left behind", *wrong]))


if __name__ == "__main__":
    main()
