"""The dialect of frames against a real server process."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import simplejpeg
from tests.process import Server, server
from tests.server.test_api import FRAMES, SECONDS, tone, wav
from websockets.asyncio.client import ClientConnection, connect

WAIT = 20.0
Log = list[dict[str, Any]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": str(SECONDS),
        "VISAVIS_SCRIPTED__SPEED": "20",
        "VISAVIS_SERVER__MAX_SESSIONS": "2",
    }
    with server(tmp_path_factory.mktemp("frames"), **settings) as started:
        yield started


def talk(running: Server, script: Callable[[ClientConnection, Log], Coroutine[Any, Any, None]]) -> Log:
    async def main() -> Log:
        log: Log = []
        async with connect(f"ws://127.0.0.1:{running.port}", max_size=None) as socket:
            await script(socket, log)
        return log

    return asyncio.run(main())


async def until(socket: ClientConnection, log: Log, type: str) -> None:
    while not log or log[-1]["type"] != type:
        log.append(json.loads(await asyncio.wait_for(socket.recv(), WAIT)))


def of(log: Log, type: str) -> Log:
    return [message for message in log if message["type"] == type]


def test_a_question_is_answered_in_pictures_and_sound(running: Server) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        await socket.send('{"type": "text_input", "text": "Hello, who is Newton?"}')
        await until(socket, log, "stream_end")

    log = talk(running, script)
    assert [message["type"] for message in log] == [
        "connection_established",
        "stream_start",
        *["frame"] * FRAMES,
        "stream_end",
    ]
    frames = of(log, "frame")
    assert [frame["frame_index"] for frame in frames] == list(range(FRAMES))
    assert {frame["sequence_id"] for frame in log[1:]} == {log[1]["sequence_id"]}
    pictures = [simplejpeg.decode_jpeg(base64.b64decode(frame["frame_data"])) for frame in frames]
    assert {picture.shape for picture in pictures} == {(480, 640, 3)}
    assert any(np.any(a != b) for a, b in pairwise(pictures))
    sounds = [base64.b64decode(frame["audio_data"]) for frame in frames]
    assert all(bool(sound) == (k % 5 == 0) for k, sound in enumerate(sounds))
    assert len(b"".join(sounds)) == FRAMES * 640 * 2
    assert log[-1]["total_frames"] == FRAMES
    assert log[-1]["interrupted"] is False


@pytest.mark.parametrize("content", [wav(tone()), tone()], ids=["WAV", "PCM16"])
def test_a_recording_is_answered(running: Server, content: bytes) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        await socket.send(json.dumps({"type": "audio_input", "audio": base64.b64encode(content).decode()}))
        await until(socket, log, "stream_end")

    assert len(of(talk(running, script), "frame")) == FRAMES


def test_what_safari_records_is_not_taken_for_pcm(running: Server) -> None:
    broken = base64.b64encode(b"\0\0\0\x18ftypmp42" + bytes(8_000)).decode()

    async def script(socket: ClientConnection, log: Log) -> None:
        await socket.send(json.dumps({"type": "audio_input", "audio": broken}))
        await until(socket, log, "error")

    assert talk(running, script)[-1]["code"] == "NOT_MEDIA"


def test_a_stream_can_be_stopped(running: Server) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        await socket.send('{"type": "text_input", "text": "Hello"}')
        await until(socket, log, "frame")
        await socket.send('{"type": "interrupt"}')
        await until(socket, log, "stream_end")
        log.append({"type": ""})
        await socket.send('{"type": "ping"}')
        await until(socket, log, "pong")

    log = talk(running, script)
    end = next(message for message in log if message.get("type") == "stream_end")
    assert end["interrupted"] is True
    assert end["total_frames"] < FRAMES
    assert [message["type"] for message in log[log.index({"type": ""}) + 1 :]] == ["pong"]


def test_what_is_wrong_is_told_once_and_the_connection_stays(running: Server) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        noise = base64.b64encode(b"RIFF this is no recording").decode()
        for bad in ("{", '{"type": "sing"}', json.dumps({"type": "audio_input", "audio": noise})):
            await socket.send(bad)
            await until(socket, log, "error")
            log.append({"type": ""})
        await socket.send('{"type": "ping"}')
        await until(socket, log, "pong")

    errors = of(talk(running, script), "error")
    assert [error["code"] for error in errors] == ["BAD_JSON", "UNKNOWN_TYPE", "NOT_MEDIA"]
    assert all(error["timestamp"].endswith("Z") for error in errors)


def test_a_full_server_says_so(running: Server) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        await until(socket, log, "connection_established")
        async with connect(f"ws://127.0.0.1:{running.port}") as second:
            await until(second, [], "connection_established")
            async with connect(f"ws://127.0.0.1:{running.port}") as third:
                await until(third, log, "error")
                await third.wait_closed()
                assert third.close_code == 1013

    assert of(talk(running, script), "error")[0]["code"] == "SERVER_FULL"


def test_another_face_and_one_that_is_none(running: Server) -> None:
    async def first(query: str) -> dict[str, Any]:
        async with connect(f"ws://127.0.0.1:{running.port}/?avatar={query}") as socket:
            message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), WAIT))
            return message

    assert asyncio.run(first("kenji"))["type"] == "connection_established"
    for bad in ("nobody", "../mia/mia.glb"):
        assert asyncio.run(first(bad))["code"] == "BAD_AVATAR"
