"""The Python client against a real server."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.process import Server, server
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from visavis import client as visavis
from visavis.client import Client, Done, Frame, Word
from visavis.errors import VisavisError

SECONDS = 1.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "frames_client.py"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": str(SECONDS),
        "VISAVIS_SCRIPTED__SPEED": "20",
    }
    with server(tmp_path_factory.mktemp("client"), **settings) as started:
        yield started


async def reply(client: Client, text: str) -> list[visavis.Event]:
    return [event async for event in client.say(text)]


def test_a_question_is_answered_in_frames_and_words(running: Server) -> None:
    async def main() -> None:
        async with visavis.connect(running.ws) as client:
            assert (client.fps, client.rate, client.resumed) == (30, 24_000, False)
            events = await reply(client, "Hello")
            frames = [event for event in events if isinstance(event, Frame)]
            assert [frame.index for frame in frames] == list(range(round(SECONDS * 30)))
            assert sum(len(frame.pcm) for frame in frames) == round(SECONDS * 24_000) * 2
            assert all(frame.weights.shape == (52,) for frame in frames)
            assert max(float(frame.weights.max()) for frame in frames) > 0.05, "the face moves"
            words = [event for event in events if isinstance(event, Word)]
            assert words
            assert all(word.start < word.end for word in words)
            assert events[-1] == Done(" ".join(word.text for word in words), interrupted=False)

    asyncio.run(main())


def test_an_interrupted_reply_is_left_for_the_next(running: Server) -> None:
    async def main() -> None:
        async with visavis.connect(running.ws) as client:
            async for event in client.say("Hello"):
                if isinstance(event, Frame) and event.index == 5:
                    await client.played(event)
                    break
            events = await reply(client, "Something else")
            assert {event.turn for event in events[-10:] if isinstance(event, Frame)} == {2}
            done = [event for event in events if isinstance(event, Done)]
            assert [event.interrupted for event in done] == [False]

    asyncio.run(main())


def test_what_is_spoken_is_answered(running: Server) -> None:
    async def main() -> None:
        tone = (8000 * np.sin(np.arange(16_000) / 10)).astype("<i2").tobytes()
        async with visavis.connect(running.ws) as client:
            events = [event async for event in client.speak(tone, 16_000)]
            assert isinstance(events[-1], Done)
            assert any(isinstance(event, Frame) for event in events)

    asyncio.run(main())


def test_a_conversation_is_gone_on_with(running: Server) -> None:
    async def main() -> None:
        async with visavis.connect(running.ws) as first:
            await reply(first, "Hello")
            first._socket.transport.abort()
        async with visavis.connect(running.ws, resume=first.token) as second:
            assert second.resumed
            assert second.session_id == first.session_id
        async with visavis.connect(running.ws, resume="nonsense") as third:
            assert not third.resumed
            assert third.session_id != first.session_id

    asyncio.run(main())


CONFIG = {"type": "config", "sessionId": "s", "resume": "r", "resumed": False, "fps": 30}
CONFIG |= {"audio": {"outputSampleRate": 24_000}}


@pytest.mark.parametrize(
    ("sent", "close", "expected"),
    [
        ({}, (1008, "UNAUTHORIZED: A token is needed."), ("UNAUTHORIZED", "A token is needed.")),
        (
            {"type": "error", "code": "SERVER_FULL", "message": "Full."},
            (1013, "Full."),
            ("SERVER_FULL", "Full."),
        ),
        ({"type": "connection_established"}, (1000, ""), ("UNEXPECTED", "ends with /ws")),
        (CONFIG, (1008, "the token was revoked"), ("CLOSED", "the token was revoked")),
        (CONFIG, (1000, ""), ("CLOSED", "ended the conversation")),
        (CONFIG, None, ("CLOSED", "The connection was lost.")),
    ],
)
def test_what_ends_a_conversation_is_said(
    sent: dict[str, Any], close: tuple[int, str] | None, expected: tuple[str, str]
) -> None:
    async def serve(socket: ServerConnection) -> None:
        if sent:
            await socket.send(json.dumps(sent))
        if sent is CONFIG:
            await socket.recv()  # hello
            await socket.recv()  # what is said
        if close is None:
            socket.transport.abort()
        else:
            await socket.close(*close)

    async def main() -> None:
        async with listen(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with visavis.connect(f"ws://127.0.0.1:{port}/ws") as client:
                await reply(client, "Hello")

    with pytest.raises(VisavisError, match=expected[1]) as told:
        asyncio.run(main())
    assert told.value.code == expected[0]


def test_the_example_saves_what_it_receives_as_a_video(running: Server, tmp_path: Path) -> None:
    save = runpy.run_path(str(EXAMPLE))["save"]
    file = tmp_path / "answer.webm"
    asyncio.run(save("Hello", file, f"ws://127.0.0.1:{running.port}/"))
    with av.open(str(file)) as video:
        pictures = list(video.decode(video=0))
    assert len(pictures) == round(SECONDS * 25)
    assert (pictures[0].width, pictures[0].height) == (640, 480)
    with av.open(str(file)) as video:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in video.decode(audio=0)])
    assert len(sound) / 48_000 == pytest.approx(SECONDS, abs=0.05)
    assert float(np.abs(sound).max()) > 0.02
