"""An answer that comes late, and what the embedded agent says in its stead, on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.cascade_fakes import BRIEF, FRAME, MORE, QUESTION, Brain, Ear, Talk, VirtualWorkers, talk

from visavis import events as ev
from visavis.agents.cascade import load
from visavis.agents.parts import Excuse, Stages
from visavis.errors import VisavisError
from visavis.settings import AssistantSettings, Settings, StageSettings
from visavis.workers import Workers

AFTER = 1.5
QUESTIONED = 1.28
"""Seconds of a question."""


def late(seconds: float, excuse: Excuse | None = None) -> Stages:
    """Stages whose brain thinks for so long."""
    parts = Talk().stages()
    assert isinstance(parts.llm, Brain)
    parts.llm.delay, parts.llm.pieces = seconds, ["It is noon."]
    return replace(parts, excuse=excuse or Excuse(AFTER))


async def ask(it: Talk) -> None:
    await it.write("What time is it?")
    await asyncio.sleep(8)


def test_a_late_answer_is_excused_once_and_follows() -> None:
    stages = late(3.0)
    it = talk(ask, stages)
    assert it.story() == ["ReplyStarted", "says: One moment…", "says: It is noon.", "ReplyDone"]
    assert AFTER <= it.when(ev.ReplyStarted) <= AFTER + 0.2
    assert stages.excuse.count == 1


def test_an_answer_in_time_is_not() -> None:
    assert talk(ask, late(1.2)).story() == ["ReplyStarted", "says: It is noon.", "ReplyDone"]


@pytest.mark.parametrize("excuse", [Excuse(0.0), Excuse(AFTER, {"en": ""})])
def test_it_can_be_switched_off(excuse: Excuse) -> None:
    stages = late(5.0, excuse)
    assert talk(ask, stages).story() == ["ReplyStarted", "says: It is noon.", "ReplyDone"]
    assert stages.excuse.count == 0


def test_what_is_said_can_be_chosen_and_follows_the_language() -> None:
    stages = late(3.0, Excuse(AFTER, {"en": "Let me think."}))
    assert talk(ask, stages).story()[1] == "says: Let me think."
    polish = talk(ask, late(3.0), replace(BRIEF, language="pl"))
    assert polish.story()[1] == "says: Chwileczkę…" and polish.story()[-2] == "says: It is noon."


def test_it_is_not_remembered() -> None:
    async def script(it: Talk) -> None:
        await it.write("What time is it?")
        await asyncio.sleep(6)
        await it.write("Thanks")
        await asyncio.sleep(6)

    stages = late(2.5)
    talk(script, stages)
    assert isinstance(stages.llm, Brain)
    assert stages.llm.asked[1] == [
        ("user", "What time is it?"),
        ("assistant", "It is noon."),
        ("user", "Thanks"),
    ]


def test_an_answer_cut_off_in_its_excuse_was_not_heard() -> None:
    async def script(it: Talk) -> None:
        await it.write("What time is it?")
        await asyncio.sleep(AFTER + 1.0)
        await it.interrupt()
        await it.agent.send(ev.UserText("Never mind"))
        await asyncio.sleep(1)

    stages = late(4.0)
    talk(script, stages)
    assert isinstance(stages.llm, Brain)
    assert stages.llm.asked[1] == [("user", "What time is it?"), ("user", "Never mind")]


def test_a_model_that_fails_after_it_has_said_so() -> None:
    stages = late(3.0)
    assert isinstance(stages.llm, Brain)
    stages.llm.error = VisavisError("LLM_FAILED", "It broke.")
    assert talk(ask, stages).story() == ["ReplyStarted", "says: One moment…", "failed: LLM_FAILED r1"]


def test_an_answer_that_is_sure_to_be_late_is_excused_at_once() -> None:
    class Full(Workers):
        """A model for which others wait."""

        def delay(self, due: float) -> float:
            return 4.0

    class Busy(Brain):
        workers = Full(1)

    brain = Busy()
    brain.delay, brain.pieces = 3.0, ["It is noon."]
    it = talk(ask, replace(late(3.0), llm=brain))
    assert it.story()[1] == "says: One moment…" and it.when(ev.ReplyStarted) <= 0.2


def test_a_spoken_question_is_excused_only_when_the_turn_is_over() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.silence(0.64)
        await it.say(QUESTION)
        await it.silence(8.0)

    it = talk(script, late(4.0))
    assert it.story()[-4:] == ["ReplyStarted", "says: One moment…", "says: It is noon.", "ReplyDone"]
    over = it.when(ev.UserSaid)
    assert over + AFTER <= it.when(ev.ReplyStarted) <= over + AFTER + 0.2


def test_words_that_nobody_waits_for_are_not_looked_for() -> None:
    """Somebody goes on while the words before a pause still wait for the recogniser."""
    parts = Talk().stages()
    assert isinstance(parts.workers, VirtualWorkers) and isinstance(parts.asr, Ear)
    parts.workers.seconds[Ear] = 1.0
    begun = 0.3 + QUESTIONED + 0.3  # with what is heard before it, and the zeros behind it

    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.silence(0.64)
        await it.say(QUESTION, QUESTIONED)
        await it.silence(8 * FRAME)  # the words are asked for at the sixth
        await it.say(MORE)
        await it.silence(4.0)

    assert talk(script, parts).story()[0] == "user: What time is it? In Tokyo please."
    assert not [seconds for seconds in parts.asr.asked if begun + 5 * FRAME < seconds < begun + 9 * FRAME]


def test_the_settings_say_when_and_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visavis.agents.cascade.plugins.load", lambda group, name, settings: Talk().ear)
    assistant = AssistantSettings(excuse_seconds=2.5, excuses={"en": "Hm."})
    excuse = load(Settings(assistant=assistant, stages=StageSettings())).stages.excuse
    assert (excuse.after, excuse.phrase("en"), excuse.phrase("pl")) == (2.5, "Hm.", "Chwileczkę…")


@pytest.mark.parametrize(("takes", "captions"), [(0.1, 7), (0.5, 2)])
def test_captions_take_a_share_of_the_time(takes: float, captions: int) -> None:
    parts = Talk().stages()
    assert isinstance(parts.workers, VirtualWorkers) and isinstance(parts.asr, Ear)
    parts.workers.seconds[Ear] = takes

    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.say(QUESTION, 4.0)

    talk(script, parts)
    assert len(parts.asr.asked) == captions
