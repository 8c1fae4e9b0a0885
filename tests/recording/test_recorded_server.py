"""A real server with the embedded agent, real sockets: what it recorded is replayed byte by byte."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from pathlib import Path
from typing import Any

import httpx2
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


# -- the other dialects ------------------------------------------------------------------------------------
WORD = "porcupine"
SOUND = np.random.default_rng(0).integers(-3000, 3000, 8000).astype("<i2").tobytes()


def api(http: httpx2.Client) -> str:
    """Text, sound, a reply as a whole, an interruption; returns the session's id."""
    session = http.post("/api/v1/sessions", json={"record": True, "output": "weights"}).json()
    assert session["recorded"] is True
    one = f"/api/v1/sessions/{session['session_id']}"
    assert http.post(f"{one}/text", params={"wait": True}, json={"text": WORD}).json()["weights"]
    sound = {"Content-Type": "audio/pcm;rate=16000"}
    assert http.post(f"{one}/audio", content=SOUND, headers=sound).status_code == 202

    async def talk() -> None:
        async with connect(session["ws_url"], max_size=None) as socket:
            await socket.send(json.dumps({"type": "text_message", "data": f"a long {WORD} " * 40}))
            await until(socket, "audio_response")
            await socket.send(json.dumps({"type": "interrupt"}))
            await until(socket, "text_response")
            await socket.send(json.dumps({"type": "text_message", "data": "short"}))
            await until(socket, "transcript")
            await until(socket, "audio_response")

    asyncio.run(talk())
    assert http.delete(one).status_code == 204
    return str(session["session_id"])


def frames(running: Server) -> str:
    async def talk() -> str:
        async with connect(f"ws://127.0.0.1:{running.port}/?record=true", max_size=None) as socket:
            begun = await until(socket, "connection_established")
            assert begun["config"]["recorded"] is True
            await socket.send(json.dumps({"type": "text_input", "text": WORD}))
            await until(socket, "stream_end")
            sound = base64.b64encode(SOUND).decode()
            await socket.send(json.dumps({"type": "audio_input", "audio": sound}))
        return str(begun["session_id"])

    return asyncio.run(talk())


def page(http: httpx2.Client) -> str:
    begun = http.post("/api/session", json={"record": True}).json()
    assert begun["recorded"] is True
    said = {"sessionId": begun["sessionId"], "text": WORD}
    assert http.post("/api/muse/start", json=said).json()["mode"] == "file"
    return str(begun["sessionId"])


def unrecorded(http: httpx2.Client) -> None:
    """Sessions that nobody agreed to have recorded, or not any more."""
    assert http.post("/api/session").json().keys() == {"sessionId"}
    silent = http.post("/api/v1/sessions", json={}).json()
    assert silent["recorded"] is False
    session = http.post("/api/v1/sessions", json={"record": True}).json()
    one = f"/api/v1/sessions/{session['session_id']}"
    assert http.patch(one, json={"record": False}).json()["recorded"] is False
    assert http.post(f"{one}/text", params={"wait": True}, json={"text": WORD}).json()["weights"]


def test_sessions_of_the_other_dialects_are_recorded_when_they_ask_for_it(tmp_path: Path) -> None:
    settings = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "VISAVIS_RECORDING__FOLDER": str(tmp_path / "recordings"),
        "VISAVIS_STAGES__ASR": "tests.server.light:Ears",
        "VISAVIS_STAGES__LLM": "tests.server.light:Echo",
        "VISAVIS_STAGES__TTS": "tests.server.light:Hum",
        "VISAVIS_FACE__ENGINE": "energy",
        "VISAVIS_MUSE__MODE": "file",
        "VISAVIS_VIDEO__WIDTH": "160",
        "VISAVIS_VIDEO__HEIGHT": "120",
    }
    with server(tmp_path, **settings) as running, httpx2.Client(base_url=running.http, timeout=60) as http:
        talks = {"api": api(http), "frames": frames(running), "page": page(http)}
        unrecorded(http)
    recordings = (tmp_path / "recordings").glob(f"*{ENDING}")
    files = {file.name.split("-", 1)[1].removesuffix(ENDING): file for file in recordings}
    assert files.keys() == set(talks.values())
    for dialect, id in talks.items():
        outcome = replay(files[id], Settings())
        assert [(found.at, found.recorded, found.replayed) for found in outcome.differences] == []
        text = gzip.decompress(files[id].read_bytes()).decode()
        header, *lines = [json.loads(line) for line in text.splitlines()]
        assert header["dialect"] == dialect
        assert [line for line in lines if line.get("event") == "Frames"]
        assert WORD in text
