"""Agents that stall, come late, repeat themselves, say too much or nonsense, raise or hang.

It is the trouble of one session, told with a code, and over with the turn or with the session.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from bench.marked import MarkedAgent, MarkedEngine, speech
from fastapi import FastAPI
from tests.chaos.house import ABORTED, Guest
from tests.chaos.party import ask, disaster

from visavis import events as ev
from visavis.agents import Brief
from visavis.errors import VisavisError
from visavis.settings import ScriptedSettings

PCM = speech("trouble 1")
PATIENT = 120.0
"""Seconds in which every trouble is over."""

Trouble = Callable[["Troubled"], Awaitable[None]]


class Troubled(MarkedAgent):
    """Answers as it should, except to one word."""

    def __init__(self, script: ScriptedSettings, trouble: Trouble) -> None:
        super().__init__(script)
        self._trouble = trouble
        self._left = False

    async def send(self, event: ev.ToAgent) -> None:
        if isinstance(event, ev.UserText) and event.text == "trouble":
            await self._trouble(self)
        else:
            await super().send(event)

    async def say(self, *events: Any) -> None:
        for event in events:
            self._put(event)

    async def leave(self) -> None:
        self._put(cast(Any, None))

    async def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        event: Any
        async for event in super().__aiter__():
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event


class Engine(MarkedEngine):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(ScriptedSettings(speed=2), b"")
        self._trouble = trouble

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[Troubled]:
        agent = Troubled(self.script, self._trouble)
        try:
            yield agent
        finally:
            agent.stop()


# -- what it does ------------------------------------------------------------------------------------------
async def nothing(agent: Troubled) -> None:
    """It never answers."""


async def hangs(agent: Troubled) -> None:
    """It does not even take what it is told."""
    await asyncio.Event().wait()


async def begins(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"))


async def stalls(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"), ev.ReplyAudio("t", PCM))


async def raises(agent: Troubled) -> None:
    raise RuntimeError("boom")


async def raises_while_heard(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"), ev.ReplyAudio("t", PCM), RuntimeError("boom"))


async def raises_for_people(agent: Troubled) -> None:
    raise VisavisError("KEY_REFUSED", "The key was refused; set another.")


async def leaves(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"), ev.ReplyAudio("t", PCM))
    await agent.leave()


async def fails(agent: Troubled) -> None:
    await agent.say(ev.ReplyFailed("LLM_UNREACHABLE", "The model is down."))


async def repeats(agent: Troubled) -> None:
    once = ev.ReplyStarted("t"), ev.ReplyAudio("t", PCM), ev.ReplyDone("t")
    await agent.say(*once, *once, ev.ReplyDone("t"), ev.ReplyDone("t"), *once)


async def comes_late(agent: Troubled) -> None:
    """What belongs to replies that are over, or never began."""
    await agent.say(ev.ReplyAudio("x", PCM), ev.ReplyText("x", "late"), ev.ReplyDone("x"), ev.Cited(()))
    await agent.say(ev.ReplyFailed("LLM_TIMEOUT", "Too late.", "x"), ev.Milestone("x", "sent", -1.0))
    await agent.say(ev.Emotion("x", "joy", 0.0), ev.BargeIn("hold"), ev.UserInterrupts(), ev.UserSaid(""))


async def says_nothing(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"), ev.ReplyAudio("t", b""), ev.ReplyDone("t"))


async def says_too_much(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"), ev.ReplyText("t", "word " * 100_000))
    await agent.say(ev.ReplyAudio("t", bytes(24_000 * 2 * 3700)), ev.ReplyDone("t"))


async def says_too_many(agent: Troubled) -> None:
    for number in range(500):
        await agent.say(ev.ReplyStarted(f"t{number}"), ev.ReplyAudio(f"t{number}", PCM[:100]))


async def halves_samples(agent: Troubled) -> None:
    pieces = [PCM[at : at + 333] for at in range(0, len(PCM), 333)]
    await agent.say(ev.ReplyStarted("t"), *(ev.ReplyAudio("t", piece) for piece in pieces), ev.ReplyDone("t"))


async def confuses_times(agent: Troubled) -> None:
    words = ev.Word("", -5, -6), ev.Word("x" * 10_000, 1e9, 0), ev.Word("nan", math.nan, math.inf)
    phonemes = ev.Phoneme("?", 5, 1), ev.Phoneme("", math.nan, -math.inf, 99)
    await agent.say(ev.ReplyStarted("t"), ev.ReplyAudio("t", PCM, words, phonemes), ev.ReplyDone("t"))


async def calls_tools(agent: Troubled) -> None:
    for number in range(100):
        await agent.say(ev.ToolCall(f"c{number % 40}", "no such tool", {"deep": [[[]]]}))


async def talks_nonsense(agent: Troubled) -> None:
    await agent.say(ev.ReplyStarted("t"), ev.ReplyAudio("t", cast(Any, None)))


TROUBLES: list[tuple[Trouble, str, str]] = [
    (nothing, "", ""),
    (hangs, "", ""),
    (begins, "", ""),
    (stalls, "", ""),
    (raises, "AGENT_FAILED", "the agent failed"),
    (raises_while_heard, "AGENT_FAILED", "the agent failed"),
    (raises_for_people, "KEY_REFUSED", ""),
    (leaves, "AGENT_GONE", ""),
    (fails, "LLM_UNREACHABLE", ""),
    (repeats, "", ""),
    (comes_late, "LLM_TIMEOUT", ""),
    (says_nothing, "", ""),
    (says_too_much, "", ""),
    (says_too_many, "", ""),
    (halves_samples, "", ""),
    (confuses_times, "", ""),
    (calls_tools, "", ""),
    (talks_nonsense, "AGENT_FAILED", "the agent failed"),
]
"""With the code that the client must be told, and the error that the operator must read."""


@pytest.mark.parametrize(
    ("trouble", "code", "logged"), [pytest.param(*each, id=each[0].__name__) for each in TROUBLES]
)
def test_an_agent_in_trouble(trouble: Trouble, code: str, logged: str, tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        guest = Guest(app)
        await ask(guest, "before 0.3")
        guest.say(type="text", data="trouble")
        await asyncio.sleep(PATIENT / 8)
        if code:
            assert code in guest.codes
        guest.say(type="interrupt")
        guest.say(type="ping")
        await guest.until("pong")
        if guest.closed is None and trouble is not hangs:
            states = [message["state"] for message in guest.of("avatar_state")]
            assert states[-1] == "Listening"
            guest.heard.clear()
            await ask(guest, "after 0.3")
        await guest.leave(ABORTED)

    disaster(happening, tmp_path, Engine(trouble), logged=[logged] if logged else [])
