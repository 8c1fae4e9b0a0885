"""The widget dialect: golden messages out, every message in, and what real clients were seen to need.

The golden file was written from the protocol's description; `GOLDEN=write pytest tests/wires` rewrites it,
to be read line by line before it is committed.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis import events as ev
from visavis.arkit import INDEX, NAMES, Weights
from visavis.wires import BadMessage, Hello, Message
from visavis.wires.widget import WidgetWire, decode_binary_frame

GOLDEN = Path(__file__).parent / "golden" / "widget.json"
NOW = 1_767_225_600_123


def weights(frames: int = 1) -> Weights:
    rows = np.zeros((frames, 52), np.float32)
    rows[:, INDEX["jawOpen"]] = 0.3
    rows[:, INDEX["mouthSmileRight"]] = 0.9996
    rows[:, INDEX["eyeBlinkLeft"]] = 0.0004
    return rows


def pcm(frames: int = 1) -> bytes:
    return (np.arange(800 * frames) % 251).astype("<i2").tobytes()


OUT: dict[str, ev.ToClient] = {
    "state idle": ev.StateChanged("idle"),
    "state listening": ev.StateChanged("listening"),
    "state thinking": ev.StateChanged("thinking"),
    "state speaking": ev.StateChanged("speaking"),
    "audio start": ev.TurnStarted(3),
    "word": ev.WordSpoken(3, ev.Word("hello,", 0.26, 0.714)),
    "audio end": ev.AudioEnded(3),
    "turn done": ev.TurnEnded(3, "hello, you", False, 1.25),
    "turn interrupted": ev.TurnEnded(3, "hello,", True, 0.8004),
    "user said": ev.UserTurn(2, "what time is it?"),
    "action": ev.Action("confetti", {"amount": 3}),
    "pong": ev.Pong(),
    "problem": ev.Problem("BAD_JSON", "This is not JSON."),
    "partial": ev.UserPartial("what time"),
    "barge-in": ev.BargedIn(3, "hold"),
    "ledger": ev.TurnLedger(3, {"speech_end": 0, "end_of_turn": 600, "first_frame": 640}),
    "sources": ev.TurnSources(
        3,
        (
            ev.Source("Opening hours", "", "Monday to Friday: 8:00 to 18:00."),
            ev.Source("Shop: Bread", "https://example.org/bread#rye", "Rye bread costs 4 euros."),
        ),
    ),
    "frames": ev.Frames(3, 7, pcm(2), weights(2)),
}
HELLOS = {
    "plain": None,
    "binary": {"type": "hello", "encoding": "binary", "weights": "array"},
    "array": {"type": "hello", "weights": "array"},
}


def wire(hello: dict[str, Any] | None = None) -> WidgetWire:
    made = WidgetWire("s1")
    if hello is not None:
        made.decode(json.dumps(hello))
    return made


def readable(message: Message) -> Any:
    """JSON with long audio shortened; binary as hexadecimal of its head and weights."""
    if isinstance(message, bytes):
        return {"binary": message[:72].hex(" "), "bytes": len(message)}
    data = json.loads(message)
    if data["type"] == "sync_frame":
        assert len(base64.b64decode(data["audio"], validate=True)) == 1600
        data["audio"] = data["audio"][:16]
    return data


def test_every_message_is_golden() -> None:
    now = {
        f"{name}, {hello}": [readable(m) for m in wire(HELLOS[hello]).encode(event, NOW)]
        for name, event in OUT.items()
        for hello in HELLOS
    }
    now["config"] = [readable(wire().config(16_000, "tok", NOW))]
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n")
    assert now == json.loads(GOLDEN.read_text())


IN: list[tuple[str, list[ev.FromClient | Hello]]] = [
    ('{"type": "text", "data": "Hello"}', [ev.UserText("Hello", echo=True)]),
    ('{"type": "text", "data": " Hello ", "userId": "u1", "timestamp": 5}', [ev.UserText("Hello")]),
    ('{"type": "audio_stream_start", "userId": "user123"}', [ev.MicOn()]),
    ('{"type": "audio_stream_start", "handsFree": false}', [ev.MicOn(hands_free=False)]),
    (
        '{"type": "audio_stream_start", "sampleRate": 48000, "format": "audio/pcm16"}',
        [ev.MicOn(48_000)],
    ),
    ('{"type": "audio", "data": "AAABAA=="}', [ev.UserAudio(b"\0\0\1\0")]),
    ('{"type": "audio", "data": ""}', [ev.UserAudio(b"")]),
    ('{"type": "audio_stream_end"}', [ev.MicOff()]),
    ('{"type": "interrupt"}', [ev.Interrupt()]),
    ('{"type": "ping"}', [ev.Ping()]),
    ('{"type": "ping", "timestamp": 12}', [ev.Ping()]),
    ('{"type": "playback", "turnId": "turn_4", "frameIndex": 17}', [ev.Played(4, 17)]),
    ('{"type": "hello"}', [Hello()]),
    ('{"type": "hello", "avatar": "kenji"}', [Hello(None, "kenji")]),
    ('{"type": "hello", "encoding": "binary", "weights": "array", "resume": "tok"}', [Hello("tok")]),
]


@pytest.mark.parametrize(("message", "events"), IN)
def test_every_message_of_a_client(message: str, events: list[ev.FromClient | Hello]) -> None:
    assert wire().decode(message) == events


def test_binary_messages_are_audio() -> None:
    assert wire().decode(b"\1\2\3\4") == [ev.UserAudio(b"\1\2\3\4")]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "BAD_JSON"),
        ("{", "BAD_JSON"),
        ("[" * 5000, "BAD_JSON"),
        ("[1]", "BAD_MESSAGE"),
        ("null", "BAD_MESSAGE"),
        ("{}", "BAD_MESSAGE"),
        ('{"type": 3}', "BAD_MESSAGE"),
        ('{"type": "dance"}', "UNKNOWN_TYPE"),
        ('{"type": "text"}', "BAD_FIELD"),
        ('{"type": "text", "data": 3}', "BAD_FIELD"),
        ('{"type": "text", "data": "  "}', "BAD_FIELD"),
        (json.dumps({"type": "text", "data": "x" * 4001}), "TEXT_TOO_LONG"),
        ('{"type": "audio"}', "BAD_FIELD"),
        ('{"type": "audio", "data": "AA=A"}', "BAD_BASE64"),
        ('{"type": "audio", "data": "A?AA"}', "BAD_BASE64"),
        ('{"type": "audio", "data": "AAAA"}', "BAD_AUDIO"),
        (b"\0", "BAD_AUDIO"),
        ('{"type": "audio_stream_start", "sampleRate": "fast"}', "BAD_FIELD"),
        ('{"type": "audio_stream_start", "sampleRate": true}', "BAD_FIELD"),
        ('{"type": "audio_stream_start", "sampleRate": 7999}', "BAD_FIELD"),
        ('{"type": "audio_stream_start", "sampleRate": 192001}', "BAD_FIELD"),
        ('{"type": "audio_stream_start", "format": "opus"}', "BAD_FIELD"),
        ('{"type": "audio_stream_start", "handsFree": 1}', "BAD_FIELD"),
        ('{"type": "playback", "turnId": 3, "frameIndex": 1}', "BAD_FIELD"),
        ('{"type": "playback", "turnId": "user_3", "frameIndex": 1}', "BAD_FIELD"),
        ('{"type": "playback", "turnId": "turn_3", "frameIndex": -1}', "BAD_FIELD"),
        ('{"type": "playback", "turnId": "turn_3"}', "BAD_FIELD"),
        ('{"type": "hello", "encoding": "xml"}', "BAD_FIELD"),
        ('{"type": "hello", "weights": 1}', "BAD_FIELD"),
        ('{"type": "hello", "resume": 1}', "BAD_FIELD"),
    ],
)
def test_what_is_malformed_gets_a_code_and_a_sentence(message: str | bytes, code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        wire().decode(message)
    assert caught.value.code == code
    assert str(caught.value).endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(["text", "audio", "audio_stream_start", "playback", "hello", "ping"])
fields = st.sampled_from(
    ["data", "userId", "sampleRate", "format", "turnId", "frameIndex", "encoding", "weights", "resume"]
)


@settings(max_examples=300, deadline=None)
@given(types, st.dictionaries(fields, json_values, max_size=5))
def test_nothing_a_client_says_raises_anything_else(kind: str, rest: dict[str, Any]) -> None:
    try:
        wire().decode(json.dumps({"type": kind, **rest}))
    except BadMessage as error:
        assert error.code.isupper()


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_noise_is_refused_politely(message: str | bytes) -> None:
    try:
        wire().decode(message)
    except BadMessage as error:
        assert error.code.isupper()


# -- what the existing widget really needs -----------------------------------------------------------------
def encoded(event: ev.ToClient, hello: str = "plain") -> list[dict[str, Any]]:
    return [json.loads(message) for message in wire(HELLOS[hello]).encode(event, NOW)]


def test_weights_are_an_object_of_apples_names() -> None:
    first, second = encoded(OUT["frames"])
    assert set(first["weights"]) == set(NAMES)
    assert first["weights"]["jawOpen"] == 0.3
    assert first["weights"]["mouthSmileRight"] == 1.0
    assert first["weights"]["eyeBlinkLeft"] == 0.0
    assert (first["frameIndex"], second["frameIndex"]) == (7, 8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 2, width=32), min_size=52, max_size=52), st.integers(0, 1 << 31))
def test_all_encodings_carry_the_same_face(values: list[float], first: int) -> None:
    frames = ev.Frames(9, first, pcm(), np.array([values], np.float32))
    truth = np.clip(values, 0, 1)
    (plain,), (array,) = encoded(frames), encoded(frames, "array")
    (binary,) = wire(HELLOS["binary"]).encode(frames, NOW)
    assert isinstance(binary, bytes)
    assert list(plain["weights"].values()) == pytest.approx(truth, abs=0.00051)
    assert array["weights"] == pytest.approx(truth, abs=0.00051)
    turn, index, timestamp, row, sound = decode_binary_frame(binary)
    assert (turn, index, timestamp, sound) == (9, first, NOW, pcm())
    assert row == pytest.approx(truth, abs=0.51 / 255)


def test_ids_are_never_empty_and_the_same_all_through_a_turn() -> None:
    turn = [OUT[name] for name in ("audio start", "word", "frames", "audio end", "turn interrupted")]
    messages = [message for event in turn for message in encoded(event)]
    assert {message["turnId"] for message in messages} == {"turn_3"}
    assert {message["sessionId"] for message in messages} == {"s1"}


def test_audio_is_even_standard_base64_of_at_most_2400_samples() -> None:
    for message in encoded(ev.Frames(1, 0, pcm(12), weights(12))):
        sound = base64.b64decode(message["audio"], validate=True)
        assert len(sound) == 1600


def test_words_have_no_leading_space_and_offsets_in_milliseconds() -> None:
    (delta,) = encoded(OUT["word"])
    assert (delta["text"], delta["startOffset"], delta["endOffset"]) == ("hello,", 260, 714)


def test_no_message_collides_with_the_widgets_internal_bus() -> None:
    taken = {"connected", "disconnected", "message", "connectionStateChanged", "connection-failed"}
    for hello in ("plain", "array"):
        assert not taken & {message["type"] for event in OUT.values() for message in encoded(event, hello)}


def test_what_is_ours_is_told_only_after_hello() -> None:
    ours = ("partial", "barge-in", "ledger")
    assert [encoded(OUT[name]) for name in ours] == [[], [], []]
    assert all(encoded(OUT[name], "array") for name in ours)


def test_an_error_carries_its_text_twice_for_old_clients() -> None:
    (error,) = encoded(OUT["problem"])
    assert error["message"] == error["error"] == "This is not JSON."


def test_nothing_carries_null() -> None:
    for hello in ("plain", "array"):
        for event in OUT.values():
            assert "null" not in "".join(map(str, wire(HELLOS[hello]).encode(event, NOW)))


def test_an_action_that_is_waited_for_says_so() -> None:
    wire = WidgetWire("s")
    (told,) = wire.encode(ev.Action("show", {"id": 7}, "c1"), 5)
    action = {"type": "trigger_action", "function_name": "show", "arguments": {"id": 7}, "timestamp": 5}
    assert json.loads(told) == {**action, "callId": "c1"}
    (told,) = wire.encode(ev.Action("show", {"id": 7}), 5)
    assert json.loads(told) == action


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({"result": {"a": [1]}}, ev.ActionDone("c", {"a": [1]})),
        ({}, ev.ActionDone("c")),
        ({"error": "No screen."}, ev.ActionDone("c", error="No screen.")),
        ({"error": ""}, ev.ActionDone("c", error="It failed.")),
        ({"error": "x" * 9000}, ev.ActionDone("c", error="x" * 4000)),
    ],
)
def test_what_came_of_an_action_is_read(fields: dict[str, Any], done: ev.ActionDone) -> None:
    message = json.dumps({"type": "action_result", "callId": "c", **fields})
    assert WidgetWire("s").decode(message) == [done]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"callId": 7}, "BAD_FIELD"),
        ({"callId": "c" * 201}, "BAD_FIELD"),
        ({"callId": "c", "error": 7}, "BAD_FIELD"),
        ({"callId": "c", "result": "x" * 16_000}, "RESULT_TOO_LARGE"),
    ],
)
def test_results_that_cannot_be_are_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        WidgetWire("s").decode(json.dumps({"type": "action_result", **fields}))
    assert caught.value.code == code
