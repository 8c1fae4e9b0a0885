"""The example of a face engine that draws itself, from its plug-in to the pictures that clients get."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from tests.process import Server, server
from tests.server.test_frames import WAIT, Log, of, talk, until
from websockets.asyncio.client import ClientConnection, connect

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "PYTHONPATH": str(EXAMPLES),
        "VISAVIS_FACE": "picture_face:load",
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": "3",
        "VISAVIS_SCRIPTED__SPEED": "20",
    }
    with server(tmp_path_factory.mktemp("picture"), **settings) as started:
        yield started


def picture(jpeg: bytes) -> NDArray[np.uint8]:
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg)
    assert decoded.shape == (480, 640, 3)
    return decoded


def bar(shown: NDArray[np.uint8]) -> int:
    """How long it is, in pixels of 640."""
    return int((shown[240, :, 1] > 150).sum())


def test_every_picture_shows_the_sound_of_its_frame(running: Server) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        await socket.send('{"type": "text_input", "text": "Hello"}')
        await until(socket, log, "stream_end")

    frames = of(talk(running, script), "frame")
    sound = b"".join(base64.b64decode(frame["audio_data"]) for frame in frames)
    samples = np.frombuffer(sound, "<i2").astype(np.float32).reshape(-1, 640) / 32_768
    loud = np.sqrt((samples**2).mean(axis=1)) / 0.25
    found = np.array([bar(picture(base64.b64decode(frame["frame_data"]))) for frame in frames])
    assert len(frames) == len(loud) == 75
    np.testing.assert_allclose(found, 640 * np.clip(loud, 0, 1), atol=6)
    assert np.ptp(found) > 100, "the murmur swells and fades"


def test_an_interrupted_reply_stops_and_the_next_begins_with_its_own_pictures(running: Server) -> None:
    async def script(socket: ClientConnection, log: Log) -> None:
        for _ in range(2):
            await socket.send('{"type": "text_input", "text": "Hello"}')
            await until(socket, log, "frame")
            await socket.send('{"type": "interrupt"}')
            await until(socket, log, "stream_end")

    log = talk(running, script)
    assert [end["interrupted"] for end in of(log, "stream_end")] == [True, True]
    first, second = (start["sequence_id"] for start in of(log, "stream_start"))
    both = [
        [frame for frame in of(log, "frame") if frame["sequence_id"] == sequence]
        for sequence in (first, second)
    ]
    assert [frame["frame_index"] for frame in both[1]] == list(range(len(both[1])))
    for one, other in zip(*both, strict=False):
        assert bar(picture(base64.b64decode(one["frame_data"]))) == bar(
            picture(base64.b64decode(other["frame_data"]))
        )


def test_between_turns_the_stream_shows_the_idle_picture(running: Server) -> None:
    with httpx2.Client(base_url=running.http, timeout=WAIT) as client:
        session = client.post("/api/v1/sessions", json={}).json()["session_id"]
        content = bytearray()
        with client.stream("GET", f"/api/v1/sessions/{session}/avatar", params={"format": "mjpeg"}) as stream:
            assert stream.status_code == 200
            for piece in stream.iter_bytes():
                content += piece
                if content.count(b"\xff\xd9\r\n") > 10:
                    break
    begin = content.index(b"\xff\xd8")
    shown = picture(bytes(content[begin : content.index(b"\xff\xd9", begin) + 2]))
    assert bar(shown) == 0
    assert (shown[420, :, 0] > 150).sum() == pytest.approx(40, abs=6), "the mark that wanders"


def test_a_client_that_draws_itself_gets_weights_and_no_pictures(running: Server) -> None:
    async def main() -> list[dict[str, Any]]:
        async with connect(running.ws) as socket:
            await socket.send(json.dumps({"type": "text", "data": "Hello", "userId": "me"}))
            messages: list[dict[str, Any]] = []
            while not messages or messages[-1]["type"] != "audio_end":
                messages.append(json.loads(await asyncio.wait_for(socket.recv(), WAIT)))
            return messages

    frames = [message for message in asyncio.run(main()) if message["type"] == "sync_frame"]
    assert len(frames) == 90
    assert all(set(frame) == set(frames[0]) for frame in frames)
    assert all(len(frame["weights"]) == 52 for frame in frames)


def test_health_names_the_engine_that_draws(running: Server) -> None:
    health = httpx2.get(f"{running.http}/health").json()
    assert (health["face"]["engine"], health["face"]["timed"]) == ("bar", "bar")
    status = httpx2.get(f"{running.http}/api/v1/pipeline/status").json()
    assert "picture_face" in json.dumps(status)
