"""Sound that nobody needs yet waits for more of it, and nothing of it is lost, late or out of order."""

from __future__ import annotations

import asyncio

import anyio
import numpy as np
import pytest
from tests import vtime
from tests.shell import Puppet, session

from visavis import events as ev
from visavis.supply import MORE, MOST, Supply

RATE = 24_000


def piece(number: int, seconds: float = 0.1, reply: str = "r") -> ev.ReplyAudio:
    """A piece whose samples all have its number, and which begins a word of that number."""
    pcm = np.full(round(seconds * RATE), number, "<i2").tobytes()
    return ev.ReplyAudio(reply, pcm, (ev.Word(f"w{number}", number * seconds, (number + 1) * seconds),))


def test_pieces_are_fed_as_one_after_a_moment() -> None:
    fed: list[tuple[float, ev.ReplyAudio]] = []

    async def main() -> None:
        supply = Supply(lambda event: fed.append((asyncio.get_running_loop().time(), event)))
        begin = asyncio.get_running_loop().time()
        for number in range(6):
            supply.take(piece(number))
            await anyio.sleep(0.1)
        await anyio.sleep(1)
        supply.give()
        assert [at - begin for at, _ in fed] == pytest.approx([MORE, 0.3 + MORE])

    vtime.run(main())
    first, second = (event for _, event in fed)
    assert first.pcm == b"".join(piece(number).pcm for number in range(3))
    assert [word.text for word in first.words + second.words] == [f"w{number}" for number in range(6)]


def test_no_more_than_a_limit_waits_and_no_two_replies_together() -> None:
    fed: list[ev.ReplyAudio] = []

    async def main() -> None:
        supply = Supply(fed.append)
        supply.take(piece(1, seconds=MOST / RATE))
        assert len(fed) == 1
        supply.take(piece(2))
        supply.take(piece(3, reply="s"))
        assert [event.reply for event in fed] == ["r", "r"]
        supply.give()
        supply.give()
        assert [event.reply for event in fed] == ["r", "r", "s"]

    vtime.run(main())


@pytest.mark.parametrize("speed", [0.95, 1.0, 4.0, 50.0])
def test_a_client_hears_all_of_it_on_time_however_fast_it_comes(speed: float) -> None:
    """It must not be told from an agent whose every piece is fed at once."""
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


def test_what_waits_when_somebody_interrupts_is_never_heard() -> None:
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


def test_what_an_agent_says_besides_comes_behind_its_sound() -> None:
    async def main() -> None:
        agent = Puppet()
        fed: list[ev.Event] = []
        async with session(agent) as (talk, _):
            feed = talk._conversation.feed

            def told(event: ev.Event, now: float) -> list[ev.Effect]:
                fed.append(event)
                return feed(event, now)

            talk._conversation.feed = told  # type: ignore[method-assign]
            agent.say.send_nowait(ev.ReplyStarted("r"))
            for number in range(60):
                agent.say.send_nowait(piece(number))
            agent.say.send_nowait(ev.Emotion("r", "joy", 6.0))
            agent.say.send_nowait(piece(60))
            agent.say.send_nowait(ev.ReplyDone("r"))
            await anyio.sleep(0.1)
        kinds = [
            type(event).__name__
            for event in fed
            if isinstance(event, ev.ReplyAudio | ev.Emotion | ev.ReplyDone)
        ]
        sounds = [event for event in fed if isinstance(event, ev.ReplyAudio)]
        assert kinds[-4:] == ["ReplyAudio", "Emotion", "ReplyAudio", "ReplyDone"]
        assert len(sounds) < 30, "most of them were fed together"
        assert b"".join(event.pcm for event in sounds) == b"".join(piece(n).pcm for n in range(61))

    vtime.run(main())
