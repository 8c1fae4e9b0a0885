"""A real server that is told to stop while people talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path
from typing import Any

from tests.ops.asking import get, post
from tests.process import Server, server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TALKERS = 50
SHORT = {"AGENT_TYPE": "scripted", "VISAVIS_SCRIPTED__SECONDS": "4", "VISAVIS_SCRIPTED__SPEED": "20"}
ENOUGH = SHORT | {"VISAVIS_SERVER__DRAIN_SECONDS": "600"}
LONG = SHORT | {"VISAVIS_SCRIPTED__SECONDS": "60", "VISAVIS_SERVER__DRAIN_SECONDS": "1"}
PATIENT = LONG | {"VISAVIS_SERVER__DRAIN_SECONDS": "600"}


class Talker:
    """Asks something and takes what comes until the connection is closed."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.log: list[dict[str, Any]] = []
        self.frames = 0
        self.speaking = asyncio.Event()
        self.code: int | None = None

    async def run(self) -> None:
        await self._socket.send(json.dumps({"type": "text", "data": "hello"}))
        try:
            async for raw in self._socket:
                if '"sync_frame"' in str(raw[:60]):  # there are thousands
                    self.frames += 1
                    self.speaking.set()
                else:
                    self.log.append(json.loads(raw))
        except ConnectionClosed:
            pass
        self.code = self._socket.close_code

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.log]


async def talk(running: Server, stop: Any) -> list[Talker]:
    """Everybody speaks when `stop` is called; they are heard to their end."""
    async with contextlib.AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(running.ws, max_size=None)) for _ in range(TALKERS)
        ]
        talkers = [Talker(socket) for socket in sockets]
        async with asyncio.TaskGroup() as tasks:
            for talker in talkers:
                tasks.create_task(talker.run())
            for talker in talkers:
                await asyncio.wait_for(talker.speaking.wait(), 60)
            await stop()
    return talkers


def test_every_turn_is_spoken_to_its_end_and_nobody_new_is_let_in(tmp_path: Path) -> None:
    refused: list[Any] = []

    with server(tmp_path, **ENOUGH) as running:

        async def stop() -> None:
            running.process.send_signal(signal.SIGTERM)
            await until(lambda: get(f"{running.http}/ready")[0] == 503)
            refused.append(get(f"{running.http}/ready"))
            refused.append(get(f"{running.http}/health"))
            refused.append(post(f"{running.http}/api/v1/sessions", {}))
            async with connect(running.ws) as late:
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await late.recv()
                refused.append(late.close_code)

        talkers = asyncio.run(talk(running, stop))
        assert running.process.wait(60) == 0
    ready, health, created, late = refused
    assert (ready[0], json.loads(ready[2])["reason"], ready[1]["Retry-After"]) == (503, "stopping", "30")
    assert health[0] == 200
    assert (created[0], json.loads(created[2])["code"]) == (503, "SERVER_STOPPING")
    assert created[1]["Retry-After"] == "30"
    assert late == 1013
    for talker in talkers:
        assert talker.code == 1012
        assert talker.frames == 120
        assert talker.kinds.index("error") < talker.kinds.index("audio_end")
        assert [m["code"] for m in talker.log if m["type"] == "error"] == ["SERVER_STOPPING"]
        done = next(m for m in talker.log if m["type"] == "transcript_done" and m["role"] == "assistant")
        assert (done["text"], "interrupted" in done) == (" ".join(f"word{n}" for n in range(1, 11)), False)


def test_what_takes_longer_is_handed_over_when_the_time_is_up(tmp_path: Path) -> None:
    with server(tmp_path, **LONG) as running:

        async def stop() -> None:
            running.process.send_signal(signal.SIGTERM)

        talkers = asyncio.run(talk(running, stop))
        assert running.process.wait(60) == 0
    for talker in talkers:
        assert talker.code == 1012
        assert "audio_end" not in talker.kinds


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with server(tmp_path, **PATIENT) as running:

        async def stop() -> None:
            running.process.send_signal(signal.SIGTERM)
            await until(lambda: get(f"{running.http}/ready")[0] == 503)
            running.process.send_signal(signal.SIGTERM)

        talkers = asyncio.run(talk(running, stop))
        assert running.process.wait(60) == 0
    assert all("audio_end" not in talker.kinds for talker in talkers)


def test_without_anybody_ctrl_c_stops_it_at_once(tmp_path: Path) -> None:
    with server(tmp_path, **PATIENT) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0


async def until(true: Any) -> None:
    """Wait for something that a server does soon; the time is no part of the test."""
    end = time.monotonic() + 60
    while not await asyncio.to_thread(true):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
