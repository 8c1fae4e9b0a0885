"""Frames that leave together when many talk: fewer wake-ups, the same frames, none of them later."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests import vtime
from tests.talk import drive, face, of

from visavis import events as ev
from visavis.conversation import Conversation
from visavis.pacing import Policy
from visavis.ticker import MOST, PERIOD, RARELY, SHARE, Look, Ticker, together
from visavis.turn import START_FRAMES

SECONDS = 6
FILLED = 15
"""Frames after which a player whose agent is quick has its whole reserve."""
PCM = np.random.default_rng(0).integers(-20_000, 20_000, 24_000 * SECONDS).astype("<i2").tobytes()


def reply(group: int, spacing: float, face_delay: float = 0.0) -> list[tuple[float, ev.Frames]]:
    """Its frames and when they left; a tenth of a second of sound comes every `spacing` seconds."""
    pieces = [PCM[begin : begin + 4800] for begin in range(0, len(PCM), 4800)]
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    script += [(number * spacing, ev.ReplyAudio("r", piece)) for number, piece in enumerate(pieces)]
    script.append((len(pieces) * spacing, ev.ReplyDone("r")))
    return of(drive(Conversation(), script, look_ahead=2, group=group, face_delay=face_delay), ev.Frames)


def leaves(found: list[tuple[float, ev.Frames]]) -> dict[int, float]:
    """When each frame left."""
    return {frames.first + k: at for at, frames in found for k in range(len(frames.weights))}


@pytest.mark.parametrize("group", [3, MOST])
@pytest.mark.parametrize(("spacing", "face_delay"), [(0.025, 0.0), (0.025, 0.08), (0.1, 0.0), (0.1, 0.08)])
def test_the_same_frames_leave_and_none_of_them_later(group: int, spacing: float, face_delay: float) -> None:
    alone, grouped = reply(1, spacing, face_delay), reply(group, spacing, face_delay)
    assert b"".join(frames.pcm for _, frames in grouped) == b"".join(frames.pcm for _, frames in alone)
    before, after = leaves(alone), leaves(grouped)
    assert before.keys() == after.keys()
    assert all(after[frame] <= before[frame] + 1e-6 for frame in before)


@pytest.mark.parametrize("face_delay", [0.0, 0.08])
def test_a_player_keeps_its_reserve_and_what_is_ahead_is_bounded(face_delay: float) -> None:
    lead, left = Policy().lead, leaves(reply(MOST, 0.025, face_delay))
    begin = left[START_FRAMES - 1]  # it plays from its third frame on
    ahead = [begin + frame / 30 - at for frame, at in left.items()]
    assert min(ahead[FILLED:]) >= lead - 1e-6
    assert max(ahead) <= lead + (MOST - 1) / 30 + 1e-6


@pytest.mark.parametrize("group", [3, MOST])
def test_a_quick_agent_takes_so_many_times_fewer_wake_ups(group: int) -> None:
    assert len(reply(group, 0.025)) < FILLED + SECONDS * 30 / group


def test_a_reply_begins_as_quickly_when_many_talk() -> None:
    assert [(at, len(frames.weights)) for at, frames in reply(MOST, 0.025)[:2]] == [
        (at, len(frames.weights)) for at, frames in reply(1, 0.025)[:2]
    ]


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


def test_groups_grow_with_those_who_talk() -> None:
    sizes = [together(sessions) for sessions in range(1000)]
    assert sizes[: 2 * SHARE] == [1] * (2 * SHARE) and sizes == sorted(sizes) and sizes[-1] == MOST
    # as many talk, so often a second a group leaves: hardly more often than when each frame leaves alone
    assert max(count / size for count, size in enumerate(sizes[: MOST * SHARE])) < 2 * SHARE


@pytest.mark.parametrize("sessions", [2 * SHARE - 1, 2 * SHARE, MOST * SHARE, MOST * SHARE + 100])
def test_the_clock_of_all_sessions_knows_when_they_are_many(sessions: int) -> None:
    async def main() -> set[int]:
        ticker, all_ = Ticker(), [Due() for _ in range(sessions)]
        for one in all_:
            ticker.watch(one)
        await asyncio.sleep(2)
        assert ticker.lateness.share(2) == 0.0
        return {found for one in all_ for found in one.groups}

    assert vtime.run(main()) == {together(sessions)}


class Paced:
    """Has one deadline after another, as frames have that leave in groups."""

    look: Look | None = None

    def __init__(self, ticker: Ticker, begin: float) -> None:
        self._ticker, self.deadline = ticker, begin
        self.looks: list[tuple[float, float]] = []
        """When its deadlines were met, and how late."""

    def tick(self, now: float, group: int) -> None:
        self.looks.append((now, now - self.deadline))
        self.deadline += group / 30
        self._ticker.watch(self)


@pytest.mark.parametrize("sessions", [SHARE, 3 * SHARE, RARELY * SHARE, MOST * SHARE])
def test_the_larger_the_groups_the_fewer_the_looks_and_none_is_a_frame_late(sessions: int) -> None:
    async def main() -> list[tuple[float, float]]:
        ticker = Ticker()
        all_ = [Paced(ticker, 1 + number / sessions) for number in range(sessions)]
        for one in all_:
            ticker.watch(one)
        await asyncio.sleep(4)
        return [look for one in all_ for look in one.looks]

    looks, periods = vtime.run(main()), min(together(sessions), RARELY)
    assert len({now for now, _ in looks}) <= 3 / (PERIOD * periods) + 1
    assert max(late for _, late in looks) <= PERIOD * periods + 1e-6 <= 1 / 30 + 1e-6
