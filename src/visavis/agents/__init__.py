"""Who answers: an engine loaded once, and an agent per session.

An agent is chosen by name through the entry points `visavis.agents`; each names a function
`load(settings) -> AgentEngine`. Whatever a provider does differently is made alike inside its agent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from visavis.events import FromAgent, ToAgent


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

    def open(self) -> AbstractAsyncContextManager[Agent]:
        """A fresh agent; leaving the context ends everything it started."""
        ...

    def status(self) -> dict[str, Any]:
        """What health checks show: name, models, problems (a list of sentences, empty when well)."""
        ...
