"""A conversation as the user knows it, to be told to a provider that has forgotten it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visavis.stages import Message

CHARACTERS = 6_000
"""Most characters that are kept, about 1,500 tokens."""


@dataclass(slots=True)
class _Line:
    role: Literal["user", "assistant"]
    text: str
    reply: str = ""
    closed: bool = False


class Transcript:
    """The last `limit` things said, oldest first; replies hold what was heard of them once they are cut.

    An agent may report the user's words before it learns how much of its reply they cut off, so replies are
    found by their ids.
    """

    def __init__(self, limit: int, characters: int = CHARACTERS, history: Sequence[Message] = ()) -> None:
        self._limit, self._characters = limit, characters
        self._lines: list[_Line] = []
        for message in history:
            if message.role in ("user", "assistant"):
                self._add(_Line(message.role, message.text, closed=True))

    def user(self, text: str, before: str = "") -> None:
        """The user said `text`; ahead of the reply `before`, which has begun already, if there is one."""
        if text := text.strip():
            self._add(_Line("user", text), before)

    def said(self, reply: str, text: str) -> None:
        """The next piece of a reply's text, with its spaces."""
        line = self._find(reply)
        if line is None:
            self._add(_Line("assistant", text[-self._characters :], reply))
        elif not line.closed:
            line.text = (line.text + text)[-self._characters :]

    def cut(self, reply: str, heard: str) -> str:
        """Only `heard` of a reply was heard; returns what it had said until now."""
        line = self._find(reply)
        if line is None:
            line = _Line("assistant", "", reply)
            self._add(line)
        said, line.text, line.closed = line.text.strip(), heard.strip(), True
        return said

    def messages(self) -> list[Message]:
        """What was said and heard, without what never was."""
        return [Message(line.role, text) for line in self._lines if (text := line.text.strip())]

    def _find(self, reply: str) -> _Line | None:
        return next((line for line in reversed(self._lines) if line.reply == reply), None)

    def _add(self, line: _Line, before: str = "") -> None:
        answer = self._find(before) if before else None
        self._lines.insert(len(self._lines) if answer is None else self._lines.index(answer), line)
        size = sum(len(line.text) for line in self._lines)
        while len(self._lines) > self._limit or (size > self._characters and len(self._lines) > 1):
            size -= len(self._lines.pop(0).text)
