"""What is looked up reaches the agent, and the client is told where it is from; on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

import anyio
import orjson
from tests import vtime
from tests.cascade_fakes import BRIEF, Talk, talk
from tests.shell import Puppet, session

from visavis import events as ev
from visavis.agents import Brief, Tool
from visavis.agents.openai_protocol import configure
from visavis.settings import OpenAISettings
from visavis.stages import Message
from visavis.tools.knowledge import NOTHING, search_knowledge
from visavis.tools.toolbox import Toolbox

HOURS = ev.Source("Shop: Hours", "", "Open from 8 to 18.")


@dataclass
class Shelf:
    """Knows about opening, and notes what was said before."""

    whole: str = ""
    before: list[Sequence[str]] = field(default_factory=list)

    def search(self, question: str, before: Sequence[str] = ()) -> tuple[ev.Source, ...]:
        self.before.append(before)
        return (HOURS,) if "open" in question else ()


def results(agent: Puppet) -> list[ev.ToolResult]:
    return [event for event in agent.heard if isinstance(event, ev.ToolResult)]


def test_a_realtime_agent_looks_things_up_with_a_tool_and_its_reply_cites_them() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent, tools=Toolbox([search_knowledge(Shelf())])) as (talk, ear):
            talk.feed(ev.UserText("When do you open?"))
            agent.say.send_nowait(ev.ToolCall("1", "search_knowledge", {"question": "When do you open?"}))
            agent.say.send_nowait(ev.ToolCall("2", "search_knowledge", {"question": "Why?"}))
            while len(results(agent)) < 2:
                await anyio.sleep(0)  # the search is in a thread, for which no virtual clock waits
            agent.speak(1, "a")
            await anyio.sleep(4)
        found, nothing = sorted(results(agent), key=lambda result: result.call)
        assert orjson.loads(found.output) == [{"title": HOURS.title, "text": HOURS.excerpt}]
        assert nothing.output == NOTHING
        assert ear.of(ev.TurnSources) == [ev.TurnSources(1, (HOURS,))]

    vtime.run(main())


class Listener:
    """A language model that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Sequence[Message]] = []

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ev.ToolCall, None]:
        self.told.append(messages)
        yield "From eight."


def test_openai_is_told_all_of_a_short_library_and_the_tool_for_a_long_one() -> None:
    tool = search_knowledge(Shelf()).tool
    short = configure(OpenAISettings(), Brief("Be kind.", (tool,), library=Shelf("Bread costs 4 euros.")))
    assert short["session"]["instructions"] == "Be kind.\n\nThis is what you know:\n\nBread costs 4 euros."
    assert [declared["name"] for declared in short["session"]["tools"]] == ["search_knowledge"]
    assert (
        configure(OpenAISettings(), Brief("Be kind.", library=Shelf()))["session"]["instructions"]
        == "Be kind."
    )


def test_the_embedded_agent_looks_up_every_question_and_cites_what_it_found() -> None:
    brain = Listener()

    async def script(it: Talk) -> None:
        await it.write("When do you open?")
        await asyncio.sleep(3)
        await it.write("Thanks!")
        await asyncio.sleep(3)

    stages = replace(Talk().stages(), llm=brain)
    shelf = Shelf()
    it = talk(script, stages, replace(BRIEF, library=shelf))
    assert shelf.before == [[], ["When do you open?"]]
    first, second = brain.told
    assert first[-1] == Message("user", "When do you open?", passages=(HOURS,))
    assert first[0].text.endswith(HOURS.excerpt)
    assert second[-1] == Message("user", "Thanks!")
    assert all(HOURS.excerpt not in message.text for message in second)
    kinds = [type(event) for _, event in it.happened if not isinstance(event, ev.Milestone)]
    assert kinds[:2] == [ev.ReplyStarted, ev.Cited]
    assert kinds.count(ev.Cited) == 1
