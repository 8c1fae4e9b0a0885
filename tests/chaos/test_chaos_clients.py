"""Clients that do what networks and programs do: leave at any moment, read slowly or not at all, flood."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.chaos.house import ABORTED, GOODBYE, Guest
from tests.chaos.party import ask, disaster

from bench import marked

QUESTION = "somebody 0.6"
SOUND = b"\x10\x27\xf0\xd8" * 400
SAID: tuple[str | bytes, ...] = (
    '{"type":"hello"}',
    '{"type":"audio_stream_start","sampleRate":48000}',
    SOUND,
    f'{{"type":"audio","data":"{base64.b64encode(SOUND).decode()}"}}',
    '{"type":"audio_stream_end"}',
    '{"type":"interrupt"}',
    f'{{"type":"text","data":"{QUESTION}"}}',
    '{"type":"playback","turnId":"turn_2","frameIndex":3}',
    f'{{"type":"text","data":"{QUESTION} again"}}',
    '{"type":"ping"}',
    "{",
)
"""What a client may say in a conversation."""


@pytest.mark.parametrize("code", [GOODBYE, ABORTED])
def test_a_client_may_leave_after_anything_it_says(code: int, tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        for count in range(len(SAID) + 1):
            for wait in (0.0, 0.05):
                guest = Guest(app)
                for message in SAID[:count]:
                    guest.say(message)
                    await asyncio.sleep(wait)
                await guest.leave(code)

    disaster(happening, tmp_path)


@pytest.mark.parametrize("code", [GOODBYE, ABORTED])
def test_a_client_may_leave_after_anything_it_hears(code: int, tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        heard = 0
        while True:
            heard += 1
            guest = Guest(app)
            guest.say(type="hello")
            guest.say(type="text", data=QUESTION)
            over = asyncio.create_task(guest.until("turn_metrics"))
            more = asyncio.create_task(guest.more(heard))
            await asyncio.wait({over, more}, return_when=asyncio.FIRST_COMPLETED)
            for task in (over, more):
                task.cancel()
            await guest.leave(code)
            if over.done() and not over.cancelled():
                break
        assert heard > 20

    disaster(happening, tmp_path)


def test_whoever_is_cut_off_after_anything_they_hear_gets_the_rest(tmp_path: Path) -> None:
    """Every sample of the answer is heard, before or after."""

    async def happening(app: FastAPI) -> None:
        heard, cut = 3, True
        while cut:
            heard += 1
            first = Guest(app)
            resume = (await first.until("config"))["resume"]
            first.say(type="hello")
            first.say(type="text", data=QUESTION)
            await first.more(heard)
            cut = not [end for end in first.of("transcript_done") if end["role"] == "assistant"]
            await first.leave(ABORTED)
            await asyncio.sleep(0.3)
            async with Guest(app) as second:
                second.say(type="hello", resume=resume)
                while cut and not [e for e in second.of("transcript_done") if e["role"] == "assistant"]:
                    assert await second.more(len(second.heard) + 1)
                frames = first.frames("turn_1") | second.frames("turn_1")
                assert marked.lost(frames, QUESTION) == 0
                assert not second.codes
        assert heard > 20

    disaster(happening, tmp_path)


def test_those_who_fight_over_one_conversation_take_it_from_each_other(tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        first = Guest(app)
        resume = (await first.until("config"))["resume"]
        first.say(type="text", data="contested 2")
        await first.until("audio_start")
        guests = [first]
        for _ in range(20):
            guests.append(Guest(app))
            guests[-1].say(type="hello", resume=resume)
            await guests[-1].until("config", resumed=True)
        await guests[-1].until("transcript_done", role="assistant")
        frames: dict[int, bytes] = {}
        for guest in guests:
            frames |= guest.frames("turn_1")
        assert marked.lost(frames, "contested 2") == 0
        assert all(guest.closed is not None and guest.closed[0] == 1000 for guest in guests[:-1])
        for guest in guests:
            await guest.leave()

    disaster(happening, tmp_path)


def test_a_reader_that_stalls_is_given_up(tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        guest = Guest(app)
        guest.say(type="text", data="long 60")
        await guest.until("sync_frame")
        guest.reading.clear()
        await asyncio.sleep(30)
        assert not app.state.lines.waiting() or max(app.state.lines.waiting()) < 20_000
        await guest.leave(ABORTED)

    disaster(happening, tmp_path)


def test_a_reader_that_stalls_for_a_moment_misses_nothing(tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        async with Guest(app) as guest:

            async def doze() -> None:
                for _ in range(4):
                    await asyncio.sleep(0.3)
                    guest.reading.clear()
                    await asyncio.sleep(1.0)
                    guest.reading.set()

            dozing = asyncio.create_task(doze())
            await ask(guest, "slow 6")
            await dozing

    disaster(happening, tmp_path)


def test_somebody_who_is_gone_without_a_word_does_no_harm(tmp_path: Path) -> None:
    """Half-open: nothing comes any more, and what is sent goes nowhere."""

    async def happening(app: FastAPI) -> None:
        guest = Guest(app)
        guest.say(type="audio_stream_start")
        guest.say(SOUND)
        guest.say(type="text", data="nobody 3")
        await asyncio.sleep(15)
        assert len(app.state.sessions) >= 1
        await guest.leave(ABORTED)  # the keepalive of the network's side finds out

    disaster(happening, tmp_path)


@pytest.mark.parametrize(
    "flood",
    [
        '{"type":"ping"}',
        '{"type":"text","data":"flood 0.5"}',
        '{"type":"interrupt"}',
        bytes(3200),
        "{",
        "\ud7ff",
    ],
    ids=["pings", "questions", "interruptions", "sound", "malformed", "noise"],
)
def test_a_client_that_floods(flood: str | bytes, tmp_path: Path) -> None:
    async def happening(app: FastAPI) -> None:
        guest = Guest(app)
        for _ in range(20):
            for _ in range(100):
                guest.say(flood)
            await asyncio.sleep(0.05)
        await guest.leave(ABORTED)

    disaster(happening, tmp_path)


def test_the_clock_of_the_wall_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set an hour forward and back while somebody talks; no frame comes earlier or later for it."""
    wall, wall_ns = time.time, time.time_ns
    arrivals: list[list[int]] = []
    offset = 0.0

    async def happening(app: FastAPI) -> None:
        nonlocal offset
        async with Guest(app) as guest:
            guest.say(type="hello")
            asking = asyncio.create_task(ask(guest, "timely 2"))
            counts = []
            while not asking.done():
                await asyncio.sleep(0.1)
                counts.append(len(guest.of("sync_frame")))
                if jumps:
                    offset = next(jumps)
            await asking
            (ledger,) = guest.of("turn_metrics")
            assert 0 <= ledger["firstAudio"] <= ledger["firstFrame"] <= ledger["sent"] < 5000
            arrivals.append(counts)

    monkeypatch.setattr(time, "time", lambda: wall() + offset)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + round(offset * 1e9))
    jumps: Iterator[float] | None = None
    disaster(happening, tmp_path)
    jumps = cycle((3600.0, -3600.0, 0.0))
    disaster(happening, tmp_path)
    assert arrivals[0] == arrivals[1]
    assert arrivals[0][-1] == 60
