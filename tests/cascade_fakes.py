"""Scripted stages on virtual time, and a talk between a user and the embedded agent.

The loudness of the user's sound says what it means: every entry of `PHRASES` is a level of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from inspect import unwrap
from typing import Any, TypeVar

import anyio
import numpy as np
from numpy.typing import NDArray
from tests.vtime import run

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.cascade import Cascade
from visavis.agents.interlocutor import Interlocutor
from visavis.agents.parts import Stages
from visavis.audio import BYTES, to_pcm
from visavis.settings import AssistantSettings
from visavis.simulators.calls import SAYS, wanted
from visavis.stages import VAD_FRAME, Message, Samples, Speech, Transcript
from visavis.tools import Tool
from visavis.tools.toolbox import parsed
from visavis.workers import Workers

T = TypeVar("T")
FRAME = VAD_FRAME / 16_000
"""Seconds."""
QUIET, COUGH, QUESTION, MORE, HUM, STOP, DANGLING, NO = 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7
PHRASES = {
    COUGH: "",
    QUESTION: "What time is it?",
    MORE: "In Tokyo please.",
    HUM: "Mm-hmm.",
    STOP: "Stop it now.",
    DANGLING: "I want a flight to the",
    NO: "No.",
}


class Vad:
    def open(self) -> Vad:
        return self

    def __call__(self, frame: Samples) -> float:
        return 0.9 if np.abs(frame).max() > 0.05 else 0.0


class Ear:
    """Hears the phrases by their levels, in order."""

    error: Exception | None = None
    languages = frozenset({"en", "pl"})
    detects = False
    language: str | None = None
    """What it detects."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        """Seconds of audio of each question."""
        self.told: list[str | None] = []
        """The language of each question."""

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        self.told.append(language)
        self.asked.append(len(audio) / 16_000)
        if self.error:
            raise self.error
        levels = np.round(np.abs(audio), 1)
        heard = [level for level in PHRASES if (np.isclose(levels, level)).sum() >= VAD_FRAME]
        heard.sort(key=lambda level: int(np.isclose(levels, level).argmax()))
        return Transcript(" ".join(filter(None, (PHRASES[level] for level in heard))), -0.1, self.language)


class TurnModel:
    probability = 0.97
    error: Exception | None = None

    def __call__(self, audio: Samples) -> float:
        if self.error:
            raise self.error
        return self.probability


class Brain:
    def __init__(self) -> None:
        self.pieces = ["It is noon. ", "Have a ", "nice day!"]
        self.delay = 0.05
        self.error: Exception | None = None
        self.error_after = 0
        self.asked: list[list[tuple[str, str]]] = []
        self.system: list[str] = []
        """The instructions of each question."""
        self.languages: list[str | None] = []
        """The language of each question."""
        self.closed = 0

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ev.ToolCall, None]:
        self.system += [message.text for message in messages if message.role == "system"]
        self.languages.append(messages[-1].language)
        self.asked.append([(message.role, message.text) for message in messages if message.role != "system"])
        last = messages[-1]
        call = wanted(last.text, (tool.name for tool in tools)) if last.role == "user" else None
        pieces = [SAYS.format(last.text)] if last.role == "tool" else self.pieces
        try:
            if call is not None:
                yield ev.ToolCall("", call[0], parsed(call[1]))
                return
            for index, piece in enumerate(pieces):
                await asyncio.sleep(self.delay)
                if self.error and index == self.error_after:
                    raise self.error
                yield piece
            if self.error and self.error_after >= len(self.pieces):
                raise self.error
        finally:
            self.closed += 1


class Voice:
    """0.5 s a word, one phoneme each."""

    rate = 24_000
    languages = frozenset({"en", "pl"})
    error: Exception | None = None
    mute = False

    def __init__(self) -> None:
        self.spoke: list[str | None] = []
        """The language of each clause."""

    def __call__(self, text: str, language: str | None = None) -> Speech:
        if self.error:
            raise self.error
        self.spoke.append(language)
        said = [] if self.mute else text.split()
        sound = np.random.default_rng(len(text)).uniform(-0.9, 0.9, len(said) * 12_000)
        words = tuple(ev.Word(word, 0.5 * i, 0.5 * i + 0.5) for i, word in enumerate(said))
        phonemes = tuple(ev.Phoneme("a", word.start, word.end) for word in words)
        return Speech(to_pcm(sound), words, phonemes)


class VirtualWorkers(Workers):
    """Every call takes its time on the virtual clock."""

    def __init__(self) -> None:
        super().__init__(2)
        self.seconds: dict[type, float] = {}
        self.running = 0

    @property
    def idle(self) -> bool:
        return self.running == 0

    async def run(self, call: Callable[..., T], *arguments: Any, due: float | None = None) -> T:
        self.running += 1
        try:
            of = type(getattr(call, "__self__", unwrap(call)))
            await anyio.sleep(self.seconds.get(of, 0.1))
            return call(*arguments)
        finally:
            self.running -= 1


class Talk:
    """The session's side: notes what comes with its time, plays replies, tells the agent what is heard."""

    def __init__(self) -> None:
        self.vad, self.turn, self.ear, self.brain, self.voice = Vad(), TurnModel(), Ear(), Brain(), Voice()
        self.workers = VirtualWorkers()
        self.happened: list[tuple[float, ev.FromAgent]] = []
        self.echo = 0.0
        """How loud the microphone hears what is played."""
        self.late = 0.0
        """Seconds until a reply that has begun is heard."""
        self._noise = np.random.default_rng(0)
        self.output_rate = Voice.rate
        self.agent: Interlocutor
        self._reply: str | None = None
        self._sound = b""
        self._words: list[ev.Word] = []
        self._since: float | None = None
        self._done = False

    # -- the user --------------------------------------------------------------------------------------------
    async def sound(self, level: float, seconds: float) -> None:
        """The user makes a sound of this level for a whole number of frames."""
        noise = self._noise.choice((-1.0, 1.0), (round(seconds / FRAME), VAD_FRAME))
        await self.microphone((level * noise).ravel())

    async def microphone(self, sound: NDArray[np.floating]) -> None:
        """Whole frames of sound at 16 kHz, in real time, with the echo of what is being played."""
        for frame in sound[: len(sound) // VAD_FRAME * VAD_FRAME].reshape(-1, VAD_FRAME):
            await asyncio.sleep(FRAME)
            echo = self.echo * self._played_recently() if self.echo and self.playing() else 0.0
            pcm = to_pcm(frame + echo)
            await self.agent.send(ev.UserAudio(pcm, self.playing(), self.played()))

    def _played_recently(self) -> NDArray[np.float64]:
        """The last frame of what was played, at 16 kHz, 30 ms late."""
        count = VAD_FRAME * self.output_rate // 16_000
        end = self.played() - round(0.03 * self.output_rate)
        heard = np.frombuffer(self._sound, "<i2")[: max(0, end)] / 32768
        recent = np.pad(heard, (count, 0))[-count:]
        return np.interp(np.linspace(0, count, VAD_FRAME, endpoint=False), np.arange(count), recent)

    async def say(self, level: float, seconds: float = 1.28) -> None:
        await self.sound(level, seconds)

    async def silence(self, seconds: float) -> None:
        await self.sound(QUIET, seconds)

    async def mic_on(self, *, hands_free: bool = True) -> None:
        await self.agent.send(ev.MicOn(16_000, hands_free))

    async def mic_off(self) -> None:
        await self.agent.send(ev.MicOff())

    async def write(self, text: str) -> None:
        await self.interrupt()
        await self.agent.send(ev.UserText(text))

    async def interrupt(self) -> None:
        """As the conversation does it: cut what is being said, or drop what is being prepared."""
        reply = self.playing()
        heard = self.played() / self.output_rate
        text = " ".join(word.text for word in self._words if word.end <= heard + 1e-6)
        await self.agent.send(ev.CancelReply(reply, heard if reply else 0.0, text if reply else ""))
        self._reply = None

    async def take_all(self) -> None:
        """Somebody takes the whole reply at once, as the conversation tells the agent."""
        await self.agent.send(ev.UserAudio(b"", self._reply, len(self._sound) // BYTES))
        self._reply = None

    # -- the player ------------------------------------------------------------------------------------------
    def playing(self) -> str | None:
        if self._reply is None or self._since is None or self.now < self._since:
            return None
        if self._done and self.played() * BYTES >= len(self._sound):
            return None
        return self._reply

    def played(self) -> int:
        if self._since is None or self._reply is None:
            return 0
        elapsed = round((self.now - self._since) * self.output_rate)
        return min(max(0, elapsed), len(self._sound) // BYTES)

    async def _note(self) -> None:
        async for event in self.agent:
            self.happened.append((self.now, event))
            match event:
                case ev.ReplyStarted(reply):
                    self._reply, self._sound, self._words = reply, b"", []
                    self._since, self._done = None, False
                case ev.ReplyAudio():
                    self._since = self.now + self.late if self._since is None else self._since
                    self._sound += event.pcm
                    self._words += event.words
                case ev.ReplyDone():
                    self._done = True
                case ev.UserInterrupts():
                    await self.interrupt()

    # -- for the tests ---------------------------------------------------------------------------------------
    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def stages(self) -> Stages:
        return Stages(self.vad, self.turn, self.ear, self.brain, self.voice, self.workers)

    def story(self) -> list[str]:
        """What came, shortly; milestones and partial words left out, clauses by their words."""
        told = []
        for _, event in self.happened:
            match event:
                case ev.Milestone() | ev.UserPartial():
                    continue
                case ev.UserSaid(text):
                    told.append(f"user: {text}")
                case ev.ReplyAudio():
                    told.append("says: " + " ".join(word.text for word in event.words))
                case ev.BargeIn(phase):
                    told.append(phase)
                case ev.ReplyFailed(code, _, reply):
                    told.append(f"failed: {code} {reply}")
                case _:
                    told.append(type(event).__name__)
        return told

    def when(self, kind: type[ev.FromAgent] | str, nth: int = 0) -> float:
        """When an event of this kind, milestone of this stage or barge-in phase came."""
        found = [
            at
            for at, event in self.happened
            if (isinstance(event, kind) if isinstance(kind, type) else kind in (_name(event)))
        ]
        return found[nth]

    def milestones(self) -> dict[str, float]:
        return {event.stage: event.at for _, event in self.happened if isinstance(event, ev.Milestone)}


def _name(event: ev.FromAgent) -> tuple[str, ...]:
    match event:
        case ev.BargeIn(phase):
            return (phase,)
        case ev.Milestone(_, stage, _):
            return (stage,)
        case _:
            return ()


BRIEF = Brief(AssistantSettings().instructions)


def talk(
    script: Callable[[Talk], Awaitable[None]],
    stages: Stages | None = None,
    brief: Brief = BRIEF,
    assistant: AssistantSettings | None = None,
) -> Talk:
    """Run one conversation on virtual time and return it; `stages` instead of the scripted ones."""

    async def main() -> Talk:
        it = Talk()
        parts = stages or it.stages()
        it.output_rate = parts.tts.rate
        async with (
            Cascade(parts, assistant or AssistantSettings(), {"llm": "demo"}).open(brief) as agent,
            anyio.create_task_group() as tasks,
        ):
            it.agent = agent
            tasks.start_soon(it._note)
            await script(it)
            tasks.cancel_scope.cancel()
        return it

    return run(main())
