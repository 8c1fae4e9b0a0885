"""One line of a recording: values to JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args

import numpy as np
import orjson
import pybase64

from visavis import events as ev
from visavis.arkit import COUNT
from visavis.recording.redaction import Redaction, plain
from visavis.wires import Message

Line = dict[str, Any]
_EVENTS: dict[str, type] = {kind.__name__: kind for kind in (*get_args(ev.Event), *get_args(ev.Effect))}


def encode(kind: str, values: Mapping[str, Any], redaction: Redaction) -> bytes:
    """A line of `kind`, with its end; `values` may be events and messages. What must not be in it is not."""
    line: Line = {"kind": kind}
    for name, value in values.items():
        if name == "event":
            line |= redaction.event(pack(value, whole=kind != "asked"))
        elif name == "message":
            line |= _message(redaction.message(value, come=kind == "in"))
        else:
            line[name] = value
    return orjson.dumps(line, default=plain, option=orjson.OPT_APPEND_NEWLINE)


def message_of(line: Line) -> Message:
    """The message in a line. Raises `KeyError` or `ValueError`."""
    return str(line["text"]) if "text" in line else pybase64.b64decode(line["bytes"], validate=True)


def _message(message: Message) -> Line:
    return {"text": message} if isinstance(message, str) else {"bytes": _base64(message)}


# -- events --------------------------------------------------------------------------------------------------
def pack(event: ev.Event | ev.Effect, *, whole: bool = True) -> Line:
    """An event by name, its sound and weights in base64; not `whole`: of its sound only how much it is.
    Drawings are left out."""
    packed: Line = {"event": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "drawings":
            continue
        if isinstance(value, bytes):
            packed[field.name] = _base64(value) if whole else len(value)
        elif isinstance(value, np.ndarray):
            packed[field.name] = _base64(np.ascontiguousarray(value, "<f4").tobytes())
        else:
            packed[field.name] = value
    return packed


def unpack(line: Line) -> Any:
    """The event in a line. Raises `KeyError`, `TypeError` or `ValueError` when there is none."""
    kind = _EVENTS[line["event"]]
    known = {field.name for field in fields(kind)}
    values = {name: _READ.get(name, _same)(value) for name, value in line.items() if name in known}
    return kind(**values)


def _base64(data: bytes) -> str:
    return pybase64.b64encode_as_string(data)


def _same(value: Any) -> Any:
    return value


def _bytes(value: str) -> bytes:
    return pybase64.b64decode(value, validate=True)


def _weights(value: str) -> Any:
    return np.frombuffer(_bytes(value), "<f4").reshape(-1, COUNT).astype(np.float32)


def _many(kind: type) -> Callable[[Any], Any]:
    return lambda value: None if value is None else tuple(kind(**each) for each in value)


_READ: dict[str, Callable[[Any], Any]] = {
    "pcm": _bytes,
    "weights": _weights,
    "words": _many(ev.Word),
    "phonemes": _many(ev.Phoneme),
    "sources": _many(ev.Source),
    "emotions": _many(ev.Emotion),
    "word": lambda value: ev.Word(**value),
}
