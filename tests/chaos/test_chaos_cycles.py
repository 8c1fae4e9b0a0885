"""A thousand people come and go: nothing grows."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from tests.chaos.house import ABORTED, GOODBYE, Guest
from tests.chaos.party import disaster
from tests.chaos.watch import Census

from visavis.audio import Media

WARM_UP, GROUP = 60, 50
MOST = 0.1
"""Objects that a cycle may leave behind, by the slope over all of them."""


async def widget(app: FastAPI, number: int) -> None:
    guest = Guest(app)
    guest.say(type="audio_stream_start")
    guest.say(bytes(640))
    guest.say(type="text", data="cycle 0.1")
    await guest.until("sync_frame")
    await guest.leave(GOODBYE if number % 2 else ABORTED)


async def api(app: FastAPI, number: int) -> None:
    talk = app.state.talks.create("mia", media=Media(), output="weights", id=f"cycle-{number % GROUP}")
    guest = Guest(app, f"/api/v1/sessions/{talk.id}/ws")
    guest.say(type="text_message", data="cycle 0.1")
    await guest.until("audio_response")
    await guest.leave(GOODBYE if number % 2 else ABORTED)
    app.state.talks.end(talk)
    await talk.seat.ended.wait()


@pytest.mark.parametrize(("visit", "cycles"), [(widget, 1000), (api, 200)])
def test_nothing_grows(visit: Callable[[FastAPI, int], Awaitable[None]], cycles: int, tmp_path: Path) -> None:
    async def come_and_go(app: FastAPI, count: int) -> None:
        for number in range(count):
            await visit(app, number)
        await asyncio.sleep(61)  # dropped conversations are kept for 2 s, deadlines for up to a minute
        gc.collect()

    async def happening(app: FastAPI) -> None:
        await come_and_go(app, WARM_UP)
        before, held = Census.of(app), []
        for _ in range(cycles // GROUP):
            await come_and_go(app, GROUP)
            held.append(len(gc.get_objects()))
        assert not Census.of(app).left(before)
        assert float(np.polyfit(np.arange(len(held)) * GROUP, held, 1)[0]) < MOST

    disaster(happening, tmp_path, crowd=False)
