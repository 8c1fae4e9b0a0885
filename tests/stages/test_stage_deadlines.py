"""Stages that run elsewhere do what is needed first first, and nothing that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import anyio
import httpx2
import numpy as np
import pytest
from pydantic import SecretStr
from tests.stage_server import SECRET, served, settings

from visavis import plugins
from visavis.agents import Brief
from visavis.agents.reader import Reader, Repeat
from visavis.deploy.stage_server import StageServer
from visavis.events import ReplyDone, UserText
from visavis.needed import left, need
from visavis.settings import RemoteStageSettings, Settings, StageSettings
from visavis.settings.server import ServerSettings
from visavis.stages import Samples, Speech, Transcript, remote, remote_wire
from visavis.workers import Workers

PATIENCE = 60.0
TOKEN = {"authorization": f"Bearer {SECRET}"}


class Held:
    """Ears and a voice that do one thing after the other, the first when they are let."""

    languages, detects, rate = frozenset({"en"}), False, 24_000

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.done: list[str] = []

    def __call__(self, asked: Samples | str, language: str | None = None) -> Transcript | Speech:
        name = asked if isinstance(asked, str) else str(int(asked[0]))
        self.begun.set()
        assert self.go.wait(PATIENCE)
        self.done.append(name)
        return Speech(b"", (), None) if isinstance(asked, str) else Transcript(name, 0.0)


def held(own: Settings) -> Held:
    return Held()


@contextmanager
def stage(kind: str) -> Iterator[tuple[StageServer, Held, str]]:
    """One with a single thread, which is busy already."""
    chosen = StageSettings.model_validate({kind: f"{__name__}:held"})
    there = RemoteStageSettings(token=SecretStr(SECRET))
    offered = StageServer(
        kind, Settings(stages=chosen, remote_stages=there, server=ServerSettings(workers=1))
    )
    with served(offered) as address:
        try:
            yield offered, offered.engine, address
        finally:
            offered.engine.go.set()


async def waiting(offered: StageServer, count: int) -> None:
    with anyio.fail_after(PATIENCE):
        while len(offered.workers.queue) < count:
            await anyio.sleep(0.005)


def test_what_is_needed_first_is_done_first() -> None:
    async def main() -> None:
        with stage("asr") as (offered, engine, address):
            ears = await anyio.to_thread.run_sync(remote.load_asr, settings("asr", address))

            async def ask(number: int, seconds: float) -> None:
                need(asyncio.get_running_loop().time() + seconds)
                audio = np.array([number], np.float32)
                heard = await anyio.to_thread.run_sync(ears, audio)
                assert heard.text == str(number)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, 0, 0.0)
                assert await anyio.to_thread.run_sync(engine.begun.wait, PATIENCE)
                for count, (number, seconds) in enumerate(((3, 300), (1, -100), (2, 200)), 1):
                    tasks.start_soon(ask, number, seconds)
                    await waiting(offered, count)
                engine.go.set()
            assert engine.done == ["0", "1", "2", "3"]
            await plugins.close(ears)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["asr", "tts"])
def test_what_nobody_waits_for_any_more_is_not_begun(kind: str) -> None:
    def body(number: int) -> bytes:
        audio = np.array([number], np.float32)
        return remote_wire.body(audio) if kind == "asr" else b'{"text": "%d"}' % number

    async def main() -> None:
        with stage(kind) as (offered, engine, address):
            async with httpx2.AsyncClient(headers=TOKEN, timeout=PATIENCE) as client:
                url = f"{address}/{kind}"
                first = asyncio.create_task(client.post(url, content=body(1)))
                assert await anyio.to_thread.run_sync(engine.begun.wait, PATIENCE)
                late = await client.post(url, content=body(2), headers={remote_wire.PATIENCE: "0.05"})
                assert b"STAGE_LATE" in late.content
                await waiting(offered, 0)
                third = asyncio.create_task(client.post(url, content=body(3)))
                engine.go.set()
                assert [(await each).status_code for each in (first, third)] == [200, 200]
            assert engine.done == ["1", "3"]

    asyncio.run(main())


@pytest.mark.parametrize("said", ["", "soon", "nan", "1e9", "-inf"])
def test_times_that_are_none_are_refused(said: str) -> None:
    with stage("asr") as (_, engine, address):
        engine.go.set()
        for name in (remote_wire.DUE, remote_wire.PATIENCE):
            answer = httpx2.post(f"{address}/asr", content=bytes(4), headers=TOKEN | {name: said})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")


def test_a_reply_says_when_its_next_sound_is_needed() -> None:
    told: list[float | None] = []

    class Voice:
        rate, languages = 24_000, frozenset({"en"})

        def __call__(self, text: str, language: str | None = None) -> Speech:
            raise NotImplementedError

        async def stream(self, text: str, language: str | None = None) -> AsyncGenerator[Speech, None]:
            told.append(left())
            yield Speech(bytes(48_000 * 200), (), None)

    async def main() -> None:
        async with Reader(Voice(), Workers(1), Repeat()).open(Brief()) as agent:
            await agent.send(UserText("One sentence is here."))
            async for event in agent:
                if isinstance(event, ReplyDone):
                    return

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    [seconds] = told
    assert seconds is not None and seconds <= 0  # nothing is heard yet: at once
