"""The agent protocol (docs/agent-protocol.md) as pure functions: messages in, checked values out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, get_args

import orjson
import pybase64

from visavis import events as ev
from visavis.json_values import LEVELS, too_deep
from visavis.stages import Message as Said
from visavis.tools import Tool

RATE = 24_000
"""Hz of the audio in both directions until a hello says otherwise."""
RATES = (8_000, 48_000)
MAX_MESSAGE = 4 << 20
"""Bytes of the largest message an agent may send: a minute of sound in base64."""
LONGEST_TEXT = 4_000
"""Characters of one message's text."""
LONGEST_NAME = 100
MOST_TIMES = 2_000
"""Words, or phonemes, in one message."""
LONGEST_REPLY = 3_600.0
"""Seconds; later times cannot be meant."""
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")

Message = dict[str, Any]
T = TypeVar("T")


class Malformed(ValueError):
    """A message that does not keep to the protocol; `str(error)` says in what."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What an agent wants to hear and will send: rates in Hz, audio as binary messages or in base64."""

    input_rate: int = RATE
    output_rate: int = RATE
    binary: bool = False


def parse(text: str) -> Message:
    """A text message: an object with a `type`."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Malformed("expected an object with a type")
    return message


def serialise(message: Message) -> str:
    return orjson.dumps(message).decode()


def encoded(pcm: bytes) -> str:
    return pybase64.b64encode(pcm).decode()


# -- to the agent ----------------------------------------------------------------------------------------
def welcome(hello: Hello, instructions: str, history: list[Said], tools: Iterable[Tool]) -> Message:
    """The answer to an agent's hello."""
    return {
        "type": "hello",
        "version": 1,
        "input_rate": hello.input_rate,
        "output_rate": hello.output_rate,
        "binary": hello.binary,
        "instructions": instructions,
        "tools": [asdict(tool) for tool in tools],
        "history": [{"role": said.role, "text": said.text} for said in history],
    }


def tool_result(result: ev.ToolResult) -> Message:
    """What came of a `tool_call`."""
    return {"type": "tool_result", "call_id": result.call, "output": result.output, "failed": result.failed}


def mic_on(event: ev.MicOn) -> Message:
    """The microphone is on; while a button is held, pauses end nothing."""
    return {"type": "mic_on"} if event.hands_free else {"type": "mic_on", "hands_free": False}


def interrupt(response: str | None, heard: float, text: str) -> Message:
    """The user cut a response off after `heard` seconds, which said `text`."""
    message: Message = {"type": "interrupt", "heard_ms": round(heard * 1000), "text": text}
    return message if response is None else message | {"response_id": response}


# -- from the agent ----------------------------------------------------------------------------------------
def read_hello(message: Message) -> Hello:
    return Hello(
        _rate(message, "input_rate"), _rate(message, "output_rate"), flag(message, "binary", default=False)
    )


def read_pcm(message: Message) -> bytes:
    """The `data` of a message; empty when there is none."""
    try:
        return pybase64.b64decode(_field(message, "data", str, ""), validate=True)
    except ValueError:
        raise Malformed("data is not base64") from None


def read_words(message: Message) -> tuple[ev.Word, ...]:
    return tuple(ev.Word(text(entry, "text").strip(), *_span(entry)) for entry in _entries(message, "words"))


def read_phonemes(message: Message) -> tuple[ev.Phoneme, ...] | None:
    """The timed phonemes, or None when the message has no such field."""
    if message.get("phonemes") is None:
        return None
    return tuple(
        ev.Phoneme(text(entry, "symbol"), *_span(entry), stress=_stress(entry))
        for entry in _entries(message, "phonemes")
    )


def read_action(message: Message) -> tuple[str, Message]:
    """What the client is to do, and with which arguments."""
    name = text(message, "function_name")
    if not name:
        raise Malformed("trigger_action needs a function_name")
    return name[:LONGEST_NAME], _arguments(_field(message, "arguments", dict, {}))


def read_call(message: Message) -> ev.ToolCall:
    """The tool that the agent calls."""
    call, name = text(message, "call_id"), text(message, "name")
    if not call or not name:
        raise Malformed("tool_call needs a call_id and a name")
    return ev.ToolCall(call[:LONGEST_NAME], name, _arguments(message.get("arguments") or {}))


def read_emotion(message: Message) -> tuple[ev.EmotionName, float | None]:
    """The face from then on, and when in the response's audio that is, in seconds, if the message says."""
    name = text(message, "name")
    emotion = next((known for known in get_args(ev.EmotionName) if known == name), None)
    if emotion is None:
        raise Malformed(f"name must be one of {', '.join(get_args(ev.EmotionName))}")
    if message.get("at_ms") is None:
        return emotion, None
    return emotion, _seconds(message, "at_ms")


def read_error(message: Message) -> tuple[str, str]:
    """An error's code and sentence; `error` is a sentence, or an object with `code` and `message`."""
    error = message.get("error")
    if isinstance(error, dict):
        code, sentence = error.get("code"), error.get("message") or error.get("error")
    else:
        code, sentence = message.get("code"), error or message.get("message")
    known = isinstance(code, str) and _CODE.fullmatch(code)
    sentence = sentence[:LONGEST_TEXT] if isinstance(sentence, str) and sentence else ""
    return str(code) if known else "AGENT_ERROR", sentence or "The agent reports an error."


def text(message: Message, *names: str) -> str:
    """The first of the fields `names` that is there, no longer than `LONGEST_TEXT`; empty when none is."""
    found = next((name for name in names if message.get(name) is not None), names[0])
    return _field(message, found, str, "")[:LONGEST_TEXT]


def flag(message: Message, name: str, *, default: bool) -> bool:
    return _field(message, name, bool, default)


def _field(message: Message, name: str, kind: type[T], default: T) -> T:
    value = message.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise Malformed(f"{name} must be of the type {kind.__name__}")
    return value


def _arguments(given: T) -> T:
    if too_deep(given):
        raise Malformed(f"arguments must have at most {LEVELS} levels")
    return given


def _rate(message: Message, name: str) -> int:
    rate = _field(message, name, int, RATE)
    if isinstance(rate, bool) or not RATES[0] <= rate <= RATES[1]:
        raise Malformed(f"{name} must be from {RATES[0]} to {RATES[1]} Hz")
    return rate


def _entries(message: Message, name: str) -> list[Message]:
    entries = _field(message, name, list, [])
    if len(entries) > MOST_TIMES or not all(isinstance(entry, dict) for entry in entries):
        raise Malformed(f"{name} must be at most {MOST_TIMES} objects")
    return entries


def _span(entry: Message) -> tuple[float, float]:
    start, end = _seconds(entry, "start_ms"), _seconds(entry, "end_ms")
    if start > end:
        raise Malformed("start_ms must not be after end_ms")
    return start, end


def _seconds(message: Message, name: str) -> float:
    """A time in the response's audio."""
    time = message.get(name)
    seconds = time / 1000 if isinstance(time, int | float) and not isinstance(time, bool) else math.nan
    if not 0 <= seconds <= LONGEST_REPLY:  # also false for what is not a number
        raise Malformed(f"{name} must be milliseconds of the response's audio")
    return seconds


def _stress(entry: Message) -> int:
    return min(max(_field(entry, "stress", int, 0), 0), 2)
