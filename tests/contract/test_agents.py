"""What every agent owes: answers to text and speech, and a memory of what the user heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import numpy as np
import pytest
from pydantic import SecretStr
from tests import vtime
from tests.cascade_fakes import QUESTION, Brain, Ear, TurnModel, Vad, VirtualWorkers, Voice
from tests.contract.hearing import BRIEF
from tests.contract.listener import Listener, listening
from tests.contract.word_errors import word_errors

from visavis import events as ev
from visavis.agents import AgentEngine, Brief, Tool
from visavis.agents.cascade import Cascade
from visavis.agents.gemini_live import load as load_gemini
from visavis.agents.openai_realtime import load as load_openai
from visavis.agents.parts import Stages
from visavis.agents.remote import load as load_remote
from visavis.agents.scripted import load as load_scripted
from visavis.audio import Resampler, to_pcm
from visavis.settings import (
    AssistantSettings,
    GeminiSettings,
    OpenAISettings,
    RemoteSettings,
    ScriptedSettings,
    Settings,
)
from visavis.simulators.gemini import GeminiBehaviour, GeminiSimulator
from visavis.simulators.openai import OpenAIBehaviour, OpenAISimulator
from visavis.simulators.remote import RemoteBehaviour, RemoteSimulator
from visavis.simulators.voice import RATE, SimulatedVoice

Context = list[tuple[str, str]]
"""Who said what, as a model is told it."""


class Partner(Protocol):
    """An agent with whatever is behind it."""

    understands: str
    """What it hears of `speech`."""

    def run(self, main: Coroutine[Any, Any, None]) -> None: ...
    def open(self) -> AbstractAsyncContextManager[AgentEngine]: ...
    def speech(self) -> bytes:
        """A spoken question and silence, PCM16 at the rate that the agent listens at."""
        ...

    def answer(self, question: str) -> str: ...
    def asked(self) -> list[Context]:
        """What its model was shown for each answer."""
        ...


class Scripted:
    """Without a model: it says the same to everything."""

    understands = "(speech)"

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        vtime.run(main)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AgentEngine]:
        yield load_scripted(Settings(scripted=ScriptedSettings(seconds=2.0)))

    def speech(self) -> bytes:
        return bytes(32_000)

    def answer(self, question: str) -> str:
        return "word1 word2 word3 word4 word5"

    def asked(self) -> list[Context]:
        raise AssertionError("it has no model")


class Embedded:
    """The cascade, with scripted stages."""

    understands = "What time is it?"

    def __init__(self) -> None:
        self.brain: Any = Brain()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        vtime.run(main)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        stages = Stages(Vad(), TurnModel(), Ear(), self.brain, Voice(), VirtualWorkers())
        yield Cascade(stages, AssistantSettings(), {"llm": "demo"})

    def speech(self) -> bytes:
        return to_pcm(np.repeat([0.0, QUESTION, 0.0], (8_192, 20_480, 32_768)))

    def answer(self, question: str) -> str:
        return "It is noon. Have a nice day!"

    def asked(self) -> list[Context]:
        asked: list[Context] = self.brain.asked
        return asked


@dataclass
class OpenAI:
    """OpenAI Realtime, against its simulator over a real socket."""

    voice: SimulatedVoice
    protocol: Literal["ga", "beta"]
    understands: str = "Hello there."

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AgentEngine]:
        self.simulator = OpenAISimulator(self.voice, OpenAIBehaviour(self.protocol, speed=1e6))
        async with self.simulator.listening() as url:
            yield load_openai(Settings(openai=OpenAISettings(base_url=url, protocol=self.protocol)))

    def speech(self) -> bytes:
        pcm, _ = self.voice.say("Good morning, how are you?")
        return Resampler(RATE, 24_000)(pcm, last=True) + bytes(48_000)

    def answer(self, question: str) -> str:
        return f"You said: {question}"

    def asked(self) -> list[Context]:
        return [context for session in self.simulator.sessions for context in session.asked]


@dataclass
class Remote:
    """The remote agent, against its simulator over a real socket."""

    voice: SimulatedVoice
    understands: str = "Hello there."

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AgentEngine]:
        self.simulator = RemoteSimulator(self.voice, RemoteBehaviour(speed=1e6))
        async with self.simulator.listening() as url:
            yield load_remote(Settings(remote=RemoteSettings(url=url)))

    def speech(self) -> bytes:
        pcm, _ = self.voice.say("Good morning, how are you?")
        return Resampler(RATE, 24_000)(pcm, last=True) + bytes(48_000)

    def answer(self, question: str) -> str:
        return f"You said: {question}"

    def asked(self) -> list[Context]:
        return self.simulator.asked


@dataclass
class Gemini:
    """Gemini Live, against its simulator over TLS."""

    voice: SimulatedVoice
    understands: str = "Hello there."

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AgentEngine]:
        self.simulator = GeminiSimulator(self.voice, GeminiBehaviour(speed=1e6))
        with pytest.MonkeyPatch.context() as environment, TemporaryDirectory() as folder:
            authority = Path(folder) / "ca.pem"
            self.simulator.trust(authority)
            environment.setenv("SSL_CERT_FILE", str(authority))
            async with self.simulator.listening() as url:
                yield load_gemini(Settings(gemini=GeminiSettings(base_url=url, key=SecretStr("any"))))

    def speech(self) -> bytes:
        pcm, _ = self.voice.say("Good morning, how are you?")
        return Resampler(RATE, 16_000)(pcm, last=True) + bytes(32_000)

    def answer(self, question: str) -> str:
        return f"You said: {question}"

    def asked(self) -> list[Context]:
        return self.simulator.asked


@pytest.fixture(scope="module")
def voice() -> SimulatedVoice:
    return SimulatedVoice()


REMEMBERING: dict[str, Callable[[SimulatedVoice], Partner]] = {
    "embedded": lambda voice: Embedded(),
    "openai": lambda voice: OpenAI(voice, "ga"),
    "openai-beta": lambda voice: OpenAI(voice, "beta"),
    "remote": Remote,
    "gemini": Gemini,
}
"""The agents with a memory."""
ALL: dict[str, Callable[[SimulatedVoice], Partner]] = {"scripted": lambda voice: Scripted(), **REMEMBERING}

Script = Callable[[Partner, Listener], Awaitable[None]]


@pytest.fixture(params=ALL)
def anyone(request: pytest.FixtureRequest, voice: SimulatedVoice) -> Partner:
    return ALL[request.param](voice)


@pytest.fixture(params=REMEMBERING)
def partner(request: pytest.FixtureRequest, voice: SimulatedVoice) -> Partner:
    return REMEMBERING[request.param](voice)


WEATHER = Tool(
    "weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
WITH_TOOL = Brief("Be kind.", (WEATHER,))


def talk(partner: Partner, script: Script, brief: Brief = BRIEF) -> None:
    """Run `script` in a fresh conversation."""

    async def main() -> None:
        async with partner.open() as engine, listening(engine, brief) as listener:
            await script(partner, listener)

    partner.run(main())


def test_text_is_answered_with_speech_and_its_words(anyone: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        assert await user.ask("Good morning to you") == it.answer("Good morning to you")
        replies = {event.reply for event in user.of(ev.ReplyAudio)}
        assert replies == {event.reply for event in user.of(ev.ReplyStarted)}
        assert len(replies) == 1
        frames = sum(len(event.weights) for event in user.of(ev.Frames))
        samples = sum(len(event.pcm) for event in user.of(ev.ReplyAudio)) // 2
        assert frames == -(-samples // 800)
        assert not user.of(ev.Problem)

    talk(anyone, script)


def test_speech_is_understood_and_answered_when_the_microphone_goes_off(anyone: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        speech = it.speech()
        await user.speak(speech[: len(speech) * 2 // 3])
        user.feed(ev.MicOff())
        await user.came(ev.ReplyDone)
        user.play(60)
        assert [said.text for said in user.of(ev.UserTurn)] == [it.understands]
        assert (await user.came(ev.TurnEnded)).text == it.answer(it.understands)
        assert not user.of(ev.Problem)

    talk(anyone, script)


def test_speech_is_understood_and_answered_by_itself(partner: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.speak(it.speech())
        await user.came(ev.ReplyDone)
        user.play(60)
        assert [said.text for said in user.of(ev.UserTurn)] == [it.understands]
        assert (await user.came(ev.TurnEnded)).text == it.answer(it.understands)
        stages = {milestone.stage for milestone in user.of(ev.Milestone)}
        assert stages >= {"speech_end", "end_of_turn", "first_audio"}

    talk(partner, script)


def test_nothing_said_is_nothing_answered(partner: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.speak(bytes(user.rate))
        user.feed(ev.MicOff())
        assert await user.came(ev.UserSaid) == ev.UserSaid("")
        assert user.of(ev.StateChanged)[-1].state == "listening"
        assert not user.of(ev.ReplyStarted)
        assert not it.asked()

    talk(partner, script)


def test_the_conversation_is_remembered(partner: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        await user.ask("Good morning to you")
        await user.ask("And now?")
        first = [("user", "Good morning to you")]
        assert it.asked()[0] == first
        answer = ("assistant", it.answer("Good morning to you"))
        assert it.asked()[1] == [*first, answer, ("user", "And now?")]

    talk(partner, script)


@pytest.mark.parametrize("failed", [False, True])
def test_a_tool_is_called_and_its_result_answered(partner: Partner, failed: bool) -> None:
    async def script(it: Partner, user: Listener) -> None:
        await user.write('weather please {"city": "Paris"}')
        call = await user.came(ev.ToolCall)
        assert (call.name, call.arguments) == ("weather", {"city": "Paris"})
        user.play(100)
        assert user.of(ev.StateChanged)[-1].state == "thinking"
        user.feed(ev.ToolResult(call.call, "sunny", failed))
        await user.came(ev.ReplyDone)
        user.play(60)
        assert (await user.came(ev.TurnEnded)).text == "The answer is sunny"
        assert await user.ask("And now?") == it.answer("And now?")
        assert not user.of(ev.Problem)

    talk(partner, script, WITH_TOOL)


def test_whoever_interrupts_a_tool_gets_the_next_answer(partner: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        await user.write('weather please {"city": "Paris"}')
        call = await user.came(ev.ToolCall)
        await user.interrupt()
        assert user.of(ev.StateChanged)[-1].state == "listening"
        user.feed(ev.ToolResult(call.call, "sunny"))
        assert await user.ask("And now?") == it.answer("And now?")
        assert len(user.of(ev.ReplyDone)) == 1
        assert not user.of(ev.Problem)

    talk(partner, script, WITH_TOOL)


@pytest.mark.parametrize("heard", [0.05, 0.25, 0.5, 0.75, 0.97])
def test_an_interrupted_reply_is_remembered_as_far_as_it_was_heard(partner: Partner, heard: float) -> None:
    """Also after the last sound has come but is not heard yet, which is the usual case: replies come fast."""
    question = "Tell me about the weather, and then about the sea, please"

    async def script(it: Partner, user: Listener) -> None:
        await user.write(question)
        await user.came(ev.ReplyDone)
        samples = sum(len(event.pcm) for event in user.of(ev.ReplyAudio)) // 2
        user.play(heard * samples / RATE)
        ended = await user.interrupt()
        assert ended is not None
        assert ended.interrupted
        await user.ask("And now?")
        known = [text for role, text in it.asked()[-1] if role == "assistant"]
        assert word_errors(ended.text, " ".join(known)) <= 1
        assert [text for role, text in it.asked()[-1] if role == "user"][-1] == "And now?"
        assert not user.of(ev.Problem)

    talk(partner, script)


def test_a_reply_that_was_stopped_before_its_first_sound_is_not_remembered(partner: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        await user.write("Good morning to you")
        assert await user.interrupt() is None
        await user.ask("And now?")
        assert not [text for role, text in it.asked()[-1] if role == "assistant"]
        assert len({event.reply for event in user.of(ev.ReplyAudio)}) == 1
        assert not user.of(ev.Problem)

    talk(partner, script)


def test_a_new_question_replaces_the_reply(partner: Partner) -> None:
    async def script(it: Partner, user: Listener) -> None:
        await user.write("Good morning to you")
        await user.came(ev.ReplyDone)
        user.play(1.0)
        await user.ask("And now?")
        first, second = user.of(ev.TurnEnded)
        assert (first.interrupted, second.interrupted) == (True, False)
        assert second.text == it.answer("And now?")
        known = " ".join(text for role, text in it.asked()[-1] if role == "assistant")
        assert word_errors(first.text, known) <= 1

    talk(partner, script)
