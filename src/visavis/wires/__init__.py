"""Who talks to the client: pure codecs between a dialect's messages and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from visavis.audio import Media
from visavis.events import FromClient, Source, ToClient

Message = str | bytes
"""One WebSocket message: text or binary."""


class BadMessage(ValueError):
    """The client sent something the dialect does not define; code and text are safe to send back."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Hello:
    """The client's first words: what it understands, and the conversation it wants to go on with."""

    resume: str | None = None
    avatar: str = ""
    """Whose face the client shows."""
    recording: bool = True
    """The conversation may be recorded, where the server does."""


def cited(sources: Sequence[Source]) -> dict[str, Any]:
    """The field that says what a reply draws on, when it draws on something."""
    return {"sources": [asdict(source) for source in sources]} if sources else {}


class Wire(Protocol):
    media: Media

    def decode(self, message: Message) -> list[FromClient | Hello]:
        """What a client's message means; raises `BadMessage`."""
        ...

    def encode(self, event: ToClient, timestamp: int) -> Sequence[Message]:
        """The messages that tell the client of `event`; `timestamp` is milliseconds of wall-clock time."""
        ...
