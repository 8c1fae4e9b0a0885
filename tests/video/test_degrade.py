"""What is given up when drawing takes too much, and that it comes back."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import anyio
import numpy as np
import pytest

from visavis.arkit import neutral
from visavis.audio import Media
from visavis.server import pictures as server_pictures
from visavis.server.pictures import Pictures
from visavis.settings import Settings
from visavis.video import Picture, studio
from visavis.video.degrade import ENOUGH_ROOM, TOO_LATE, TOO_MUCH, WINDOW, Degrade, Quality

FPS = 25


class Thread:
    """One that draws: a picture takes `share` of a frame's time at full quality, and less at less."""

    COST = {Quality.FULL: 1.0, Quality.PLAIN: 0.75, Quality.HALF: 0.4, Quality.STILL: 0.0}

    def __init__(self) -> None:
        self.degrade = Degrade()
        self.now = 0.0

    def draw(self, share: float, windows: int = 1) -> list[Quality]:
        """The quality after each window."""
        found = []
        for _ in range(windows):
            until = self.now + WINDOW + 1.5 / FPS
            while self.now < until:
                seconds = share * self.COST[self.degrade.quality] / FPS
                self.now += max(1 / FPS, seconds)
                self.degrade.worked(seconds, self.now)
            found.append(self.degrade.quality)
        return found


def test_nothing_is_given_up_while_there_is_room() -> None:
    thread = Thread()
    assert set(thread.draw(TOO_MUCH - 0.05, 10)) == {Quality.FULL}
    assert thread.degrade.load == pytest.approx(TOO_MUCH - 0.05, abs=0.05)


def test_anti_aliasing_goes_first_then_every_second_picture_then_all() -> None:
    steps = Thread().draw(100.0, 4)
    assert steps == [Quality.PLAIN, Quality.HALF, Quality.STILL, Quality.STILL]


@pytest.mark.parametrize(
    ("share", "settled"), [(1.0, Quality.PLAIN), (2.0, Quality.HALF)], ids=["a little", "twice"]
)
def test_no_more_is_given_up_than_needed(share: float, settled: Quality) -> None:
    """Where less is drawn in time, it stays so: it does not go to and fro either."""
    assert set(Thread().draw(share, 20)[3:]) == {settled}


def test_everything_comes_back_step_by_step() -> None:
    thread = Thread()
    thread.draw(100.0, 3)
    assert thread.draw(0.3, 4) == [Quality.HALF, Quality.PLAIN, Quality.FULL, Quality.FULL]


def test_a_step_comes_back_only_where_it_would_stay() -> None:
    """A load that the next better quality would raise above what is enough leaves things as they are."""
    thread = Thread()
    assert thread.draw(1.0, 2)[-1] is Quality.PLAIN
    assert thread.draw(ENOUGH_ROOM + 0.05, 5)[-1] is Quality.PLAIN
    assert thread.draw(ENOUGH_ROOM - 0.1, 5)[-1] is Quality.FULL


def test_nothing_is_decided_before_a_window_is_over() -> None:
    degrade, found = Degrade(), []
    for k in range(FPS):
        degrade.worked(1 / FPS, (k + 1) / FPS)
        found.append(degrade.quality)
    assert found == [Quality.FULL] * (FPS - 1) + [Quality.PLAIN]


def test_more_processors_hold_more() -> None:
    """What is too much for one is nothing for four, which finish four pictures at a time."""
    degrade, found = Degrade(cores=4), list[Quality]()
    for used in (1.5, 3.8):
        for _ in range(FPS + 1):
            degrade.worked(used / FPS, len(found) / FPS)
            found.append(degrade.quality)
    assert set(found[: FPS + 1]) == {Quality.FULL}
    assert degrade.load == pytest.approx(3.8 / 4, abs=0.05)
    assert found[-1] is Quality.PLAIN


def test_less_is_drawn_when_pictures_are_late_and_more_when_none_is() -> None:
    """Others keep the processors busy: drawing takes little of them, and still it is not in time."""
    thread = Thread()
    found = []
    for late in (TOO_LATE - 1, TOO_LATE, 1, 0):
        thread.degrade.left_out += late
        found += thread.draw(0.3)
    assert found == [Quality.FULL, Quality.PLAIN, Quality.PLAIN, Quality.FULL]


def test_a_pause_counts_as_room() -> None:
    """Nobody watched for a minute: what was measured before says nothing about now."""
    thread = Thread()
    thread.draw(100.0, 2)
    thread.now += 60
    thread.degrade.worked(0.01, thread.now)
    assert thread.degrade.quality is Quality.PLAIN
    assert thread.degrade.load < 0.1


def test_the_pipelines_status_says_what_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0.0, 2 * WINDOW)
    clock = SimpleNamespace(monotonic=ticks.__next__, thread_time=ticks.__next__)
    monkeypatch.setattr(studio, "time", clock)
    monkeypatch.setattr(server_pictures, "cores", lambda: 1.0)

    def idle(seconds: float) -> Picture:
        return np.zeros((48, 64, 3), np.uint8)

    async def talk() -> list[str]:
        audience = cast(Any, SimpleNamespace(join=None, leave=None))
        found = []
        with ThreadPoolExecutor(1) as executor:
            async with anyio.create_task_group() as tasks:
                pictures = Pictures(Settings(), tasks, executor, idle)
                found.append(pictures.status()["quality"])
                portrait = await pictures.portrait("mia", Media(24_000, FPS), audience)
                await portrait.artist.draw(neutral(1), FPS)
                found.append(pictures.status()["quality"])
        return found

    assert asyncio.run(talk()) == ["full", "plain"]
