"""Talks to an agent as a session does, and keeps what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from visavis import events as ev
from visavis.agents import Agent, AgentEngine, Brief

E = TypeVar("E")
STUCK = 20.0
"""Seconds of nothing after which a test has failed; no test waits for them."""
BRIEF = Brief("Be kind.")


class Heard:
    """Everything an agent said, in order."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.events: list[ev.FromAgent] = []
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        async for event in self.agent:
            self.events.append(event)
            self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(STUCK):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def first(self, kind: type[E], count: int = 1) -> E:
        """The `count`-th event of a kind, once it has come."""
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def ask(self, text: str) -> str:
        """Type something; returns the id of the reply, once it is complete."""
        done = len(self.of(ev.ReplyDone))
        await self.agent.send(ev.UserText(text))
        return (await self.first(ev.ReplyDone, done + 1)).reply

    def pcm(self, reply: str) -> bytes:
        return b"".join(event.pcm for event in self.of(ev.ReplyAudio) if event.reply == reply)

    def words(self, reply: str) -> list[ev.Word]:
        return [word for event in self.of(ev.ReplyAudio) if event.reply == reply for word in event.words]

    def text(self, reply: str) -> str:
        """The reply's words, with or without times."""
        timed = " ".join(word.text for word in self.words(reply))
        return timed or "".join(event.text for event in self.of(ev.ReplyText) if event.reply == reply).strip()


@asynccontextmanager
async def hearing(engine: AgentEngine, brief: Brief = BRIEF) -> AsyncIterator[Heard]:
    """A conversation with an agent of `engine`."""
    async with engine.open(brief) as agent:
        heard = Heard(agent)
        ears = asyncio.create_task(heard.listen())
        try:
            yield heard
        finally:
            ears.cancel()
            await asyncio.gather(ears, return_exceptions=True)


def pieces(pcm: bytes, rate: int) -> list[ev.UserAudio]:
    """Microphone audio in pieces of 0.1 s."""
    size = rate // 10 * 2
    return [ev.UserAudio(pcm[start : start + size]) for start in range(0, len(pcm), size)]
