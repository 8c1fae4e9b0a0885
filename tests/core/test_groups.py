"""Frames that leave together when many talk: fewer wake-ups, the same frames, none of them later."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests import vtime
from tests.talk import drive, face, of

from visavis import events as ev
from visavis.conversation import Conversation
from visavis.ticker import MANY, TOGETHER, Look, Ticker

SECONDS = 6
PCM = np.random.default_rng(0).integers(-20_000, 20_000, 24_000 * SECONDS).astype("<i2").tobytes()


def reply(group: int, spacing: float) -> list[tuple[float, ev.Frames]]:
    """Its frames and when they left; a tenth of a second of sound comes every `spacing` seconds."""
    pieces = [PCM[begin : begin + 4800] for begin in range(0, len(PCM), 4800)]
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    script += [(number * spacing, ev.ReplyAudio("r", piece)) for number, piece in enumerate(pieces)]
    script.append((len(pieces) * spacing, ev.ReplyDone("r")))
    return of(drive(Conversation(), script, look_ahead=2, group=group), ev.Frames)


@pytest.mark.parametrize("spacing", [0.025, 0.1])
def test_the_same_frames_leave_and_none_of_them_later(spacing: float) -> None:
    alone, together = reply(1, spacing), reply(3, spacing)
    assert b"".join(frames.pcm for _, frames in together) == b"".join(frames.pcm for _, frames in alone)
    left = [
        {frames.first + k: at for at, frames in found for k in range(len(frames.weights))}
        for found in (alone, together)
    ]
    assert left[0].keys() == left[1].keys()
    assert all(left[1][frame] <= left[0][frame] + 1e-6 for frame in left[0])


def test_a_quick_agent_takes_a_third_of_the_wake_ups() -> None:
    assert len(reply(3, 0.025)) < len(reply(1, 0.025)) * 0.45


def test_only_a_tick_lets_more_leave_than_are_due() -> None:
    talk = Conversation()
    talk.feed(ev.ReplyStarted("r"), 0.0)
    effects = talk.feed(ev.ReplyAudio("r", PCM), 0.0)
    while jobs := [effect for effect in effects if isinstance(effect, ev.Animate)]:
        effects = talk.feed(ev.Animated(1, face(len(jobs[0].pcm) // 1600)), 0.0)
    for event, count in ((ev.Tick(3), 3), (ev.Played(1, 0), 1), (ev.Tick(1), 1), (ev.Tick(2), 2)):
        due = talk.deadline
        assert due is not None
        frames = [effect for effect in talk.feed(event, due) if isinstance(effect, ev.Frames)]
        assert [len(each.weights) for each in frames] == [count]


class Due:
    """Has a deadline once."""

    look: Look | None = None

    def __init__(self) -> None:
        self.deadline: float | None = 1.0
        self.groups: list[int] = []

    def tick(self, now: float, group: int) -> None:
        self.groups.append(group)
        self.deadline = None


@pytest.mark.parametrize(("sessions", "group"), [(MANY - 1, 1), (MANY, TOGETHER)])
def test_the_clock_of_all_sessions_knows_when_they_are_many(sessions: int, group: int) -> None:
    async def main() -> set[int]:
        ticker, all_ = Ticker(), [Due() for _ in range(sessions)]
        for one in all_:
            ticker.watch(one)
        await asyncio.sleep(2)
        assert ticker.lateness.share(2) == 0.0
        return {found for one in all_ for found in one.groups}

    assert vtime.run(main()) == {group}
