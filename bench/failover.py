"""A server that is killed with people on it: how long until they hear the rest, and what is lost.

    python -m bench.failover --talkers 50

Two servers share a Redis of their own and speak with an agent whose every sample is known (bench/marked.py).
All talkers are at the first, half of them as widgets, half as sessions of the api; in the middle of their
answers it is killed. Each comes back, as the JavaScript client does, to the second one, and listens to the
end. Shown are

- resumed: from the kill to the first message with something new of the answer;
- lost: samples of the answers that never came, or are not what the agent made;
- again: frames that came a second time; each has its number, and a player that has it plays it once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bench import marked
from bench.process import server
from bench.report import Row, table

SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    "AGENT_TYPE": "bench.marked:load",
    "AUTH_SECRET_KEY": "k" * 32,
    "VISAVIS_FACE__ENGINE": "energy",
    "VISAVIS_LOGS__LEVEL": "error",
    "VISAVIS_SCRIPTED__SPEED": "8",
    "VISAVIS_VIDEO__FPS": "30",
}
HELD = 9
"""Frames that a player has and has not played yet."""
PATIENCE = 60.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between attempts to connect, at most: those of the JavaScript client."""


@dataclass
class Talker:
    """Asks once and listens to the end, wherever the rest comes from. `places`: servers, `http://host:port`."""

    name: str
    places: Sequence[str]
    seconds: float = 8.0
    kind: Literal["widget", "api"] = "widget"
    headers: dict[str, str] = field(default_factory=dict)
    frames: dict[int, bytes] = field(default_factory=dict)
    again: int = 0
    new: asyncio.Event = field(default_factory=asyncio.Event)
    """Something of the answer that was not there before has come; cleared by whoever waits for it."""
    at: float = 0.0
    """When something new came last after a connection was lost."""
    over: bool = False
    session: str = ""
    codes: list[int | None] = field(default_factory=list)
    """With which its connections were closed."""
    resume: str = ""
    """The token that brings a widget back."""
    line: ClientConnection | None = None

    @property
    def question(self) -> str:
        return f"{self.name} {self.seconds:.2f}"

    @property
    def lost(self) -> int:
        """Samples."""
        return marked.lost(self.frames, self.question)

    async def run(self) -> None:
        place, attempt = self.places[0], 0
        if self.kind == "api":
            await self._begin(place)
        while not self.over:
            try:
                await self._listen(place)
                attempt = 0
            except (OSError, TimeoutError, WebSocketException):
                attempt += 1
            if not self.over:
                place = self.places[(self.places.index(place) + 1) % len(self.places)]
                await asyncio.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1))

    async def _begin(self, place: str) -> None:
        async with httpx2.AsyncClient(headers=self.headers, timeout=PATIENCE) as client:
            answer = await client.post(f"{place}/api/v1/sessions", json={"output": "weights"})
            self.session = answer.raise_for_status().json()["session_id"]

    async def _listen(self, place: str) -> None:
        path = "/ws" if self.kind == "widget" else f"/api/v1/sessions/{self.session}/ws"
        url, first = place.replace("http", "ws", 1) + path, not self.frames
        async with connect(
            url, compression=None, max_size=None, additional_headers=self.headers, open_timeout=PATIENCE
        ) as line:
            self.line = line
            try:
                if self.kind == "widget":
                    await self._greet(line)
                if first:
                    kind = "text" if self.kind == "widget" else "text_message"
                    await _send(line, type=kind, data=self.question)
                while not self.over:
                    self._take(await _next(line), line)
                    if len(self.frames) % 3 == 0 and self.kind == "widget" and len(self.frames) > HELD:
                        heard = max(self.frames) - HELD
                        await _send(line, type="playback", turnId="turn_1", frameIndex=heard)
            finally:
                if not self.over:
                    line.transport.abort()
                self.codes.append(line.close_code)

    async def _greet(self, line: ClientConnection) -> None:
        config = await _next(line)
        await _send(line, type="hello", **({"resume": self.resume} if self.resume else {}))
        while self.resume and not config.get("resumed"):
            config = await _next(line)
            assert config.get("code") != "RESUME_EXPIRED", "the conversation is over"
        self.session, self.resume = config["sessionId"], config["resume"]

    def _take(self, message: dict[str, Any], line: ClientConnection) -> None:
        match message["type"]:
            case "sync_frame":
                self._hear(message["frameIndex"], message["audio"])
            case "audio_response":
                self._hear(message["frame_id"], message["data"])
            case "transcript_done" if message["role"] == "assistant":
                self._end()
            case "text_response" if message["is_final"]:
                self._end()

    def _hear(self, frame: int, sound: str) -> None:
        if frame in self.frames:
            self.again += 1
            return
        self.frames[frame] = base64.b64decode(sound)
        self.at = time.monotonic()
        self.new.set()

    def _end(self) -> None:
        self.over = True
        self.new.set()


async def _send(line: ClientConnection, **message: Any) -> None:
    await line.send(orjson.dumps(message).decode())


async def _next(line: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(await asyncio.wait_for(line.recv(), PATIENCE))
    return message


async def killed(
    talkers: Sequence[Talker], pid: int, frames: int = 60, told: Callable[[], Awaitable[None]] | None = None
) -> list[float]:
    """Let all talk, kill the process `pid` when each has so many frames, and let them listen to the end;
    seconds until each that was not at its end heard something new. `told`: what is waited for before."""
    async with asyncio.TaskGroup() as tasks:
        for talker in talkers:
            tasks.create_task(talker.run())
        async with asyncio.timeout(PATIENCE):
            for talker in talkers:
                while len(talker.frames) < frames:
                    talker.new.clear()
                    await talker.new.wait()
            if told is not None:
                await told()
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.sleep(0.2)  # what was under way has come
        cut = [talker for talker in talkers if not talker.over]
        for talker in cut:
            talker.new.clear()

        async def resumed(talker: Talker) -> float:
            await talker.new.wait()
            return talker.at - began

        async with asyncio.timeout(PATIENCE):
            return list(await asyncio.gather(*map(resumed, cut)))


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis of its own; gives its address."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed")
    path = folder / "redis.sock"
    with subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(path), "--save", ""], stdout=subprocess.DEVNULL
    ) as process:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                while line.connect_ex(str(path)):
                    time.sleep(0.01)
            yield f"unix://{path}"
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--talkers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each answer")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="visavis-") as folder, redis(Path(folder)) as url:
        settings = SETTINGS | {"VISAVIS_REDIS_URL": url}
        with server("bench.marked:load", settings) as first, server("bench.marked:load", settings) as second:
            kinds: tuple[Literal["widget", "api"], ...] = ("widget", "api")
            places = [each.url.removesuffix("/ws").replace("ws", "http", 1) for each in (first, second)]
            talkers = [
                Talker(f"talker-{number}", places, given.seconds, kinds[number % 2])
                for number in range(given.talkers)
            ]
            waited = asyncio.run(killed(talkers, first.pid))
    rows = [
        Row("resumed", "s", waited),
        Row("samples lost", "", [sum(talker.lost for talker in talkers)]),
        Row("frames that came again", "", [talker.again for talker in talkers]),
    ]
    print(table(f"A server is killed with {len(talkers)} talkers on it", rows))


if __name__ == "__main__":
    main()
