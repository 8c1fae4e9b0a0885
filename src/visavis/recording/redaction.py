"""What a recording does not keep: tokens never, sound and words when it is so set."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pybase64

from visavis.emotions import MEANINGS
from visavis.settings import Redacted
from visavis.wires import Message

_TAG = re.compile(rf"(\[(?:{'|'.join(MEANINGS)})\])", re.I)
_KEPT = frozenset(
    {
        *("event", "type", "name", "function_name", "code", "phase", "state", "stage", "role"),
        *("reply", "call", "callId", "sessionId", "turnId", "itemId"),
        *("format", "protocol", "encoding", "blendshapes", "avatar", "audio", "pcm", "weights", "timestamp"),
    }
)
"""Fields whose text is not of the conversation. All others are taken for words."""
_SENT = frozenset({"type", "turnId", "callId", "format", "encoding", "weights", "avatar", "resume"})
"""The same in messages of clients."""
_WORDS = frozenset(
    {"data", "userId", "result", "error", "sampleRate", "handsFree", "frameIndex", "recording"}
)
"""Their other fields. Clients may send any besides, which go, and messages of any other type, too."""
_TYPES = frozenset(
    {
        *("text", "audio_stream_start", "audio_stream_end", "interrupt", "ping"),
        *("action_result", "playback", "hello"),
    }
)
_DROPPED: dict[str, Any] = {"arguments": {}, "result": None}
"""Fields that may be anything, keys too, and what stands for them."""
_FRAME = '{"type":"sync_frame"'


@dataclass(frozen=True, slots=True)
class Redaction:
    """`audio`: silence for the microphone's sound. `text`: an x for each letter and digit, so that words keep
    their lengths; emotion tags stay, and phonemes, which are words too, go."""

    audio: bool = False
    text: bool = False

    @classmethod
    def of(cls, what: Redacted) -> Redaction:
        return cls(what in ("audio", "both"), what in ("text", "both"))

    @property
    def name(self) -> str:
        both = "both" if self.text else "audio"
        return both if self.audio else "text" if self.text else "none"

    def event(self, packed: dict[str, Any]) -> dict[str, Any]:
        """A packed event as it is kept."""
        if self.audio and packed["event"] == "UserAudio" and isinstance(packed["pcm"], str):
            packed["pcm"] = _silence(packed["pcm"])
        if not self.text:
            return packed
        # The parts of an event are values of their own until they are JSON.
        masked: dict[str, Any] = _masked(orjson.loads(orjson.dumps(packed, default=plain)))
        return masked

    def message(self, message: Message, *, come: bool) -> Message:
        """A message of the widget dialect as it is kept; `come`: it is the client's."""
        if isinstance(message, bytes):
            return bytes(len(message)) if self.audio and come else message
        if not (self.text or (self.audio and come) or '"resume"' in message):
            return message
        if message.startswith(_FRAME) and not come:
            return message  # the most of all there is; no words are in it
        try:
            data = orjson.loads(message)
        except orjson.JSONDecodeError:
            return mask(message)
        if not isinstance(data, dict):
            return mask(message)
        if isinstance(data.get("resume"), str):
            data["resume"] = "x" * len(data["resume"])
        if come and data.get("type") == "audio":
            sound = str(data.get("data", ""))
            data = {"type": "audio", "data": _silence(sound) if self.audio else sound}
        elif self.text:
            data = _of_client(data) if come else _masked(data)
        return orjson.dumps(data).decode()


def _of_client(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("type") not in _TYPES:
        return {"type": "x"}
    masked = {key: _mask_field(key, data[key]) for key in _WORDS & data.keys()}
    simple = {key: value for key, value in masked.items() if not isinstance(value, dict | list)}
    return {key: data[key] for key in _SENT & data.keys()} | dict.fromkeys(masked, "x") | simple


def plain(value: Any) -> Any:
    """A number of numpy as one of JSON, to the last digit."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)


def mask(text: str) -> str:
    """An x for each letter and digit outside of emotion tags."""
    parts = _TAG.split(text)
    return "".join(part if index % 2 else hidden(part) for index, part in enumerate(parts))


def hidden(text: str) -> str:
    """An x for each letter and digit."""
    return "".join("x" if character.isalnum() else character for character in text)


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask(value)
        case list():
            return [_masked(each) for each in value]
        case dict():
            return {key: _mask_field(key, each) for key, each in value.items()}
    return value


def _mask_field(key: str, value: Any) -> Any:
    if key in _DROPPED:
        return _DROPPED[key]
    return value if key in _KEPT else _masked(value)


def _silence(sound: str) -> str:
    """As many bytes of silence as there are in base64; what is none stays none."""
    try:
        return pybase64.b64encode_as_string(bytes(len(pybase64.b64decode(sound, validate=True))))
    except ValueError:
        return hidden(sound)
