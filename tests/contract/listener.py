"""A user who talks to an agent through a real Conversation, with a player on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.contract.hearing import BRIEF, STUCK, pieces
from tests.talk import face, frames_of

from visavis import events as ev
from visavis.agents import Agent, AgentEngine, Brief
from visavis.audio import Media
from visavis.conversation import Conversation

E = TypeVar("E")


class Listener:
    """What the user sees and hears, and when by the player's clock; nothing is heard until `play`."""

    def __init__(self, agent: Agent, engine: AgentEngine) -> None:
        self.agent, self.rate = agent, engine.input_rate
        self.now = 0.0
        self.shown: list[ev.ToClient] = []
        self.said: list[ev.FromAgent] = []
        self._talk = Conversation(Media(rate=engine.output_rate))
        self._asks: asyncio.Queue[ev.ToAgent] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Carry what the agent says; what the conversation tells it is sent in order."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forward())
            async for event in self.agent:
                self.said.append(event)
                self.feed(event)

    async def _forward(self) -> None:
        while True:
            await self.agent.send(await self._asks.get())
            self._asks.task_done()

    def feed(self, event: ev.Event) -> None:
        todo = [event]
        while todo:
            for effect in self._talk.feed(todo.pop(0), self.now):
                match effect:
                    case ev.Animate(turn, pcm, _, last):
                        todo.append(ev.Animated(turn, face(frames_of(self._talk, pcm)), last))
                    case ev.UserText() | ev.MicOn() | ev.UserAudio() | ev.MicOff():
                        self._asks.put_nowait(effect)
                    case ev.CancelReply() | ev.ToolResult() | ev.Recast():
                        self._asks.put_nowait(effect)
                    case ev.ToolCall() | ev.ActionDone():
                        pass
                    case _:
                        self.shown.append(effect)
        self._changed.set()

    # -- the user ----------------------------------------------------------------------------------------
    async def write(self, text: str) -> None:
        self.feed(ev.UserText(text))
        await self._asks.join()

    async def speak(self, pcm: bytes) -> None:
        for event in pieces(pcm, self.rate):
            self.feed(event)
        await self._asks.join()

    async def interrupt(self) -> ev.TurnEnded | None:
        """The stop button; the turn that it ended, if one was heard."""
        before = len(self.of(ev.TurnEnded))
        self.feed(ev.Interrupt())
        await self._asks.join()
        return next(iter(self.of(ev.TurnEnded)[before:]), None)

    def play(self, seconds: float) -> None:
        """Time passes at the player."""
        end = self.now + seconds
        while (due := self._talk.deadline) is not None and due <= end:
            self.now = max(self.now, due)
            self.feed(ev.Tick())
        self.now = end
        self.feed(ev.Tick())

    # -- what happened -----------------------------------------------------------------------------------
    def of(self, kind: type[E]) -> list[E]:
        return [event for event in (*self.shown, *self.said) if isinstance(event, kind)]

    def text(self) -> str:
        return " ".join(event.word.text for event in self.of(ev.WordSpoken))

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(STUCK):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def came(self, kind: type[E], count: int = 1) -> E:
        """The `count`-th event of a kind, once it has come."""
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def ask(self, text: str) -> str:
        """Type something and hear all of the answer."""
        done, ended = len(self.of(ev.ReplyDone)), len(self.of(ev.TurnEnded))
        await self.write(text)
        await self.came(ev.ReplyDone, done + 1)
        self.play(60)
        return (await self.came(ev.TurnEnded, ended + 1)).text


@asynccontextmanager
async def listening(engine: AgentEngine, brief: Brief = BRIEF) -> AsyncIterator[Listener]:
    async with engine.open(brief) as agent:
        listener = Listener(agent, engine)
        ears = asyncio.create_task(listener.run())
        try:
            yield listener
        finally:
            ears.cancel()
            await asyncio.gather(ears, return_exceptions=True)
