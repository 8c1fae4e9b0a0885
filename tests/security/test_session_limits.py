"""What conversations may be and hear, at the boundary, on a clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.shell import Ear, Faces, Inline, Puppet
from tests.vtime import run

from visavis import events as ev
from visavis.audio import Media
from visavis.faces.animator import Animator
from visavis.server.lines import Full
from visavis.server.sessions import Seat, Sessions
from visavis.session import Parts
from visavis.settings import LimitSettings
from visavis.ticker import Ticker

MEDIA = Media(24_000, 30)
SECOND = bytes(2 * 16_000)


class Room:
    """Conversations with one agent."""

    def __init__(self, sessions: Sessions, agent: Puppet) -> None:
        self.sessions, self.agent, self._opened = sessions, agent, 0

    def open(self, owner: str = "") -> Seat:
        self._opened += 1
        return self.sessions.open(f"s{self._opened}", f"t{self._opened}", MEDIA, owner=owner)


@asynccontextmanager
async def room(most: int = 10, **limits: Any) -> AsyncIterator[Room]:
    async with anyio.create_task_group() as tasks:
        agent = Puppet()
        parts = Parts(agent, Faces(), Animator(Inline()), Ticker(), seed=0)
        yield Room(Sessions(parts, tasks, most, 30.0, None, LimitSettings(enabled=True, **limits)), agent)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("minutes", [0.5, 10])
def test_a_conversation_ends_after_its_longest_time_and_says_why(minutes: float) -> None:
    async def main() -> None:
        async with room(session_minutes=minutes) as ours:
            seat = ours.open()
            await asyncio.sleep(minutes * 60 - 0.01)
            assert not seat.ended.is_set()
            await asyncio.sleep(0.02)
            assert seat.ended.is_set()
            assert seat.farewell == (1008, f"a conversation may take {minutes:g} minutes here")
            assert len(ours.sessions) == 0

    run(main())


def test_without_that_limit_it_goes_on() -> None:
    async def main() -> None:
        async with room(session_minutes=0) as ours:
            seat = ours.open()
            await asyncio.sleep(24 * 3600)
            assert not seat.ended.is_set()

    run(main())


def test_so_many_conversations_of_one_holder_and_so_many_in_all() -> None:
    async def main() -> None:
        async with room(most=4, sessions_per_token=2) as ours:
            first = ours.open("ann")
            ours.open("ann")
            with pytest.raises(Full) as told:
                ours.open("ann")
            assert told.value.code == "TOO_MANY_SESSIONS"
            ours.open("bob")
            ours.open()
            with pytest.raises(Full) as told:
                ours.open("eve")
            assert told.value.code == "SERVER_FULL"
            first.end(1000, "")
            await asyncio.sleep(0.1)
            ours.open("ann")

    run(main())


def test_so_much_sound_in_a_minute_whoever_brings_it() -> None:
    """All dialects, recordings and WebRTC feed a session in this way."""

    async def main() -> None:
        async with room(audio_seconds_per_minute=3) as ours:
            seat, ear = ours.open(), Ear()
            seat.session.attach(ear)
            seat.session.feed(ev.MicOn(16_000))
            for _ in range(5):
                seat.session.feed(ev.UserAudio(SECOND))
            await asyncio.sleep(0.1)
            assert heard(ours.agent) == pytest.approx(3, abs=0.05)
            assert [problem.code for problem in ear.of(ev.Problem)] == ["RATE_LIMITED"], "said once"
            await asyncio.sleep(19.8)
            seat.session.feed(ev.UserAudio(SECOND))
            await asyncio.sleep(0.1)
            assert heard(ours.agent) == pytest.approx(3, abs=0.05)
            seat.session.feed(ev.UserAudio(SECOND))
            await asyncio.sleep(0.1)
            assert heard(ours.agent) == pytest.approx(4, abs=0.05), "3 seconds a minute"

    run(main())


def heard(agent: Puppet) -> float:
    """Seconds."""
    return sum(len(event.pcm) for event in agent.heard if isinstance(event, ev.UserAudio)) / len(SECOND)
