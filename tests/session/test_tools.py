"""What a session does with an agent's calls of tools, on a virtual clock."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests import vtime
from tests.shell import Puppet, session

from visavis import events as ev
from visavis.agents import Tool
from visavis.session import MOST_CALLS
from visavis.tools.toolbox import ClientTool, ServerTool, Toolbox


async def slow(arguments: dict[str, Any]) -> dict[str, Any]:
    await anyio.sleep(8)
    return {"slept": 8}


TOOLS = Toolbox(
    [
        ClientTool(Tool("wave")),
        ClientTool(Tool("ask"), returns=True, seconds=10),
        ServerTool(Tool("slow"), slow, seconds=45),
        ServerTool(Tool("slower"), slow, seconds=5),
    ]
)


def results(agent: Puppet) -> list[ev.ToolResult]:
    return [event for event in agent.heard if isinstance(event, ev.ToolResult)]


def test_an_action_without_a_result_is_answered_at_once() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=TOOLS) as (_, ear):
            agent.say.send_nowait(ev.ToolCall("1", "wave"))
            await anyio.sleep(0)
            await anyio.sleep(0.01)
        assert ear.of(ev.Action) == [ev.Action("wave")]
        assert results(agent) == [ev.ToolResult("1", "done")]

    vtime.run(main())


@pytest.mark.parametrize(
    ("done", "result"),
    [
        (ev.ActionDone("1", [1, "two"]), ev.ToolResult("1", '[1,"two"]')),
        (ev.ActionDone("1", error="No screen."), ev.ToolResult("1", "No screen.", failed=True)),
        (ev.ActionDone("2"), ev.ToolResult("1", "ask took too long.", failed=True)),
        (None, ev.ToolResult("1", "ask took too long.", failed=True)),
    ],
)
def test_an_action_with_a_result_is_waited_for(done: ev.ActionDone | None, result: ev.ToolResult) -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=TOOLS) as (talk, ear):
            agent.say.send_nowait(ev.ToolCall("1", "ask", {}))
            await anyio.sleep(3)
            assert ear.of(ev.Action) == [ev.Action("ask", {}, "1")]
            assert not results(agent)
            if done is not None:
                talk.feed(done)
            await anyio.sleep(8)
        assert results(agent) == [result]

    vtime.run(main())


def test_the_avatar_thinks_while_a_slow_tool_runs_and_speaks_again() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=TOOLS) as (talk, ear):
            talk.feed(ev.UserText("hello"))
            agent.speak(1, "a")
            agent.say.send_nowait(ev.ToolCall("0", "wave"))  # nobody waits for it: the reply is complete
            await anyio.sleep(2)
            assert talk.deadline is None
            talk.feed(ev.UserText("and now?"))
            agent.say.send_nowait(ev.ToolCall("1", "slow"))
            agent.speak(1, "b")
            await anyio.sleep(7.9)
            assert ear.of(ev.StateChanged)[-1].state == "thinking"
            await anyio.sleep(0.2)
            assert results(agent)[-1] == ev.ToolResult("1", '{"slept":8}')
            agent.speak(1, "c")
            await anyio.sleep(2)
        states = [event.state for event in ear.of(ev.StateChanged)]
        assert states[-4:] == ["speaking", "thinking", "speaking", "listening"]
        assert not ear.of(ev.Problem)

    vtime.run(main())


def test_a_tool_may_take_longer_than_an_answer() -> None:
    async def main() -> None:
        async def endless(arguments: dict[str, Any]) -> None:
            await anyio.sleep(100)

        agent = Puppet()
        tools = Toolbox([ServerTool(Tool("endless"), endless, seconds=60)])
        async with session(agent, tools=tools) as (talk, ear):
            talk.feed(ev.UserText("hello"))
            agent.say.send_nowait(ev.ToolCall("1", "endless"))
            await anyio.sleep(89)
            assert results(agent) == [ev.ToolResult("1", "endless took too long.", failed=True)]
            assert not ear.of(ev.Problem)
            await anyio.sleep(2)
            (problem,) = ear.of(ev.Problem)
            assert problem.code == "AGENT_TIMEOUT"

    vtime.run(main())


def test_whoever_interrupts_does_not_wait_and_the_result_still_comes() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=TOOLS) as (talk, ear):
            talk.feed(ev.UserText("hello"))
            agent.say.send_nowait(ev.ToolCall("1", "slow"))
            await anyio.sleep(1)
            talk.feed(ev.Interrupt())
            assert ear.of(ev.StateChanged)[-1].state == "listening"
            await anyio.sleep(10)
            assert results(agent) == [ev.ToolResult("1", '{"slept":8}')]
            assert ev.CancelReply(None, 0.0, "") in agent.heard
            assert ear.of(ev.StateChanged)[-1].state == "listening"
            await anyio.sleep(60)
            assert not ear.of(ev.Problem)

    vtime.run(main())


def test_no_more_tools_run_at_once_than_are_allowed() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=TOOLS) as (_, _ear):
            for number in range(MOST_CALLS + 1):
                agent.say.send_nowait(ev.ToolCall(str(number), "slow"))
            agent.say.send_nowait(ev.ToolCall("0", "slow"))
            await anyio.sleep(1)
            assert [(result.call, result.failed) for result in results(agent)] == [
                (str(MOST_CALLS), True),
                ("0", True),
            ]
            await anyio.sleep(9)
            assert len([result for result in results(agent) if not result.failed]) == MOST_CALLS

    vtime.run(main())


def test_a_session_that_ends_ends_its_tools() -> None:
    async def main() -> None:
        ended = []

        async def tool(arguments: dict[str, Any]) -> None:
            try:
                await anyio.sleep(30)
            finally:
                ended.append(anyio.current_time())

        agent = Puppet()
        async with session(agent, tools=Toolbox([ServerTool(Tool("tool"), tool)])):
            agent.say.send_nowait(ev.ToolCall("1", "tool"))
            await anyio.sleep(1)
        assert ended == [1]

    vtime.run(main())


def test_the_avatar_thinks_in_the_middle_of_a_reply_while_nothing_is_heard() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=TOOLS) as (talk, ear):
            talk.feed(ev.UserText("hello"))
            agent.say.send_nowait(ev.ReplyStarted("a"))
            agent.say.send_nowait(ev.ReplyAudio("a", bytes(48_000)))
            agent.say.send_nowait(ev.ToolCall("1", "slow"))
            await anyio.sleep(8.1)
            assert results(agent)
            agent.say.send_nowait(ev.ReplyAudio("a", bytes(48_000)))
            agent.say.send_nowait(ev.ReplyDone("a"))
            await anyio.sleep(3)
        told = [(event.state, round(at)) for at, event in ear.log if isinstance(event, ev.StateChanged)]
        assert told == [("thinking", 0), ("speaking", 0), ("thinking", 1), ("speaking", 8), ("listening", 9)]
        assert len(ear.of(ev.TurnStarted)) == 1
        assert sum(len(group.weights) for group in ear.of(ev.Frames)) == 60

    vtime.run(main())
