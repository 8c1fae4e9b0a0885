"""The messages of the api dialect, byte for byte as docs/protocols.md shows them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from visavis import events as ev
from visavis.arkit import COUNT, INDEX
from visavis.audio import Media
from visavis.wires import BadMessage
from visavis.wires.api import ApiWire, Output

DOCS = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
ID, NOW = "s_7Qm2cXh1Vd8t", 1769860800000
ENDS = f'"session_id":"{ID}","timestamp":{NOW}}}'
IN: list[tuple[str, ev.FromClient]] = [
    ('{"type":"audio_chunk","data":"AAABAA=="}', ev.UserAudio(b"\0\0\1\0")),
    ('{"type":"text_message","data":"How are you?"}', ev.UserText("How are you?", echo=True)),
    ('{"type":"start_audio","hands_free":false}', ev.MicOn(hands_free=False)),
    ('{"type":"end_audio"}', ev.MicOff()),
    ('{"type":"interrupt"}', ev.Interrupt()),
    ('{"type":"action_result","call_id":"c1","result":{"open":true}}', ev.ActionDone("c1", {"open": True})),
    ('{"type":"ping"}', ev.Ping()),
]
OUT: list[tuple[ev.ToClient, list[str]]] = [
    (ev.StateChanged("speaking"), ['{"type":"state","state":"speaking",']),
    (ev.UserPartial("How are"), ['{"type":"transcript","data":"How are","is_final":false,']),
    (ev.UserTurn(1, "How are you?"), ['{"type":"transcript","data":"How are you?","is_final":true,']),
    (
        ev.WordSpoken(1, ev.Word("Fine,", 0.0, 0.4)),
        ['{"type":"text_response","data":"Fine,","is_final":false,"turn_id":"turn_1",'],
    ),
    (
        ev.TurnEnded(1, "Fine, thanks.", False, 1.2),
        ['{"type":"text_response","data":"Fine, thanks.","is_final":true,"turn_id":"turn_1",'],
    ),
    (
        ev.TurnEnded(2, "Fine,", True, 0.4),
        [
            '{"type":"interrupted","turn_id":"turn_2","offset_ms":400,',
            '{"type":"text_response","data":"Fine,","is_final":true,"turn_id":"turn_2",',
        ],
    ),
    (
        ev.Action("open_door", {"door": 2}, "c1"),
        ['{"type":"action","name":"open_door","arguments":{"door":2},"call_id":"c1",'],
    ),
    (
        ev.Problem("AGENT_FAILED", "Please try again."),
        ['{"type":"error","message":"Please try again.","code":"AGENT_FAILED",'],
    ),
    (ev.Pong(), ['{"type":"pong",']),
]
SEEDS = (
    """{
    "type": "audio_chunk",
    "data": "UklGRg==",
    "session_id": "uuid",
    "timestamp": 1234567890
}""",
    """{
    "type": "text_message",\x20
    "data": "Hello, how are you?",
    "session_id": "uuid",
    "timestamp": 1234567890
}""",
)


def wire(output: Output = "video", rate: int = 24_000) -> ApiWire:
    return ApiWire(ID, Media(rate, 25), output)


@pytest.mark.parametrize(("message", "event"), IN)
def test_what_clients_send(message: str, event: ev.FromClient) -> None:
    assert wire().decode(message) == [event]
    assert f"`{message}`" in DOCS


@pytest.mark.parametrize(("event", "messages"), OUT, ids=lambda value: type(value).__name__)
def test_what_the_server_sends(event: ev.ToClient, messages: list[str]) -> None:
    assert wire().encode(event, NOW) == [message + ENDS for message in messages]
    for message in messages:
        assert f"`{message}...`" in DOCS


def test_the_end_of_a_reply_says_what_it_draws_on() -> None:
    codec, hours = wire(), ev.Source("Shop: Hours", "", "7 to 18")
    assert codec.encode(ev.TurnSources(3, (hours,)), NOW) == []
    [word] = codec.encode(ev.WordSpoken(3, ev.Word("From", 0.0, 0.2)), NOW)
    assert "sources" not in json.loads(word)
    [done] = codec.encode(ev.TurnEnded(3, "From seven.", False, 1.0), NOW)
    assert isinstance(done, str) and f"`{done.removesuffix(ENDS)}...`" in DOCS
    [again] = codec.encode(ev.TurnEnded(3, "From seven.", False, 1.0), NOW)
    assert "sources" not in json.loads(again)


def test_whether_a_button_is_held_is_true_or_false() -> None:
    assert wire().decode('{"type":"start_audio"}') == [ev.MicOn()]
    with pytest.raises(BadMessage, match='"hands_free"') as error:
        wire().decode('{"type":"start_audio","hands_free":0}')
    assert error.value.code == "BAD_FIELD"


@pytest.mark.parametrize("output", ["video", "weights", "both"])
def test_each_picture_is_followed_by_its_sound(output: Output) -> None:
    weights = np.zeros((2, COUNT), np.float32)
    weights[1, INDEX["jawOpen"]] = 0.1234
    pcm = np.arange(1920, dtype="<i2").tobytes()
    jpegs = [] if output == "weights" else [b"\xff\xd8first", b"\xff\xd8second"]
    messages = [json.loads(m) for m in wire(output).encode(ev.Frames(3, 7, pcm, weights), NOW, jpegs)]
    assert [(m["type"], m["frame_id"], m["turn_id"]) for m in messages] == [
        ("avatar_frame", 7, "turn_3"),
        ("audio_response", 7, "turn_3"),
        ("avatar_frame", 8, "turn_3"),
        ("audio_response", 8, "turn_3"),
    ]
    assert b"".join(base64.b64decode(m["data"]) for m in messages[1::2]) == pcm
    assert {m["sample_rate"] for m in messages[1::2]} == {24_000}
    seen = messages[2]
    assert ("weights" in seen, "data" in seen) == (output != "video", output != "weights")
    if "weights" in seen:
        assert (len(seen["weights"]), seen["weights"]["jawOpen"]) == (COUNT, 0.123)
    if "data" in seen:
        assert base64.b64decode(seen["data"]) == b"\xff\xd8second"


def test_messages_of_clients_that_know_only_the_first_version() -> None:
    old = ApiWire("uuid", Media(fps=25))
    assert old.decode(SEEDS[0]) == [ev.UserAudio(b"RIFF")]
    assert old.decode(SEEDS[1]) == [ev.UserText("Hello, how are you?", echo=True)]
    with pytest.raises(BadMessage) as error:
        wire().decode(SEEDS[1])
    assert error.value.code == "WRONG_SESSION"
    frames = ev.Frames(1, 123, bytes(1920), np.zeros((1, COUNT), np.float32))
    [frame, sound] = [json.loads(m) for m in old.encode(frames, 1234567890, [b"jpeg"])]
    assert set(frame) >= {"type", "data", "session_id", "timestamp", "frame_id"}
    assert frame["frame_id"] == 123
    assert set(sound) >= {"type", "data", "session_id", "timestamp"}
    [text] = old.encode(ev.TurnEnded(1, "I'm doing well, thank you!", False, 1), 1234567890)
    assert {"data": "I'm doing well, thank you!", "is_final": True}.items() <= json.loads(text).items()
    [error_message] = old.encode(ev.Problem("PROCESSING_ERROR", "Processing failed"), 1)
    assert json.loads(error_message)["code"] == "PROCESSING_ERROR"
