"""How the embedded agent uses tools while it answers, on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import anyio
from tests.cascade_fakes import QUESTION, Brain, Talk, talk

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.reply import ROUNDS
from visavis.stages import Message
from visavis.tools import Tool

BRIEF = Brief("Be kind.", (Tool("look"),))
Piece = str | ev.ToolCall


class Thinker(Brain):
    """Says one of its `answers` after the other, the last one again and again."""

    def __init__(self, *answers: Sequence[Piece]) -> None:
        super().__init__()
        self.answers = answers
        self.shown: list[list[Message]] = []
        self.tools: list[int] = []

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[Piece, None]:
        self.shown.append([message for message in messages if message.role != "system"])
        self.tools.append(len(tools))
        for piece in self.answers[min(len(self.shown), len(self.answers)) - 1]:
            yield piece


def think(brain: Thinker, *, spoken: bool = False) -> Talk:
    """A question, and what the agent makes of it; tools return "seen" after three seconds."""

    async def script(it: Talk) -> None:
        if spoken:
            await it.mic_on()
            await it.say(QUESTION)
            await it.silence(1.5)
        else:
            await it.write("What is there?")
        for _ in range(30):
            await anyio.sleep(3)
            for _, event in it.happened:
                if isinstance(event, ev.ToolCall):
                    await it.agent.send(ev.ToolResult(event.call, "seen"))

    return converse(script, brain)


def converse(script: Callable[[Talk], Awaitable[None]], brain: Thinker) -> Talk:
    made = Talk()
    made.brain = brain
    return talk(script, made.stages(), brief=BRIEF)


def test_it_speaks_before_and_after_a_tool() -> None:
    brain = Thinker(["Let me look. ", ev.ToolCall("", "look", {"far": True})], ["There is a house."])
    it = think(brain)
    assert it.story() == [
        "ToolCall",
        "ReplyStarted",
        "says: Let me look.",
        "says: There is a house.",
        "ReplyDone",
    ]
    (call,) = [event for _, event in it.happened if isinstance(event, ev.ToolCall)]
    assert (call.name, call.arguments) == ("look", {"far": True})
    assert brain.shown[1] == [
        Message("user", "What is there?"),
        Message("assistant", "Let me look. ", calls=(call,)),
        Message("tool", "seen", call=call.call),
    ]


def test_a_draft_calls_nothing_before_it_is_what_the_user_gets() -> None:
    it = think(Thinker([ev.ToolCall("", "look")], ["There is a house."]), spoken=True)
    assert it.when(ev.UserSaid) <= it.when(ev.ToolCall)
    assert it.story()[-2:] == ["says: There is a house.", "ReplyDone"]


def test_a_model_that_only_calls_has_to_answer_in_the_end() -> None:
    brain = Thinker([ev.ToolCall("same", "look"), ev.ToolCall("same", "look")])
    it = think(brain)
    calls = [event.call for _, event in it.happened if isinstance(event, ev.ToolCall)]
    assert len(calls) == len(set(calls)) == 2 * ROUNDS
    assert brain.tools == [1] * ROUNDS + [0]


def test_a_tool_may_be_all_that_there_was_to_do() -> None:
    it = think(Thinker([ev.ToolCall("", "look")], [""]))
    assert it.story() == ["ToolCall", "user: "]


def test_an_interruption_ends_the_waiting() -> None:
    brain = Thinker([ev.ToolCall("", "look")], ["There is a house."])

    async def script(it: Talk) -> None:
        await it.write("What is there?")
        await anyio.sleep(1)
        await it.interrupt()
        await it.agent.send(ev.ToolResult("r1-1", "seen"))
        await anyio.sleep(5)

    it = converse(script, brain)
    assert it.story() == ["ToolCall"]
    assert len(brain.shown) == 1
