"""The widget dialect, `WS /ws`: PCM16 in, sound and 52 ARKit weights at 30 frames a second out.

It is what the avatar-chat-widget family speaks. A client that says `hello` may ask for binary frames and
for arrays of weights, and is then told more (barge-in, partial transcripts, latency).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from visavis import events as ev
from visavis.arkit import COUNT, NAMES, Weights
from visavis.audio import BYTES, Media
from visavis.wires import BadMessage, Hello, Message, cited
from visavis.wires.reading import as_action_done, as_base64, as_choice, as_field, as_object

PROTOCOL = "visavis-widget/1"
RATES = range(8_000, 192_001)
"""Hz a microphone may have."""
LONGEST_TEXT = 4_000
"""Characters of a typed message."""
AVATAR = re.compile(r"[a-z0-9]{0,40}")
STATES = {"idle": "Idle", "listening": "Listening", "thinking": "Thinking", "speaking": "Responding"}
SYNC_FRAME, VERSION = 1, 1
"""First two bytes of a binary frame."""

# One JSON object of weights as a template: all digits of k frames are written by one numpy pass.
_HEAD = b'","weights":{'
_OBJECT = _HEAD + b",".join(b'"%b":0.000' % name.encode() for name in NAMES) + b"}}"
_DIGITS = np.frombuffer(b"".join(b"%.3f" % (i / 1000) for i in range(1001)), np.uint8).reshape(1001, 5)


def _digit_columns() -> NDArray[np.intp]:
    at, columns = len(_HEAD), []
    for name in NAMES:
        at += len(name) + 3
        columns.append(at)
        at += 6
    return (np.array(columns, np.intp)[:, None] + np.arange(5, dtype=np.intp)).ravel()


_COLUMNS = _digit_columns()
_TEMPLATE = np.frombuffer(_OBJECT, np.uint8)
_SIZE = len(_OBJECT)


@lru_cache(maxsize=16)
def _places(count: int) -> NDArray[np.intp]:
    """Where the digits of `count` such objects lie, one after another."""
    return (np.arange(count)[:, None] * _SIZE + _COLUMNS).ravel()


def _objects(weights: Weights) -> str:
    """The JSON of each frame's weights, one after another, `_SIZE` characters each."""
    count = len(weights)
    text = np.empty((count, _SIZE), np.uint8)
    text[:] = _TEMPLATE
    thousandths = (weights * np.float32(1000) + np.float32(0.5)).astype(np.intp)
    text.reshape(-1)[_places(count)] = _DIGITS.take(thousandths, 0, mode="clip").ravel()
    return text.tobytes().decode()


class WidgetWire:
    """The codec of one connection; what `hello` asked for is all it remembers."""

    def __init__(self, session_id: str, media: Media | None = None) -> None:
        self.session_id = session_id
        self.media = media or Media()
        self.extended = False
        """The client said `hello`."""
        self.binary = False
        self.array = False

    # -- client -> server ----------------------------------------------------------------------------
    def decode(self, message: Message) -> list[ev.FromClient | Hello]:
        if isinstance(message, bytes):
            return [_audio(message)]
        data = as_object(message)
        match data.get("type"):
            case "text":
                return [self._text(data)]
            case "audio":
                return [_audio(as_base64(as_field(data, "data", str)))]
            case "audio_stream_start":
                return [_mic_on(data)]
            case "audio_stream_end":
                return [ev.MicOff()]
            case "interrupt":
                return [ev.Interrupt()]
            case "ping":
                return [ev.Ping()]
            case "action_result":
                return [as_action_done(data, "callId")]
            case "playback":
                return [ev.Played(_turn_number(data), _frame_index(data))]
            case "hello":
                return [self._hello(data)]
            case str(kind):
                raise BadMessage("UNKNOWN_TYPE", f"Unknown message type {kind[:40]!r}.")
            case _:
                raise BadMessage("BAD_MESSAGE", 'Every message needs a "type" that is a string.')

    def _text(self, data: dict[str, Any]) -> ev.UserText:
        text = as_field(data, "data", str).strip()
        if not text:
            raise BadMessage("BAD_FIELD", '"data" is empty: there is nothing to say.')
        if len(text) > LONGEST_TEXT:
            raise BadMessage("TEXT_TOO_LONG", f"A message may have at most {LONGEST_TEXT} characters.")
        # A client that names its user shows the message itself; the others wait for it to come back.
        return ev.UserText(text, echo=data.get("userId") is None)

    def _hello(self, data: dict[str, Any]) -> Hello:
        encoding = as_choice(data, "encoding", "json", "binary")
        weights = as_choice(data, "weights", "object", "array")
        resume = data.get("resume")
        if resume is not None and not isinstance(resume, str):
            raise BadMessage("BAD_FIELD", '"resume" must be the token from "config", a string.')
        avatar = as_field(data, "avatar", str) if data.get("avatar") is not None else ""
        if not AVATAR.fullmatch(avatar):
            raise BadMessage("BAD_FIELD", '"avatar" must be the name of an avatar.')
        recording = data.get("recording", True)
        if not isinstance(recording, bool):
            raise BadMessage("BAD_FIELD", '"recording" must be true or false.')
        self.extended, self.binary, self.array = True, encoding == "binary", weights == "array"
        return Hello(resume, avatar, recording)

    # -- server -> client ----------------------------------------------------------------------------
    def config(
        self, input_rate: int, resume: str, timestamp: int, *, resumed: bool = False, recorded: bool = False
    ) -> Message:
        """The first message of every connection, and the first after a conversation was resumed. `recorded`:
        what is said in it is kept for later."""
        return _json(
            "config",
            audio={"inputSampleRate": input_rate, "outputSampleRate": self.media.rate},
            protocol=PROTOCOL,
            sessionId=self.session_id,
            fps=self.media.fps,
            blendshapes=NAMES,
            resume=resume,
            resumed=resumed,
            **({"recorded": True} if recorded else {}),
            timestamp=timestamp,
        )

    def encode(self, event: ev.ToClient, timestamp: int) -> Sequence[Message]:
        if isinstance(event, ev.Frames):
            if self.binary:
                return self._binary_frames(event, timestamp)
            return self._array_frames(event, timestamp) if self.array else self._frames(event, timestamp)
        return self._encode_message(event, timestamp)

    def _encode_message(self, event: ev.ToClient, timestamp: int) -> Sequence[Message]:
        session, now = self.session_id, timestamp
        match event:
            case ev.StateChanged(state):
                return [_json("avatar_state", state=STATES[state], timestamp=now)]
            case ev.TurnStarted(turn):
                number = {"turn": turn} if self.binary else {}
                sound = {"sampleRate": self.media.rate, "format": "audio/pcm16"}
                return [
                    _json(
                        "audio_start", turnId=_id(turn), sessionId=session, **sound, **number, timestamp=now
                    )
                ]
            case ev.AudioEnded(turn):
                return [_json("audio_end", turnId=_id(turn), sessionId=session, timestamp=now)]
            case ev.WordSpoken(turn, word):
                return [self._delta(turn, word, now)]
            case ev.TurnEnded():
                return self._end(event, now)
            case ev.UserTurn(turn, text):
                said = {"role": "user", "text": text, "turnId": f"user_{turn}", "sessionId": session}
                return [_json("transcript_done", **said, itemId=f"item_user_{turn}", timestamp=now)]
            case ev.Action(name, arguments, call):
                id = {"callId": call} if call else {}
                return [_json("trigger_action", function_name=name, arguments=arguments, **id, timestamp=now)]
            case ev.Pong():
                return [_json("pong", timestamp=now)]
            case ev.Problem(code, text):
                return [_json("error", code=code, message=text, error=text, timestamp=now)]
            case ev.UserPartial() | ev.BargedIn() | ev.TurnLedger() | ev.TurnSources() if self.extended:
                return [self._extra(event, now)]
        return []

    def _delta(self, turn: int, word: ev.Word, now: int) -> Message:
        offsets = {"startOffset": round(word.start * 1000), "endOffset": round(word.end * 1000)}
        said = {"role": "assistant", "text": word.text, "turnId": _id(turn), "sessionId": self.session_id}
        return _json("transcript_delta", **said, **offsets, itemId=f"item_{turn}", timestamp=now)

    def _end(self, event: ev.TurnEnded, now: int) -> Sequence[Message]:
        turn, heard = _id(event.turn), round(event.heard * 1000)
        said = {"role": "assistant", "text": event.text, "turnId": turn, "sessionId": self.session_id}
        done = {**said, "itemId": f"item_{event.turn}", "finalAudioDurationMs": heard, "timestamp": now}
        if not event.interrupted:
            return [_json("transcript_done", **done)]
        cut = _json("interrupt", turnId=turn, sessionId=self.session_id, offsetMs=heard, timestamp=now)
        return [cut, _json("transcript_done", **done, interrupted=True)]

    def _extra(
        self, event: ev.UserPartial | ev.BargedIn | ev.TurnLedger | ev.TurnSources, now: int
    ) -> Message:
        match event:
            case ev.UserPartial(text):
                return _json("transcript_partial", role="user", text=text, timestamp=now)
            case ev.BargedIn(turn, phase):
                return _json("barge_in", turnId=_id(turn), phase=phase, timestamp=now)
            case ev.TurnLedger(turn, ms):
                ledger = {_camel(stage): value for stage, value in ms.items()}
                return _json("turn_metrics", turnId=_id(turn), **ledger, timestamp=now)
            case ev.TurnSources(turn, sources):
                return _json("sources", turnId=_id(turn), **cited(sources), timestamp=now)

    # -- frames ----------------------------------------------------------------------------------------
    def _frames(self, event: ev.Frames, timestamp: int) -> Sequence[Message]:
        heads, objects = self._heads(event, timestamp), _objects(event.weights)
        return [head + objects[k * _SIZE : (k + 1) * _SIZE] for k, head in enumerate(heads)]

    def _array_frames(self, event: ev.Frames, timestamp: int) -> Sequence[Message]:
        rows = np.round(np.clip(event.weights, 0, 1).astype(np.float64), 3)
        heads = self._heads(event, timestamp)
        return [
            head + '","weights":' + orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "}"
            for head, row in zip(heads, rows, strict=True)
        ]

    def _heads(self, event: ev.Frames, timestamp: int) -> list[str]:
        """The beginning of each frame's JSON up to the end of its audio."""
        named = f'"sessionId":"{self.session_id}","turnId":"{_id(event.turn)}","timestamp":{timestamp}'
        head = f'{{"type":"sync_frame",{named},"frameIndex":'
        return [
            f'{head}{frame},"audio":"{pybase64.b64encode_as_string(pcm)}'
            for frame, pcm in enumerate(self._sounds(event), event.first)
        ]

    def _binary_frames(self, event: ev.Frames, timestamp: int) -> Sequence[Message]:
        bodies: NDArray[np.uint8] = (np.clip(event.weights, 0, 1) * 255 + 0.5).astype(np.uint8)
        return [
            _binary_head(event.turn, event.first + k, timestamp) + body.tobytes() + pcm
            for k, (body, pcm) in enumerate(zip(bodies, self._sounds(event), strict=True))
        ]

    def _sounds(self, event: ev.Frames) -> list[bytes]:
        """The PCM of each frame."""
        rate, fps, end = self.media.rate, self.media.fps, event.first + len(event.weights)
        edges = [frame * rate // fps * BYTES for frame in range(event.first, end + 1)]
        return [event.pcm[a - edges[0] : b - edges[0]] for a, b in pairwise(edges)]


def decode_binary_frame(message: bytes) -> tuple[int, int, int, Weights, bytes]:
    """Turn number, frame index, timestamp (ms), float32[52] and PCM16 of a binary frame."""
    if len(message) < 20 + COUNT or message[0] != SYNC_FRAME or message[1] != VERSION:
        raise ValueError("not a binary sync frame of version 1")
    turn, index = (int.from_bytes(message[at : at + 4], "little") for at in (4, 8))
    weights = np.frombuffer(message, np.uint8, COUNT, 20).astype(np.float32) / np.float32(255)
    return turn, index, int.from_bytes(message[12:20], "little"), weights, message[20 + COUNT :]


def _binary_head(turn: int, index: int, timestamp: int) -> bytes:
    """1 byte kind, 1 byte version, u16 flags, u32 turn, u32 frame index, u64 ms; little-endian."""
    sizes: tuple[tuple[int, Literal[2, 4, 8]], ...] = ((0, 2), (turn, 4), (index, 4), (timestamp, 8))
    return bytes((SYNC_FRAME, VERSION)) + b"".join(value.to_bytes(size, "little") for value, size in sizes)


def _id(turn: int) -> str:
    return f"turn_{turn}"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _json(type: str, **fields: Any) -> str:
    return orjson.dumps({"type": type, **fields}).decode()


# -- reading what may be hostile ---------------------------------------------------------------------------
def _audio(pcm: bytes) -> ev.UserAudio:
    if len(pcm) % BYTES:
        raise BadMessage("BAD_AUDIO", "PCM16 audio must have an even number of bytes.")
    return ev.UserAudio(pcm)


def _mic_on(data: dict[str, Any]) -> ev.MicOn:
    if data.get("format") not in (None, "pcm16", "audio/pcm16", "audio/pcm"):
        raise BadMessage("BAD_FIELD", '"format" must be audio/pcm16.')
    hands_free = data.get("handsFree", True)
    if not isinstance(hands_free, bool):
        raise BadMessage("BAD_FIELD", '"handsFree" must be true or false.')
    if data.get("sampleRate") is None:
        return ev.MicOn(hands_free=hands_free)
    rate = as_field(data, "sampleRate", int)
    if rate not in RATES:
        raise BadMessage("BAD_FIELD", f'"sampleRate" must lie between {RATES[0]} and {RATES[-1]} Hz.')
    return ev.MicOn(rate, hands_free)


_TURN = re.compile(r"turn_(\d{1,9})")


def _turn_number(data: dict[str, Any]) -> int:
    match = _TURN.fullmatch(as_field(data, "turnId", str))
    if match is None:
        raise BadMessage("BAD_FIELD", '"turnId" must be the turn\'s id from "audio_start".')
    return int(match[1])


def _frame_index(data: dict[str, Any]) -> int:
    index = as_field(data, "frameIndex", int)
    if not 0 <= index < 1 << 32:
        raise BadMessage("BAD_FIELD", '"frameIndex" must not be negative.')
    return index
