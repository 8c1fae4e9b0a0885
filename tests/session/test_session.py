"""Whole talks on a virtual clock: minutes of conversation in milliseconds, to the frame."""

from __future__ import annotations

import anyio
import pytest
from tests import vtime
from tests.shell import Puppet, session

from visavis import events as ev
from visavis.audio import Media
from visavis.errors import VisavisError
from visavis.pacing import Policy


def test_a_talk_of_half_a_minute_with_an_interruption() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (talk, ear):
            talk.feed(ev.UserText("one"))
            agent.speak(30, "a")
            await anyio.sleep(10)
            talk.feed(ev.Interrupt())
            await anyio.sleep(1)
            talk.feed(ev.UserText("two"))
            agent.speak(5, "b")
            await anyio.sleep(10)
        first = [at for at, event in ear.log if isinstance(event, ev.Frames) and event.turn == 1]
        second = [event for event in ear.of(ev.Frames) if event.turn == 2]
        assert max(first) <= 10.0
        assert sum(len(group.weights) for group in second) == 150
        assert ear.dropped == [1]
        assert [turn.interrupted for turn in ear.of(ev.TurnEnded)] == [True, False]
        (cancelled,) = [event for event in agent.heard if isinstance(event, ev.CancelReply)]
        assert cancelled.heard == pytest.approx(10.0, abs=0.02)

    vtime.run(main())


def test_frames_come_on_time_to_a_quarter_of_a_frame() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (_, ear):
            agent.speak(20)
            await anyio.sleep(25)
        groups = [(at, event) for at, event in ear.log if isinstance(event, ev.Frames)]
        begin = groups[0][0]
        for at, group in groups[2:]:
            due = max(begin, begin + group.first / 30 - Policy().lead)
            assert due - 1e-6 <= at <= due + 1 / 110

    vtime.run(main())


def test_the_microphone_reaches_the_agent_at_its_own_rate() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (talk, _):
            talk.feed(ev.MicOn(48_000))
            for _ in range(20):
                talk.feed(ev.UserAudio(bytes(9600)))
            talk.feed(ev.MicOff())
            await anyio.sleep(1)
        samples = sum(len(event.pcm) for event in agent.heard if isinstance(event, ev.UserAudio)) // 2
        assert samples == pytest.approx(32_000, abs=400)
        assert isinstance(agent.heard[0], ev.MicOn)
        assert isinstance(agent.heard[-1], ev.MicOff)

    vtime.run(main())


def test_a_reply_at_another_rate_is_resampled_without_losing_its_end() -> None:
    async def main() -> None:
        agent = Puppet()
        agent.output_rate = 16_000
        async with session(agent, media=Media(24_000, 30)) as (_, ear):
            agent.speak(2)
            await anyio.sleep(5)
        assert sum(len(group.weights) for group in ear.of(ev.Frames)) == 60

    vtime.run(main())


def test_a_failing_agent_ends_the_turn_and_the_talk_goes_on() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (talk, ear):
            talk.feed(ev.UserText("one"))
            agent.say.send_nowait(ev.ReplyStarted("a"))
            agent.say.send_nowait(ev.ReplyAudio("a", bytes(24_000)))
            await anyio.sleep(0.1)
            agent.say.send_nowait(ev.ReplyFailed("LLM_UNREACHABLE", "The model is down.", "a"))
            await anyio.sleep(2)
            talk.feed(ev.UserText("two"))
            agent.speak(1, "b")
            await anyio.sleep(3)
        assert [problem.code for problem in ear.of(ev.Problem)] == ["LLM_UNREACHABLE"]
        assert len(ear.of(ev.TurnEnded)) == 2

    vtime.run(main())


def test_an_agent_that_raises_ends_its_session_with_a_sentence() -> None:
    class Broken(Puppet):
        async def send(self, event: ev.ToAgent) -> None:
            raise VisavisError("KEY_REFUSED", "The key was refused; set another.")

    async def main() -> None:
        agent = Broken()
        async with session(agent) as (talk, ear):
            talk.feed(ev.UserText("one"))
            await anyio.sleep(1)
            assert talk.closed
        assert [problem.code for problem in ear.of(ev.Problem)] == ["KEY_REFUSED"]
        assert agent.closed

    vtime.run(main())


def test_an_agent_that_does_not_listen_is_given_up_without_stalling_the_client() -> None:
    async def main() -> None:
        agent = Puppet()
        agent.block = anyio.Event()
        async with session(agent) as (talk, ear):
            for _ in range(600):
                talk.feed(ev.UserAudio(bytes(320)))
            await anyio.sleep(0.1)
            assert not talk.closed
        assert {problem.code for problem in ear.of(ev.Problem)} == {"AGENT_OVERLOADED"}

    vtime.run(main())


def test_an_unexpected_error_ends_this_session_only() -> None:
    async def main() -> None:
        agent, other = Puppet(), Puppet()
        async with session(agent) as (talk, ear), session(other) as (second, second_ear):
            talk.feed(ev.Played("nonsense", None))  # type: ignore[arg-type]
            talk.feed(ev.UserAudio(b"\1"))
            talk.feed(ev.UserAudio(None))  # type: ignore[arg-type]
            await anyio.sleep(0.1)
            assert talk.closed
            assert not second.closed
            other.speak(1)
            await anyio.sleep(2)
        assert ear.of(ev.Problem)[-1].code == "INTERNAL"
        assert agent.closed
        assert second_ear.of(ev.TurnEnded)

    vtime.run(main())


def test_a_client_that_comes_back_hears_what_it_missed_and_the_rest() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (talk, ear):
            talk.feed(ev.UserText("one"))
            agent.speak(4)
            await anyio.sleep(1)
            talk.detach(ear)
            before = len(ear.log)
            agent.say.send_nowait(ev.UserPartial("and"))
            await anyio.sleep(5)
            assert len(ear.log) == before
            talk.attach(ear)
            await anyio.sleep(5)
        again = [event for _, event in ear.log[before:]]
        assert again[0] == ev.UserPartial("and")
        assert isinstance(again[1], ev.TurnStarted)
        frames = [event for event in again if isinstance(event, ev.Frames)]
        assert frames[0].first == pytest.approx(30, abs=1)
        assert frames[-1].first + len(frames[-1].weights) == 120
        assert ear.of(ev.TurnEnded)[-1].interrupted is False

    vtime.run(main())


def test_a_client_that_goes_leaves_nothing_behind() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (talk, ear):
            agent.speak(4)
            await anyio.sleep(1)
            talk.detach(ear)
            talk.close()
            await anyio.sleep(0.1)
            assert agent.closed
            assert talk.deadline is None
            talk.feed(ev.UserText("anyone?"))  # falls on the floor

    vtime.run(main())
