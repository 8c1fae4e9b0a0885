"""What a MediaRecorder sends over a session's socket, and what its session hears."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from tests.asgi import Socket
from tests.wires import recorded
from tests.wires.recorded import block, cluster, header, opus_head, track

from visavis import events as ev
from visavis.audio import Media
from visavis.server.api_socket import BLOCKS_AT_ONCE, ApiConnection
from visavis.server.audience import Audience, Record
from visavis.server.lines import Lines
from visavis.webm_reader import RATE, WebMReader

INPUT_RATE = 16_000
END = '{"type": "end_audio"}'
Say = Callable[[bytes], str | bytes]


def chunk(piece: bytes) -> str:
    return json.dumps({"type": "audio_chunk", "data": base64.b64encode(piece).decode()})


def binary(piece: bytes) -> bytes:
    return piece


def recording(seed: int) -> bytes:
    noise = np.random.default_rng(seed).normal(0, 2000, RATE // 2).astype(np.int16)
    return recorded.webm(recorded.packets(noise))


def pieces(data: bytes, count: int = 5) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]


def heard(*said: str | bytes) -> tuple[list[Any], list[dict[str, Any]]]:
    """What the session is fed, and the errors that the client is told."""
    fed: list[Any] = []

    async def main() -> list[dict[str, Any]]:
        seat = SimpleNamespace(session=SimpleNamespace(feed=fed.append), ended=anyio.Event(), farewell=None)
        record = Record()
        talk: Any = SimpleNamespace(
            id="s_1",
            media=Media(fps=25),
            output="weights",
            audience=Audience(record),
            record=record,
            seat=seat,
        )
        talks: Any = SimpleNamespace(touch=lambda talk: None)

        async def serve(socket: WebSocket) -> None:
            await ApiConnection(socket, talks, talk, 1 << 20, INPUT_RATE).run()

        app = Starlette(routes=[WebSocketRoute("/ws", serve)])
        app.state.lines = Lines()
        socket = await Socket(app, "/ws").open()
        for message in said:
            await socket.say(message)
        seat.ended.set()
        await socket.leave()
        return [told for text in socket.texts if (told := json.loads(text))["type"] == "error"]

    return fed, asyncio.run(main())


def sound(events: list[Any]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, ev.UserAudio))


@pytest.mark.parametrize("say", [chunk, binary])
def test_the_pieces_of_a_recording_are_one_sound(say: Say) -> None:
    data = recording(1)
    fed, errors = heard(*map(say, pieces(data)), END)
    assert fed[0] == ev.MicOn(RATE)
    assert [type(event) for event in fed].count(ev.MicOn) == 1
    assert fed[-1] == ev.MicOff()
    assert sound(fed) == WebMReader().feed(data)
    assert not errors


def test_each_recording_begins_anew() -> None:
    one, two = recording(1), recording(2)
    fed, errors = heard(*map(chunk, pieces(one)), END, *map(chunk, pieces(two)), *map(binary, pieces(one)))
    begins = [k for k, event in enumerate(fed) if isinstance(event, ev.MicOn)]
    assert len(begins) == 3, "also without an end in between"
    first, second, third = fed[: begins[1]], fed[begins[1] : begins[2]], fed[begins[2] :]
    assert first[-1] == ev.MicOff()
    for events, data in ((first, one), (second, two), (third, one)):
        assert sound(events) == WebMReader().feed(data)
    assert not errors


def test_raw_sound_after_a_recording_has_its_own_rate() -> None:
    pcm = b"\x01\x02" * 100
    fed, _ = heard(*map(chunk, pieces(recording(1))), END, chunk(pcm), pcm)
    assert fed[-3:] == [ev.MicOn(INPUT_RATE), ev.UserAudio(pcm), ev.UserAudio(pcm)]


def test_a_recording_that_cannot_be_read_is_told_once_and_the_next_one_is_heard() -> None:
    data = recording(1)
    broken = data[:60] + b"\x00" * 40
    fed, errors = heard(chunk(broken), *map(chunk, pieces(data)), END)
    assert [error["code"] for error in errors] == ["BAD_AUDIO"]
    assert sound(fed) == WebMReader().feed(data)


@pytest.mark.parametrize("say", [chunk, binary])
def test_while_a_button_is_held_only_the_end_ends_it(say: Say) -> None:
    held, free = '{"type": "start_audio", "hands_free": false}', '{"type": "start_audio"}'
    pcm = say(b"\x01\x02")
    fed, _ = heard(pcm, held, pcm, pcm, END, pcm, held, free, pcm, *map(say, pieces(recording(1))))
    begins = [event for event in fed if isinstance(event, ev.MicOn)]
    assert [event.hands_free for event in begins] == [True, False, True, True, True]
    assert [event.rate for event in begins] == [INPUT_RATE] * 4 + [RATE]

    fed, _ = heard(held, *map(say, pieces(recording(1))), END)
    assert fed[0] == ev.MicOn(RATE, hands_free=False)


def test_half_a_sample_is_no_sound() -> None:
    fed, errors = heard(b"\x01\x02\x03", chunk(b"\x01"))
    assert [error["code"] for error in errors] == ["BAD_AUDIO", "BAD_AUDIO"]
    assert not sound(fed)


def silence(blocks: int) -> bytes:
    """A recording of 120 ms of nothing in each block: 2 bytes."""
    packet = bytes([3 << 3 | 3, 2])
    return header(track(1, b"A_OPUS", opus_head())) + cluster(*[block(1, packet)] * blocks)


def test_as_much_as_anybody_can_have_said_meanwhile_is_heard() -> None:
    fed, errors = heard(chunk(silence(BLOCKS_AT_ONCE)))
    assert not errors
    assert len(sound(fed)) > BLOCKS_AT_ONCE * 0.119 * RATE * 2


def test_hours_of_silence_in_one_message_are_not_unpacked() -> None:
    fed, errors = heard(chunk(silence(20 * BLOCKS_AT_ONCE)))
    assert [error["code"] for error in errors] == ["BAD_AUDIO"]
    assert not sound(fed)
