"""What goes between a stage that runs elsewhere and whoever uses it: lines of JSON, each with bytes behind it
if it says so. The names of the routes are the kinds of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from visavis.errors import VisavisError
from visavis.events import Phoneme, ToolCall, Word
from visavis.stages import Message, Samples, Speech, Transcript
from visavis.tools import Tool

KINDS = ("end_of_turn", "asr", "llm", "tts", "face")
LARGEST_REQUEST = 8 << 20
"""Bytes: two minutes of what is listened to."""
LARGEST_ANSWER = 64 << 20
"""Bytes of one line with what is behind it."""
LONGEST_LINE = 4 << 20
LONGEST_WINDOW = 30 * 16_000
"""Samples that a face hears at a time."""
DUE, PATIENCE = "visavis-due", "visavis-patience"
"""Headers of requests: in how many seconds the answer is needed, and after how many nobody waits for it."""
MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Hello:
    """What a stage tells of itself; what only some kinds have is empty for the others."""

    kind: str
    handler: str
    model: str | None = None
    device: str | None = None
    languages: tuple[str, ...] = ()
    detects: bool = False
    rate: int = 0
    cast: bool = False
    """Whether its voice can be anybody's."""


@dataclass(frozen=True, slots=True)
class Question:
    """For a language model."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Saying:
    """For a voice; `avatar`: whose it is, empty is its own."""

    text: str
    language: str | None = None
    avatar: str = ""


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of speech, whose PCM is behind it."""

    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...] | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `size` bytes follow it. The last one is the `end` or an `error` (code, message)."""

    size: int = 0
    text: str = ""
    call: ToolCall | None = None
    sound: Sound | None = None
    error: tuple[str, str] | None = None
    end: bool = False


HELLO = TypeAdapter(Hello)
QUESTION = TypeAdapter(Question)
SAYING = TypeAdapter(Saying)
LINE = TypeAdapter(Line)
TRANSCRIPT = TypeAdapter(Transcript)


def seconds(said: str) -> float:
    """Of a header. Raises `ValueError`."""
    found = float(said)
    if not -MOST_SECONDS <= found <= MOST_SECONDS:
        raise ValueError(f"{said[:20]} s is too much")
    return found


def samples(body: bytes) -> Samples:
    """Raises `ValueError` when it is not float32."""
    return np.frombuffer(body, "<f4")


def body(audio: Samples) -> bytes:
    return np.ascontiguousarray(audio, "<f4").tobytes()


def written(line: Line, payload: bytes = b"") -> bytes:
    return orjson.dumps(line) + b"\n" + payload


def spoken(speech: Speech) -> bytes:
    return written(Line(len(speech.pcm), sound=Sound(speech.words, speech.phonemes)), speech.pcm)


def heard(line: Line, payload: bytes) -> Speech:
    if line.sound is None:
        raise ValueError("no speech where speech was expected")
    return Speech(payload, line.sound.words, line.sound.phonemes)


def question(messages: Sequence[Message], tools: Sequence[Tool]) -> bytes:
    return orjson.dumps(Question(tuple(messages), tuple(tools)), default=dict)


class Lines:
    """Takes lines out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._line: Line | None = None

    def __call__(self, data: bytes) -> list[tuple[Line, bytes]]:
        """Those that are complete now. Raises `ValueError` when they are not what they should be."""
        self._waiting += data
        found: list[tuple[Line, bytes]] = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def _next(self) -> tuple[Line, bytes] | None:
        line = self._line or self._begun()
        if line is None or len(self._waiting) < line.size:
            self._line = line
            return None
        self._line = None
        payload = bytes(self._waiting[: line.size])
        del self._waiting[: line.size]
        return line, payload

    def _begun(self) -> Line | None:
        end = self._waiting.find(b"\n")
        if end < 0:
            if len(self._waiting) > LONGEST_LINE:
                raise ValueError("a line does not end")
            return None
        line = LINE.validate_json(bytes(self._waiting[:end]))
        del self._waiting[: end + 1]
        if not 0 <= line.size <= LARGEST_ANSWER:
            raise ValueError("a piece is too large")
        return line


def failure(body: bytes) -> VisavisError | None:
    """The error that an answer tells of, if it is one of ours."""
    try:
        told: Any = orjson.loads(body)["error"]
        return VisavisError(str(told["code"])[:64], str(told["message"])[:1000])
    except (ValueError, LookupError, TypeError, ValidationError):
        return None
