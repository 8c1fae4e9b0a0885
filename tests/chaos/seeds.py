"""Messages that keep to each wire, for fuzzers to begin with: a list of scripts by wire."""

from __future__ import annotations

import base64
import io
import json
import wave
from typing import Any

from tests.chaos.fuzzed_clients import ID

from visavis.wires import Message

PCM = b"\x10\x00\xf0\xff" * 24
SOUND = base64.b64encode(PCM).decode()


def _said(*messages: dict[str, Any] | Message) -> list[Message]:
    return [json.dumps(message) if isinstance(message, dict) else message for message in messages]


def _posted(where: int, body: dict[str, Any] | bytes) -> bytes:
    return bytes((48 + where,)) + (body if isinstance(body, bytes) else json.dumps(body).encode())


def wav(samples: int) -> bytes:
    """A recording."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(PCM[:2] * samples)
    return file.getvalue()


WIDGET = [
    _said(
        {"type": "hello", "encoding": "binary", "weights": "array", "resume": "x", "avatar": "mia"},
        {"type": "text", "data": "hello 0.1", "userId": "u", "timestamp": 1},
        {"type": "playback", "turnId": "turn_1", "frameIndex": 2},
        {"type": "interrupt"},
    ),
    _said(
        {"type": "audio_stream_start", "sampleRate": 48000, "format": "pcm16", "handsFree": False},
        {"type": "audio", "data": SOUND},
        PCM,
        {"type": "audio_stream_end"},
        {"type": "action_result", "callId": "c1", "result": {"a": [1, None, "x"]}},
        {"type": "action_result", "callId": "c1", "error": "no"},
        {"type": "ping", "timestamp": 1.5},
    ),
]
WIDGET += [
    _said(
        {"type": "hello", "recording": False},
        {"type": "text", "data": "act 0.2"},
        "!wait 0.05",
        {"type": "action_result", "callId": "c1", "result": {"done": True}},
        {"type": "playback", "turnId": "turn_1", "frameIndex": 0},
        {"type": "playback", "turnId": "turn_1", "frameIndex": 3},
        {"type": "interrupt"},
        "!drop",
        "!open",
        {"type": "hello", "resume": "$RESUME", "encoding": "binary"},
        {"type": "text", "data": "again 0.1"},
        "!wait 0.3",
        "!leave",
        '!open {"query":"token=$OTHER"}',
        {"type": "hello", "resume": "$RESUME"},
    ),
    _said(
        '!open {"query":"","subprotocols":["bearer","$TOKEN"],"origin":"http://localhost:8080"}',
        {"type": "hello", "resume": "$THEIRS"},
        {"type": "text", "data": "$LONG"},
    ),
]
API = [
    _said(
        {"type": "text_message", "data": "hello 0.1", "session_id": ID},
        {"type": "audio_chunk", "data": SOUND},
        PCM,
        {"type": "end_audio"},
        {"type": "interrupt"},
        {"type": "ping"},
        {"type": "action_result", "call_id": "c1", "result": [1, {"b": True}]},
        {"type": "action_result", "call_id": "c1", "error": "no"},
    ),
    _said(
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"
        b"\x16\x54\xae\x6b\x94\xae\x92\xd7\x81\x01\x83\x81\x02\x86\x86A_OPUS\xe1\x83\x9f\x81\x01"
        b"\x1f\x43\xb6\x75\x8a\xe7\x81\x00\xa3\x85\x81\x00\x00\x80\xfc",
        b"\xa3\x85\x81\x00\x14\x80\xfc",
    ),
]
API += [
    _said(
        {"type": "start_audio", "hands_free": False},
        PCM,
        {"type": "end_audio"},
        "!wait 0.05",
        {"type": "interrupt"},
        {"type": "text_message", "data": "act 0.2"},
        "!wait 0.05",
        {"type": "action_result", "call_id": "c1", "result": {"done": True}},
        "!drop",
        {"type": "ping"},
        '!open {"query":"token=$OTHER"}',
        {"type": "text_message", "data": "hello"},
    ),
]
FRAMES = [
    _said(
        {"type": "text_input", "text": "hello 0.1"},
        {"type": "audio_input", "audio": SOUND},
        {"type": "interrupt"},
        {"type": "ping"},
    ),
]
FRAMES += [
    _said(
        {"type": "audio_input", "audio": base64.b64encode(wav(320)).decode()},
        "!wait 0.3",
        {"type": "text_input", "text": "$LONG"},
        '!open {"query":"token=$TOKEN&avatar=nobody"}',
        {"type": "ping"},
    ),
]
PAGE: list[list[Message]] = [
    [
        _posted(0, {"avatarId": "mia"}),
        _posted(1, {"text": "How are you?", "sessionId": ID}),
        _posted(2, {"sessionId": ID, "avatarId": "mia", "text": "I am well."}),
        _posted(3, wav(320)[:40]),
        _posted(4, PCM),
        _posted(
            5,
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            + PCM
            + b"\r\n--x--\r\n",
        ),
        _posted(6, wav(320)),
        _posted(7, b""),
        _posted(8, {"text": "$LONG"}),
        _posted(9, {"sessionId": ID, "text": "Hello."}),
    ]
]
REMOTE = [
    _said(
        {"type": "hello", "input_rate": 16000, "output_rate": 48000, "binary": True},
        "!text",
        {"type": "response_start", "response_id": "a"},
        {"type": "emotion", "response_id": "a", "name": "joy", "at_ms": 10},
        {
            "type": "audio_delta",
            "response_id": "a",
            "data": SOUND,
            "words": [{"text": "hi", "start_ms": 0, "end_ms": 5}],
            "phonemes": [{"symbol": "i", "start_ms": 0, "end_ms": 5, "stress": 1}],
        },
        PCM,
        {"type": "response_end", "response_id": "a", "transcript": "hi"},
    ),
    _said(
        "!speech",
        {"type": "user_speaking", "speaking": True},
        {"type": "transcript_delta", "role": "user", "delta": "hel"},
        {"type": "user_transcript", "transcript": "hello"},
        {"type": "transcript_delta", "delta": "hi there"},
        {"type": "trigger_action", "function_name": "wave", "arguments": {"a": 1}},
        {"type": "tool_call", "call_id": "c", "name": "look_up", "arguments": {"q": "x"}},
        {"type": "interrupted"},
        {"type": "error", "error": {"code": "OUT_OF_QUOTA", "message": "no"}},
    ),
]
_ITEM = {"response_id": "r", "item_id": "i"}
REMOTE += [
    _said(
        "!text",
        {"type": "response_start", "response_id": "a"},
        {"type": "transcript_delta", "response_id": "a", "delta": "hi there"},
        {"type": "tool_call", "call_id": "c", "name": "nod", "arguments": {}},
        "!done",
        {"type": "audio_delta", "response_id": "a", "data": SOUND},
        "!wait 0.05",
        "!stop",
        "!hold",
        {"type": "hello", "input_rate": 8000, "output_rate": 8000},
        PCM,
        "!error",
        {"type": "response_end"},
    ),
]
OPENAI = [
    _said(
        "!text",
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.added", "response_id": "r", "item": {"id": "i", "type": "message"}},
        {"type": "response.output_audio_transcript.delta", **_ITEM, "delta": "hi"},
        {"type": "response.output_audio.delta", **_ITEM, "delta": SOUND},
        "!stop",
        {"type": "response.audio.delta", **_ITEM, "delta": SOUND},
        {"type": "response.done", "response": {"id": "r", "status": "completed", "output": []}},
    ),
    _said(
        "!speech",
        {"type": "input_audio_buffer.speech_started"},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 100},
        {"type": "input_audio_buffer.committed", "item_id": "u"},
        {"type": "conversation.item.input_audio_transcription.delta", "item_id": "u", "delta": "he"},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "u", "transcript": "he"},
        {"type": "conversation.item.input_audio_transcription.failed", "item_id": "u", "error": {}},
        {"type": "error", "error": {"code": "c", "message": "m", "event_id": "settings"}},
    ),
    _said(
        "!text",
        {"type": "response.created", "response": {"id": "r"}},
        {
            "type": "response.output_item.done",
            "response_id": "r",
            "item": {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": '{"q":1}'},
        },
        {
            "type": "response.done",
            "response": {"id": "r", "status": "failed", "status_details": {"error": {"code": "x"}}},
        },
    ),
]
GEMINI = [
    _said(
        "!text",
        {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}},
        {
            "serverContent": {
                "modelTurn": {"parts": [{"inlineData": {"data": SOUND, "mimeType": "audio/pcm"}}]}
            }
        },
        {"serverContent": {"outputTranscription": {"text": "hi"}}},
        {"serverContent": {"generationComplete": True}},
        {"serverContent": {"turnComplete": True}},
    ),
    _said(
        "!speech",
        {"serverContent": {"inputTranscription": {"text": "hello"}}},
        {"serverContent": {"interrupted": True}},
        {"toolCall": {"functionCalls": [{"id": "c", "name": "look_up", "args": {"q": 1}}]}},
        {"toolCallCancellation": {"ids": ["c"]}},
        {"goAway": {"timeLeft": "1s"}},
    ),
]
WAITS = ("!wait 0", "!wait 0.05", "!wait 0.3")
CALLERS = (
    *WAITS,
    "!drop",
    "!leave",
    "!open",
    '!open {"query":"token=$OTHER"}',
    '!open {"query":"","authorization":"Bearer $TOKEN"}',
    '!open {"query":"","subprotocols":["bearer","$TOKEN"],"origin":"http://localhost:8080"}',
    '!open {"query":"token=$TOKEN&token=$TOKEN"}',
)
USERS = (*WAITS, "!text", "!speech", "!mic", "!hold", "!stop", "!done", "!close", "!error")
ACTS: dict[str, tuple[str, ...]] = {
    "widget": CALLERS,
    "api": CALLERS,
    "frames": CALLERS,
    "page": WAITS,
    "remote": USERS,
    "openai": USERS,
    "gemini": USERS,
}
"""What may stand between the messages."""
SEEDS: dict[str, list[list[Message]]] = {
    "widget": WIDGET,
    "api": API,
    "frames": FRAMES,
    "page": PAGE,
    "remote": REMOTE,
    "openai": OPENAI,
    "gemini": GEMINI,
}
