"""The embedded agent with its real ears and its real voice; only the brain is scripted, and the clock."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from tests.cascade_fakes import Brain, Talk, VirtualWorkers, talk

from visavis import events as ev
from visavis import plugins
from visavis.agents.parts import Stages
from visavis.settings import Settings
from visavis.stages import LISTEN_RATE

pytestmark = pytest.mark.models

STORY = ["A lighthouse keeper was afraid of the dark. ", "Every evening he lit the lamp. ", "The end."]


@pytest.fixture(scope="module")
def engines() -> Stages:
    loaded = {
        group: plugins.load(group, name, Settings())
        for group, name in Settings().stages.model_dump().items()
        if group != "llm"
    }
    return Stages(**loaded, llm=Brain(), workers=VirtualWorkers())


def parts(engines: Stages) -> Stages:
    brain = Brain()
    brain.pieces = STORY
    return Stages(engines.vad, engines.end_of_turn, engines.asr, brain, engines.tts, workers=VirtualWorkers())


def spoken(engines: Stages, text: str) -> NDArray[np.float32]:
    """`text` said by the avatar's own voice, at the microphone's rate, between silences."""
    sound = np.frombuffer(engines.tts(text).pcm, "<i2").astype(np.float32) / 32768
    heard: NDArray[np.float32] = soxr.resample(sound, engines.tts.rate, LISTEN_RATE)
    return heard


def silence(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.0005, round(seconds * LISTEN_RATE)).astype(np.float32)


def told(it: Talk) -> list[str]:
    return [line for line in it.story() if not line.startswith("says") and line != "ReplyDone"]


def test_a_spoken_question_becomes_text_and_an_answer(engines: Stages) -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.microphone(np.concatenate((silence(0.5), spoken(engines, "What is your name?"), silence(2))))

    it = talk(script, parts(engines))
    assert told(it) == ["user: What is your name?", "ReplyStarted"]
    waited = it.when(ev.UserSaid) - it.milestones()["speech_end"]
    assert 0.6 <= waited <= 0.8 + 0.032


def test_a_question_interrupts_and_none_of_its_words_is_lost(engines: Stages) -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.agent.send(ev.UserText("Tell me a story."))
        await it.microphone(silence(2.5))
        await it.microphone(np.concatenate((spoken(engines, "Stop, what time is it?"), silence(2))))

    it = talk(script, parts(engines))
    story = told(it)
    assert story[:5] == ["ReplyStarted", "duck", "deep", "hold", "UserInterrupts"]
    assert story[5].replace(",", "").replace(".", "").lower() == "user: stop what time is it?"


def test_a_sign_of_listening_does_not_interrupt(engines: Stages) -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.agent.send(ev.UserText("Tell me a story."))
        await it.microphone(silence(2.5))
        await it.microphone(np.concatenate((spoken(engines, "Okay."), silence(2))))

    story = told(talk(script, parts(engines)))
    assert story[-1] == "resume"
    assert "UserInterrupts" not in story


@pytest.mark.parametrize("echo", [0.5, 0.25, 0.1])
def test_the_avatar_does_not_interrupt_itself(engines: Stages, echo: float) -> None:
    async def script(it: Talk) -> None:
        it.echo = echo
        await it.mic_on()
        await it.agent.send(ev.UserText("Tell me a story."))
        await it.microphone(silence(7))

    assert told(talk(script, parts(engines))) == ["ReplyStarted"]


def test_a_word_after_another_is_understood_by_itself(engines: Stages) -> None:
    async def script(it: Talk) -> None:
        for _ in range(2):
            await it.mic_on(hands_free=False)
            await it.microphone(spoken(engines, "Hi."))
            await it.mic_off()
            await asyncio.sleep(5)
            await it.take_all()

    story = [line.lower() for line in told(talk(script, parts(engines)))]
    assert [line.strip(".!") for line in story if line.startswith("user")] == ["user: hi", "user: hi"]
