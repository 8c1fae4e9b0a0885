"""The dialect of frames, message by message."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis import events as ev
from visavis.arkit import neutral
from visavis.wires import BadMessage
from visavis.wires.frames import MEDIA, FramesWire, Recording

ID = "6f1f9a06-8e2b-4a39-9c6f-6a0d8f4b2b10"
NOON = 1753876800.0
STAMP = "2025-07-30T12:00:00.000Z"


def wire() -> FramesWire:
    return FramesWire(ID, 640, 480)


def said(messages: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


def frames(first: int, count: int, value: int = 0) -> ev.Frames:
    pcm = np.full(MEDIA.edge(count), value, "<i2").tobytes()
    return ev.Frames(1, first, pcm, neutral(count))


def test_what_clients_send() -> None:
    newton = '{"type": "text_input", "text": "Hello, who is Newton?"}'
    assert wire().decode(newton) == ev.UserText("Hello, who is Newton?")
    audio = base64.b64encode(b"RIFFsound").decode()
    assert wire().decode(json.dumps({"type": "audio_input", "audio": audio})) == Recording(b"RIFFsound")
    assert wire().decode('{"type": "interrupt"}') == ev.Interrupt()
    assert wire().decode('{"type": "ping"}') == ev.Ping()


def test_the_messages_of_the_documentation() -> None:
    codec, docs = wire(), (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    for message in (
        '{"type":"text_input","text":"Hello, who is Newton?"}',
        '{"type":"audio_input","audio":"UklGRg=="}',
    ):
        codec.decode(message)
        assert f"`{message}`" in docs
    jpegs = [b"\xff\xd8"] * 5
    shown = [
        codec.connected(NOON),
        *codec.encode(ev.TurnStarted(1, "Newton was"), NOON),
        codec.encode(frames(0, 5), NOON, jpegs)[1],
        *codec.encode(ev.TurnEnded(1, "Newton was", False, 0.2), NOON),
        *codec.encode(ev.Problem("NO_SOUND", "The recording has no sound."), NOON),
        *codec.encode(ev.Pong(), NOON),
    ]
    assert len(shown) == 6
    for message in shown:
        assert f"`{message}`" in docs, message


def test_the_frame_of_the_first_version() -> None:
    frame = json.loads(_first_frame())
    assert list(frame) == ["type", "sequence_id", "frame_index", "frame_data", "audio_data", "timestamp"]
    assert (frame["type"], frame["frame_index"], frame["timestamp"]) == ("frame", 0, STAMP)


def _first_frame() -> str:
    codec = wire()
    codec.encode(ev.TurnStarted(1), NOON)
    return codec.encode(frames(0, 5), NOON, [b"jpeg"] * 5)[0]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "BAD_JSON"),
        ("[]", "BAD_MESSAGE"),
        ("{}", "BAD_MESSAGE"),
        (b"binary", "BAD_MESSAGE"),
        ('{"type": "sing"}', "UNKNOWN_TYPE"),
        ('{"type": "text_input"}', "BAD_FIELD"),
        ('{"type": "text_input", "text": " "}', "BAD_FIELD"),
        ('{"type": "text_input", "text": "' + "x" * 4001 + '"}', "TEXT_TOO_LONG"),
        ('{"type": "audio_input", "audio": "%%"}', "BAD_BASE64"),
        ('{"type": "audio_input", "audio": 7}', "BAD_FIELD"),
    ],
)
def test_what_is_malformed(message: str | bytes, code: str) -> None:
    with pytest.raises(BadMessage) as error:
        wire().decode(message)
    assert error.value.code == code


def test_a_connection_begins_with_what_it_is_shown_in() -> None:
    assert json.loads(wire().connected(NOON)) == {
        "type": "connection_established",
        "session_id": ID,
        "config": {"fps": 25, "width": 640, "height": 480, "sample_rate": 16000, "audio_chunk_ms": 200},
        "timestamp": STAMP,
    }


def test_a_stream_from_its_start_to_its_end() -> None:
    codec = wire()
    [start] = said(codec.encode(ev.TurnStarted(1, "Newton was"), NOON))
    sequence = start["sequence_id"]
    assert UUID(sequence)
    assert start == {
        "type": "stream_start",
        "sequence_id": sequence,
        "session_id": ID,
        "text": "Newton was",
        "timestamp": STAMP,
    }
    assert codec.encode(frames(0, 3), NOON, [b"0", b"1", b"2"]) == []
    shown = said(codec.encode(frames(3, 4), NOON, [b"3", b"4", b"5", b"6"]))
    assert [frame["frame_index"] for frame in shown] == [0, 1, 2, 3, 4]
    assert [base64.b64decode(frame["frame_data"]) for frame in shown] == [b"0", b"1", b"2", b"3", b"4"]
    assert [len(base64.b64decode(frame["audio_data"])) for frame in shown] == [6400, 0, 0, 0, 0]
    assert set(shown[0]) == {
        "type",
        "sequence_id",
        "frame_index",
        "frame_data",
        "audio_data",
        "timestamp",
    }
    rest = said(codec.encode(ev.AudioEnded(1), NOON))
    assert [len(base64.b64decode(frame["audio_data"])) for frame in rest] == [2560, 0]
    assert said(codec.encode(ev.TurnEnded(1, "Newton was", False, 0.28), NOON)) == [
        {
            "type": "stream_end",
            "sequence_id": sequence,
            "total_frames": 7,
            "interrupted": False,
            "timestamp": STAMP,
        }
    ]
    [again] = said(codec.encode(ev.TurnStarted(2), NOON))
    assert again["sequence_id"] != sequence


def test_the_end_of_a_stream_says_what_it_draws_on() -> None:
    codec = wire()
    for turn, sources in ((1, (ev.Source("Shop: Hours", "", "7 to 18"),)), (2, ())):
        codec.encode(ev.TurnStarted(turn), NOON)
        assert codec.encode(ev.TurnSources(turn, sources), NOON) == []
        [end] = said(codec.encode(ev.TurnEnded(turn, "", False, 0.1), NOON))
        assert end.get("sources", []) == [asdict(source) for source in sources]
        assert list(end)[-1] == "timestamp"


def test_an_interrupted_stream_ends_with_what_was_sent() -> None:
    codec = wire()
    codec.encode(ev.TurnStarted(1), NOON)
    codec.encode(frames(0, 8), NOON, [b"x"] * 8)
    [end] = said(codec.encode(ev.TurnEnded(1, "", True, 0.1), NOON))
    assert (end["total_frames"], end["interrupted"]) == (5, True)
    assert codec.encode(frames(8, 5), NOON, [b"x"] * 5) == []


def test_a_picture_that_could_not_be_drawn_is_the_last_one_again() -> None:
    codec = wire()
    codec.encode(ev.TurnStarted(1), NOON)
    codec.encode(frames(0, 2), NOON, [b"a", b"b"])
    shown = said(codec.encode(frames(2, 3), NOON))
    assert [base64.b64decode(frame["frame_data"]) for frame in shown] == [b"a", b"b", b"b", b"b", b"b"]


@given(st.lists(st.integers(1, 12), max_size=12))
def test_every_sample_is_sent_once_however_frames_are_grouped(groups: list[int]) -> None:
    codec = wire()
    codec.encode(ev.TurnStarted(1), NOON)
    first, log = 0, []
    for k, count in enumerate(groups):
        log += said(codec.encode(frames(first, count, k + 1), NOON, [b"j"] * count))
        first += count
    log += said(codec.encode(ev.AudioEnded(1), NOON))
    assert [frame["frame_index"] for frame in log] == list(range(first))
    sound = b"".join(base64.b64decode(frame["audio_data"]) for frame in log)
    expected = np.concatenate([np.zeros(0), *(np.full(640 * n, k + 1) for k, n in enumerate(groups))])
    assert np.array_equal(np.frombuffer(sound, "<i2"), expected)


def test_problems_and_pongs() -> None:
    [error] = said(wire().encode(ev.Problem("AGENT_FAILED", "It failed."), NOON))
    assert error == {"type": "error", "code": "AGENT_FAILED", "message": "It failed.", "timestamp": STAMP}
    assert said(wire().encode(ev.Pong(), NOON)) == [{"type": "pong", "timestamp": STAMP}]
    assert wire().encode(ev.StateChanged("thinking"), NOON) == []
