"""A bystander at every disaster, and what must be true when it is over: the invariants of all chaos tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests import vtime
from tests.chaos.house import Guest, house
from tests.chaos.watch import Census, alarms, documented

from bench import marked
from visavis.agents import AgentEngine
from visavis.settings import Settings

SETTLED = 10.0
"""Seconds after which everything that nobody needs must be gone; dropped conversations wait for 2."""
SETTINGS = {
    "agent": "bench.marked:load",
    "face": {"engine": "energy"},
    "scripted": {"speed": 2},
    "server": {"resume_seconds": 2},
}
CODES = documented()


def disaster(
    happening: Callable[[FastAPI], Coroutine[Any, Any, None]],
    folder: Path,
    agent: AgentEngine | None = None,
    *,
    logged: Collection[str] = (),
    crowd: bool = True,
) -> None:
    """Let something happen to a server on a virtual clock, while (in a `crowd`) somebody beside it talks.

    The bystander hears every sample of every answer, nothing raises, nothing is left. `logged`: errors that
    the operator is to read.
    """

    async def main() -> None:
        given = Settings.model_validate(SETTINGS)
        with alarms() as heard:
            async with house(given, agent) as app, watched(app, crowd=crowd):
                await happening(app)
                told = set(app.state.lines.problems)
        unexpected = [error for error in heard.raised if not error.startswith(tuple(logged) or "-")]
        assert not unexpected
        for event in logged:
            assert any(error.startswith(event) for error in heard.raised), f"not logged: {event}"
        assert told <= CODES

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        vtime.run(main())


@asynccontextmanager
async def watched(app: FastAPI, *, crowd: bool) -> AsyncIterator[None]:
    """While a bystander talks, in a `crowd`; afterwards all is as it was."""
    await converse(app, "warm-up 0.2")
    await asyncio.sleep(SETTLED)
    before = Census.of(app)
    stop = asyncio.Event()
    if not crowd:
        stop.set()
    bystander = asyncio.create_task(_talk_on(app, stop))
    try:
        yield
    finally:
        stop.set()
        answers = await bystander
    await asyncio.sleep(SETTLED)
    assert answers > 0
    assert not Census.of(app).left(before)


async def _talk_on(app: FastAPI, stop: asyncio.Event) -> int:
    answers = 0
    async with Guest(app) as guest:
        while not (stop.is_set() and answers):
            answers += 1
            await ask(guest, f"bystander-{answers} 0.5")
        assert not guest.codes
        sessions = {message["sessionId"] for message in guest.heard if "sessionId" in message}
        assert len(sessions) == 1
    return answers


async def converse(app: FastAPI, question: str) -> None:
    """Somebody comes, asks, hears all of the answer, and leaves."""
    async with Guest(app) as guest:
        await ask(guest, question)


async def ask(guest: Guest, question: str) -> None:
    """Ask, and hear every sample of the answer."""
    turns = len(guest.of("audio_start"))
    guest.say(type="text", data=question, userId="u")
    while len(done := [end for end in guest.of("transcript_done") if end["role"] == "assistant"]) <= turns:
        assert await guest.more(len(guest.heard) + 1), f"{question} was not answered: {guest.closed}"
    name = guest.of("audio_start")[turns]["turnId"]
    assert marked.lost(guest.frames(name), question) == 0
    assert done[turns]["turnId"] == name
    assert "interrupted" not in done[turns]
