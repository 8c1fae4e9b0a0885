"""A full or busy server turns new people away in every dialect, and those who talk do not notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from tests import vtime
from tests.asgi import call
from tests.chaos.house import Guest, house
from tests.chaos.party import SETTINGS

from bench import marked
from visavis.lateness import MEMORY, Lateness
from visavis.server.pressure import FEW, Pressure
from visavis.settings import Settings

QUESTION = "somebody 1.5"


class Overwhelmed(Pressure):
    def __init__(self) -> None:
        super().__init__(Lateness(), Lateness())

    def high(self, conversations: int) -> bool:
        return True


def at_work(happening: Callable[[FastAPI], Awaitable[None]]) -> None:
    async def main() -> None:
        async with house(Settings.model_validate(SETTINGS)) as app:
            await happening(app)

    vtime.run(main())


@pytest.mark.parametrize("why", ["full", "busy"])
def test_nobody_new_is_let_in_and_whoever_talks_hears_every_sample(why: str) -> None:
    async def happening(app: FastAPI) -> None:
        async with Guest(app) as talker:
            talker.say(type="text", data=QUESTION)
            start = await talker.until("audio_start")
            if why == "full":
                app.state.sessions.limit = 1
            else:
                app.state.sessions.pressure = Overwhelmed()
            for path in ("/ws", "/"):
                async with Guest(app, path) as late:
                    late.say(type="text", data="and me?")
                    await late.until("error")
                    assert late.codes == ["SERVER_FULL"]
                    assert await late.until("never") is None
                    assert late.closed is not None and late.closed[0] == 1013
            for path in ("/api/v1/sessions", "/api/session"):
                answer = await call(app, "POST", path, {"content-type": "application/json"}, [b"{}"])
                assert (answer.status, answer.code) == (503, "SERVER_FULL")
                assert int(answer.headers["retry-after"]) > 0
            ready = await call(app, "GET", "/ready")
            assert (ready.status, json.loads(ready.body)["reason"]) == (503, "full")
            await talker.until("transcript_done", role="assistant")
            assert marked.lost(talker.frames(start["turnId"]), QUESTION) == 0

    at_work(happening)


def test_whoever_was_cut_off_comes_back_to_a_busy_server() -> None:
    async def happening(app: FastAPI) -> None:
        talker = Guest(app)
        config = await talker.until("config")
        talker.say(type="text", data=QUESTION)
        await talker.until("sync_frame")
        app.state.sessions.pressure = Overwhelmed()
        await talker.leave(1006)
        async with Guest(app) as again:
            again.say(type="hello", resume=config["resume"])
            assert await again.until("config", resumed=True)
            assert (await again.until("transcript_done", role="assistant"))["text"]

    at_work(happening)


def test_it_is_busy_when_the_loop_or_the_faces_are_late_for_seconds_and_people_are_many() -> None:
    async def happening(app: FastAPI) -> None:
        sessions = app.state.sessions
        pressure = sessions.pressure
        assert not sessions.full
        for watched in (sessions.parts.ticker.lateness, pressure.faces):
            for _ in range(20):
                watched.note(1.0, asyncio.get_running_loop().time())
                await asyncio.sleep(0.25)
            assert pressure.high(FEW + 1)
            assert not pressure.high(FEW)
            assert not sessions.full  # there is nobody
            await asyncio.sleep(MEMORY)
            assert not pressure.high(FEW + 1)
        told = (await call(app, "GET", "/metrics")).body.decode()
        assert "visavis_busy 0.0" in told and "visavis_face_wait_seconds 1.0" in told

    at_work(happening)
