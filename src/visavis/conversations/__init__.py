"""Conversations that are written down: what was said, as it was heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from visavis.events import Source, Word


@dataclass(frozen=True, slots=True)
class Entry:
    """A turn of the user or of the avatar. Times are seconds of wall-clock time (Unix).

    `text` is what was heard of it; the times of `words` count from `started`, as if nothing paused it.
    """

    role: Literal["user", "assistant"]
    turn: int
    started: float
    ended: float
    text: str
    interrupted: bool = False
    words: tuple[Word, ...] = ()
    sources: tuple[Source, ...] = ()
    actions: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation; `entries` is empty where only a list of them was asked for."""

    id: str
    started: float
    ended: float
    agent: str
    avatar: str
    turns: int
    entries: tuple[Entry, ...] = field(default=())
