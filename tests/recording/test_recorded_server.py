"""A real server with the embedded agent, real sockets: what it recorded is replayed byte by byte."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.process import Server, server
from websockets.asyncio.client import ClientConnection, connect

from visavis.recording import ENDING
from visavis.recording.replay import replay
from visavis.settings import Settings

WAIT = 30.0


async def until(socket: ClientConnection, type: str) -> dict[str, Any]:
    """The next message of a type."""
    async with asyncio.timeout(WAIT):
        while True:
            said = await socket.recv()
            if isinstance(said, str) and (message := json.loads(said))["type"] == type:
                return dict(message)


async def talk(running: Server) -> str:
    """Text, an interruption, a line that is cut, sound; returns the session's id."""
    async with connect(running.ws, max_size=None) as socket:
        config = await until(socket, "config")
        assert config["recorded"] is True
        await socket.send(json.dumps({"type": "hello", "encoding": "binary"}))
        await socket.send(json.dumps({"type": "text", "data": "a short answer"}))
        await until(socket, "audio_end")
        await socket.send(json.dumps({"type": "text", "data": "a long answer " * 20}))
        await until(socket, "transcript_delta")
        await socket.send(json.dumps({"type": "interrupt"}))
        await until(socket, "interrupt")
        await socket.send(json.dumps({"type": "text", "data": "another long answer " * 10}))
        await until(socket, "transcript_delta")
        socket.transport.abort()
    async with connect(running.ws, max_size=None) as socket:
        await socket.send(json.dumps({"type": "hello", "resume": config["resume"]}))
        await until(socket, "sync_frame")
        await socket.send(json.dumps({"type": "interrupt"}))
        await socket.send(json.dumps({"type": "audio_stream_start", "sampleRate": 48_000}))
        noise = np.random.default_rng(0).integers(-3000, 3000, 4800)
        for _ in range(10):
            await socket.send(noise.astype("<i2").tobytes())
        await socket.send(json.dumps({"type": "audio_stream_end"}))
        await socket.send(json.dumps({"type": "text", "data": "last words"}))
        await until(socket, "audio_start")
        await until(socket, "transcript_done")
    return str(config["sessionId"])


async def begin(running: Server, folder: Path) -> str:
    """A talk that is not ended before something of it is on the disk."""
    async with connect(running.ws, max_size=None) as socket:
        id = str((await until(socket, "config"))["sessionId"])
        await socket.send(json.dumps({"type": "text", "data": "a long answer " * 20}))
        async with asyncio.timeout(WAIT):
            while not any(file.stat().st_size > 10_000 for file in folder.glob(f"*{id}{ENDING}")):
                await until(socket, "sync_frame")
        running.process.kill()
    return id


def test_what_a_server_recorded_is_replayed(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    settings = {
        "PYTHONPATH": root,
        "VISAVIS_RECORDING__FOLDER": str(tmp_path / "recordings"),
        "VISAVIS_STAGES__ASR": "tests.server.light:Ears",
        "VISAVIS_STAGES__LLM": "tests.server.light:Echo",
    }
    folder = tmp_path / "recordings"
    with server(tmp_path, **settings) as running:
        whole = asyncio.run(talk(running))
        killed = asyncio.run(begin(running, folder))
    for id, broken_off in ((whole, False), (killed, True)):
        (file,) = folder.glob(f"*{id}{ENDING}")
        outcome = replay(file, Settings())
        assert [(found.at, found.recorded, found.replayed) for found in outcome.differences] == []
        assert (outcome.broken_off, outcome.worst) == (broken_off, 0.0)
        assert outcome.outputs > 10
