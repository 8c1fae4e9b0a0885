"""Calls of functions as OpenAI-compatible servers write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from visavis.events import ToolCall
from visavis.stages import Message
from visavis.tools import Tool
from visavis.tools.toolbox import LONGEST_ARGUMENTS, parsed

MOST = 16
"""Calls in one answer."""


def declared(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The field `tools` of a request."""
    return [{"type": "function", "function": asdict(tool)} for tool in tools]


def written(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The field `messages` of a request."""
    return [_written(message) for message in messages]


def _written(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.call:
        said["tool_call_id"] = message.call
    if message.calls:
        said["tool_calls"] = [
            {"id": call.call, "type": "function", "function": _function(call)} for call in message.calls
        ]
    return said


def _function(call: ToolCall) -> dict[str, str]:
    # What was no JSON is not repeated: servers parse it.
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    return {"name": call.name, "arguments": orjson.dumps(arguments).decode()}


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


class StreamedCalls:
    """The calls of one answer, whose names and arguments come in pieces (`delta.tool_calls`)."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def add(self, pieces: Any) -> None:
        """Take what one event holds; what is not well-formed is left out."""
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, dict):
                continue
            index = piece.get("index", len(self._calls))
            if not isinstance(index, int) or (index not in self._calls and len(self._calls) >= MOST):
                continue
            call, function = self._calls.setdefault(index, _Call()), piece.get("function")
            call.id = call.id or _text(piece.get("id"))
            if isinstance(function, dict):
                call.name = call.name or _text(function.get("name"))
                call.arguments += _text(function.get("arguments"))[: LONGEST_ARGUMENTS + 1]
                call.arguments = call.arguments[: LONGEST_ARGUMENTS + 1]

    def complete(self) -> list[ToolCall]:
        """All of them, once the answer has ended."""
        return [ToolCall(call.id, call.name, parsed(call.arguments)) for call in self._calls.values()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
