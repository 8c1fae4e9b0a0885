"""Who answers: an engine loaded once, and an agent per session.

An agent is chosen by name through the entry points `visavis.agents`; each names a function
`load(settings) -> AgentEngine`. Whatever a provider does differently is made alike inside its agent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from visavis.events import FromAgent, Source, ToAgent
from visavis.stages import Message
from visavis.tools import Tool

__all__ = ["Agent", "AgentEngine", "Brief", "Tool"]


KNOWN = "This is what you know:"


class Library(Protocol):
    """What can be looked up; see `knowledge`."""

    @property
    def whole(self) -> str:
        """All of it, when it is short; else empty."""
        ...

    def search(self, question: str, before: Sequence[str] = ()) -> tuple[Source, ...]:
        """Blocking: the passages that may answer `question`, best first; it may go on with what the same
        person said `before`, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Brief:
    """What an agent is told before a conversation begins."""

    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    history: tuple[Message, ...] = ()
    """What was said before, as it was heard, oldest first."""
    voice: str = ""
    """A voice of the agent's; empty is the one in the settings."""
    language: str = ""
    """A code such as `pl`; empty is the one in the settings."""
    avatar: str = ""
    """Whose face it has, so that a voice that can be anybody's fits it; empty is the one in the settings."""
    library: Library | None = None
    """For agents that look things up by themselves; the others have a tool for it."""

    @property
    def informed(self) -> str:
        """The instructions, with all there is to know when that is short."""
        whole = self.library.whole if self.library is not None else ""
        return f"{self.instructions}\n\n{KNOWN}\n\n{whole}".lstrip() if whole else self.instructions


class Agent(Protocol):
    """One conversation partner. Iterating yields its events until the session closes it."""

    async def send(self, event: ToAgent) -> None:
        """Take what the user did; may wait, never longer than the session's patience."""
        ...

    def __aiter__(self) -> AsyncIterator[FromAgent]: ...


class AgentEngine(Protocol):
    input_rate: int
    """Hz of the `UserAudio` it is sent."""
    output_rate: int
    """Hz of the `ReplyAudio` it makes."""

    def open(self, brief: Brief) -> AbstractAsyncContextManager[Agent]:
        """A fresh agent that knows `brief`; leaving the context ends everything it started."""
        ...

    def status(self) -> dict[str, Any]:
        """What health checks show: name, models, problems (a list of sentences, empty when well)."""
        ...
