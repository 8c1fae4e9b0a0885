"""The conversation of a simulated OpenAI session: what the model believes was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from visavis.events import Word
from visavis.simulators.voice import RATE


@dataclass(slots=True)
class Item:
    """A message, a call of a function or what it returned."""

    id: str
    kind: str
    role: str = ""
    text: str = ""
    words: tuple[Word, ...] = ()
    """Of speech; then the text is what of it was sent."""
    samples: int = 0
    """Of speech, sent so far."""
    end: float | None = None
    """Seconds after which it was truncated."""
    call: Mapping[str, Any] = field(default_factory=dict)
    response: str = ""
    """The response that made it."""

    @property
    def known(self) -> str:
        """What the model remembers of it."""
        if not self.words:
            return self.text
        end = self.samples / RATE if self.end is None else self.end
        return " ".join(word.text for word in self.words if word.end <= end + 0.001)

    def wire(self, beta: bool, status: str = "completed") -> dict[str, Any]:
        """As the protocol shows it."""
        item: dict[str, Any] = {"id": self.id, "object": "realtime.item", "type": self.kind, "status": status}
        if self.kind != "message":
            return {**item, **self.call}
        if self.role == "assistant":
            spoken = {"type": "audio" if beta else "output_audio", "transcript": self.known}
            return {**item, "role": self.role, "content": [spoken] if self.words else []}
        return {**item, "role": self.role, "content": [{"type": "input_text", "text": self.text}]}


class Items:
    """All items in order."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}

    def new(self, kind: str, role: str = "", text: str = "", *, id: str, response: str = "") -> Item:
        item = Item(id, kind, role, text, response=response)
        self._items[id] = item
        return item

    def of(self, response: str) -> list[Item]:
        """What a response has made."""
        return [item for item in self._items.values() if item.response == response]

    def returned(self) -> str | None:
        """What a function returned, when that is the last thing said."""
        last = next(reversed(self._items.values()), None)
        return str(last.call["output"]) if last is not None and last.kind == "function_call_output" else None

    def get(self, id: str) -> Item | None:
        return self._items.get(id)

    def delete(self, id: str) -> bool:
        return self._items.pop(id, None) is not None

    def truncate(self, id: str, milliseconds: int) -> str:
        """Forget a spoken item's end; returns why not, or nothing."""
        item = self._items.get(id)
        if item is None or not item.words or milliseconds <= 0:
            return "Only model output audio messages can be truncated"
        length = item.samples * 1000 // RATE
        if milliseconds > length:
            return f"Audio content of {length}ms is already shorter than {milliseconds}ms"
        item.end = milliseconds / 1000
        return ""

    def last_of_user(self) -> Item | None:
        return next((item for item in reversed(self._items.values()) if item.role == "user"), None)

    def context(self) -> list[tuple[str, str]]:
        """Who said what, as the model knows it; returned values of functions are said by "tool"."""
        said = []
        for item in self._items.values():
            if item.kind == "message":
                said.append((item.role, item.known))
            elif item.kind == "function_call_output":
                said.append(("tool", str(item.call.get("output", ""))))
        return [(role, text) for role, text in said if text]
