"""Callers that wait: for what was understood, for a whole reply, for what happens next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from visavis import events as ev
from visavis.errors import VisavisError
from visavis.server.talks import Talk
from visavis.session import Client

PATIENCE = 60.0
"""Seconds that a call waits for the agent."""
BACKLOG = 512
"""Events that may wait for somebody who reads them."""


class Understanding:
    """Waits for the user's words; `text` is empty when nothing was understood."""

    def __init__(self) -> None:
        self.text = ""
        self.problem: ev.Problem | None = None
        self.done = anyio.Event()
        self._asked = False

    async def wait(self) -> None:
        """Raises `VisavisError` when it takes too long."""
        try:
            with anyio.fail_after(PATIENCE):
                await self.done.wait()
        except TimeoutError:
            message = f"The agent has not answered in {PATIENCE:g} s."
            raise VisavisError("AGENT_TIMEOUT", message) from None

    def put(self, event: ev.ToClient) -> None:
        match event:
            case ev.UserTurn(_, text):
                self.text = text
                self.done.set()
            case ev.Problem():
                self.problem = event
                self.done.set()
            case ev.StateChanged("thinking"):
                self._asked = True
            case ev.StateChanged("listening" | "idle") if self._asked:
                self.done.set()

    def drop(self, turn: int) -> None:
        """Frames are not looked at."""


class Collector(Understanding):
    """Waits for the next reply as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.turn: int | None = None
        self.pcm = bytearray()
        self.weights: list[list[float]] = []
        self.drawings: list[ev.Drawing | None] = []
        self.sources: tuple[ev.Source, ...] = ()
        self.reply: ev.TurnEnded | None = None

    @property
    def interrupted(self) -> bool:
        """Whether something else was said before the reply was whole, or had begun."""
        return bool(self.text) if self.reply is None else self.reply.interrupted

    def put(self, event: ev.ToClient) -> None:
        if self.done.is_set():
            return
        match event:
            case ev.UserTurn(_, text):
                self.text = text
            case ev.TurnStarted(turn) if self.turn is None:
                self.turn = turn
            case ev.Frames(turn, _, pcm, weights, drawings) if turn == self.turn:
                self.pcm += pcm
                self.drawings += drawings or [None] * len(weights)
                self.weights += [[round(float(value), 4) for value in row] for row in weights]
            case ev.TurnSources(turn, sources) if turn == self.turn:
                self.sources = sources
            case ev.TurnEnded(turn) if turn == self.turn:
                self.reply = event
                self.done.set()
            case ev.Problem() | ev.StateChanged() if self.turn is None:
                super().put(event)


class Feed:
    """The events of a session, for somebody who reads them at their own pace; who is too slow, loses it."""

    def __init__(self) -> None:
        self._in, self._out = anyio.create_memory_object_stream[ev.ToClient](BACKLOG)

    def put(self, event: ev.ToClient) -> None:
        try:
            self._in.send_nowait(event)
        except anyio.WouldBlock:
            self.close()
        except anyio.ClosedResourceError:
            pass

    def drop(self, turn: int) -> None:
        """What waits is read anyway: `TurnEnded` follows it."""

    def close(self) -> None:
        self._in.close()

    async def events(self) -> AsyncIterator[ev.ToClient]:
        with self._out:
            async for event in self._out:
                yield event


C = TypeVar("C", bound=Client)


@contextmanager
def following(talk: Talk, client: C) -> Iterator[C]:
    """While `client` follows the session."""
    talk.audience.join(client)
    try:
        yield client
    finally:
        talk.audience.leave(client)


@contextmanager
def taking_all(talk: Talk) -> Iterator[Collector]:
    """While somebody waits for a whole reply, it is not held back to be played."""
    session = talk.seat.session
    with following(talk, Collector()) as collector:
        session.live = False
        try:
            yield collector
        finally:
            session.live = True
