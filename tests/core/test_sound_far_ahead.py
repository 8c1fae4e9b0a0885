"""Sound that nobody needs yet is only kept, and nothing of it is lost, late or out of order."""

from __future__ import annotations

import math

import anyio
import numpy as np
import pytest
from tests import vtime
from tests.shell import Puppet, session
from tests.talk import drive

from visavis import conversation
from visavis import events as ev
from visavis.conversation import Conversation
from visavis.pacing import Policy

RATE = 24_000


def piece(number: int, seconds: float = 0.1, reply: str = "r") -> ev.ReplyAudio:
    """A piece whose samples all have its number, and which begins a word of that number."""
    pcm = np.full(round(seconds * RATE), number, "<i2").tobytes()
    return ev.ReplyAudio(reply, pcm, (ev.Word(f"w{number}", number * seconds, (number + 1) * seconds),))


@pytest.mark.parametrize("face_delay", [0.0, 0.08, 4.0])
@pytest.mark.parametrize("spacing", [0.002, 0.025, 0.1])
def test_a_client_hears_and_sees_it_as_if_every_piece_were_looked_at(
    spacing: float, face_delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: list[tuple[float, ev.Event]] = [(0.0, ev.ReplyStarted("r"))]
    script += [(number * spacing, piece(number)) for number in range(100)]
    script.append((100 * spacing, ev.ReplyDone("r")))
    found = reply(script, face_delay)
    monkeypatch.setattr(conversation, "ENOUGH", math.inf)
    assert reply(script, face_delay) == found


def reply(script: list[tuple[float, ev.Event]], face_delay: float) -> list[tuple[float, str, object]]:
    """What comes of it, and when; when faces are moved far ahead of time makes no difference."""
    log = drive(Conversation(), script, look_ahead=2, group=9, face_delay=face_delay)
    assert isinstance(log[-1][1], ev.StateChanged)
    told = [(at, effect) for at, effect in log if not isinstance(effect, ev.Animate)]
    return [(at, type(effect).__name__, getattr(effect, "pcm", effect)) for at, effect in told]


def test_of_sound_far_ahead_nothing_comes_but_that_it_is_too_long() -> None:
    talk = Conversation(policy=Policy(longest=10.0))
    talk.feed(ev.ReplyStarted("r"), 0.0)
    for number in range(30):
        talk.feed(piece(number), 0.0)
    due = talk.deadline
    for number in range(30, 100):
        assert talk.feed(piece(number), 0.0) == []
    assert talk.deadline == due
    assert [type(effect) for effect in talk.feed(piece(100), 0.0)] == [ev.Problem, ev.CancelReply]


@pytest.mark.parametrize("speed", [0.95, 1.0, 4.0, 50.0])
def test_a_client_hears_all_of_it_on_time_however_fast_it_comes(speed: float) -> None:
    pieces = [piece(number) for number in range(100)]

    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (_, ear):
            agent.say.send_nowait(ev.ReplyStarted("r"))
            for each in pieces:
                agent.say.send_nowait(each)
                await anyio.sleep(0.1 / speed)
            agent.say.send_nowait(ev.ReplyDone("r"))
            await anyio.sleep(15)
        frames = ear.of(ev.Frames)
        assert b"".join(group.pcm for group in frames) == b"".join(each.pcm for each in pieces)
        assert [said.word.text for said in ear.of(ev.WordSpoken)] == [f"w{number}" for number in range(100)]
        (ended,) = ear.of(ev.TurnEnded)
        assert (ended.heard, ended.interrupted) == (10.0, False)
        assert (ended.underruns > 0) == (speed < 1)

    vtime.run(main())


def test_what_is_kept_when_somebody_interrupts_is_never_heard() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (talk, ear):
            agent.say.send_nowait(ev.ReplyStarted("r"))
            for number in range(50):
                agent.say.send_nowait(piece(number))
            await anyio.sleep(1)
            agent.say.send_nowait(piece(50))
            await anyio.sleep(0.01)
            talk.feed(ev.Interrupt())
            await anyio.sleep(3)
            agent.speak(1, "next")
            await anyio.sleep(3)
        first, second = ear.of(ev.TurnEnded)
        assert (first.interrupted, second.interrupted) == (True, False)
        assert all(not any(group.pcm) for group in ear.of(ev.Frames) if group.turn == second.turn)

    vtime.run(main())
