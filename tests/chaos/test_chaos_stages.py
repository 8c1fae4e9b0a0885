"""Parts of the embedded agent that raise, and that hang: it is the trouble of one turn, told with a code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bench.marked import speech
from fastapi import FastAPI
from tests.cascade_fakes import TurnModel, Vad
from tests.chaos.house import ABORTED, Guest
from tests.chaos.party import ask, disaster

from visavis import events as ev
from visavis.agents.cascade import Cascade
from visavis.agents.parts import Stages
from visavis.arkit import Weights
from visavis.audio import Media
from visavis.faces import FaceStream
from visavis.faces.speech_face import Faces
from visavis.plugins import load
from visavis.settings import AssistantSettings
from visavis.stages import Message, Samples, Speech, Transcript
from visavis.tools import Tool
from visavis.tools.toolbox import ServerTool, parsed
from visavis.workers import Workers

T = TypeVar("T")
WORD = "trouble"
"""Whoever says it is in trouble; nobody else is."""
PATIENT = 45.0
"""Seconds in which every trouble is over."""
VOICE = b"\x10\x27\xf0\xd8" * 4000


class Hang(Exception):
    """Raised by a stage instead of never returning."""


class Boom(Exception):
    pass


class Crew(Workers):
    """Calls run at once, so that nothing depends on how busy the machine is; those that hang have a thread,
    as all have outside of tests, until they are let go."""

    def __init__(self) -> None:
        super().__init__(2)
        self.free = threading.Event()
        self.hanging = 0

    async def run(self, call: Callable[..., T], *arguments: Any, due: float | None = None) -> T:
        await asyncio.sleep(0.01)
        try:
            return call(*arguments)
        except Hang:
            self.hanging += 1
            await super().run(self.free.wait, 600.0)
            raise

    @property
    def idle(self) -> bool:
        return False  # no captions: they would have the trouble

    async def let_go(self) -> None:
        """End the calls that hang, while the clock stands still: it would run ahead of their threads."""
        self.free.set()
        while self._running:
            await asyncio.sleep(0)


class Trouble:
    """What one stage does while it is `ready`."""

    def __init__(self, stage: str, error: type[Exception]) -> None:
        self.stage, self.error, self.ready, self.times = stage, error, False, 0

    def happens(self, stage: str, text: str = WORD) -> bool:
        if not (self.ready and stage == self.stage and WORD in text):
            return False
        self.times += 1
        return True

    def of(self, stage: str, text: str = WORD) -> None:
        if self.happens(stage, text):
            raise self.error("boom")


class Ears:
    languages = frozenset({"en"})
    detects = False

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        self._trouble.of("asr")
        return Transcript("spoken 0.3", 0.0)


class Mind:
    """Says what it is told; `tool` makes it use one first."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ev.ToolCall, None]:
        if self._trouble.happens("llm", messages[-1].text):
            if self._trouble.error is Hang:
                await asyncio.Event().wait()
            raise self._trouble.error("boom")
        if messages[-1].text.startswith("tool"):
            yield ev.ToolCall("", "look", parsed("{}"))
            return
        questions = [message.text for message in messages if message.role == "user"]
        yield questions[-1]


class Voice:
    """Speaks sound that shows whose it is (bench/marked.py)."""

    rate = 24_000
    languages = frozenset({"en"})

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def __call__(self, text: str, language: str | None = None) -> Speech:
        self._trouble.of("tts", text)
        return Speech(speech(text), (ev.Word(text, 0.0, 0.1),), None)


class Face:
    """An engine whose streams raise once."""

    name = "troubled"

    def __init__(self, engine: Any, trouble: Trouble) -> None:
        self._engine, self._trouble = engine, trouble

    def open(self, media: Media, seed: int) -> FaceStream:
        stream, trouble = self._engine.open(media, seed), self._trouble

        class Stream:
            def feed(self, pcm: bytes, phonemes: Any, last: bool) -> Weights:
                trouble.of("face")
                weights: Weights = stream.feed(pcm, phonemes, last)
                return weights

        return Stream()


def cascade(trouble: Trouble, crew: Crew) -> Cascade:
    stages = Stages(Vad(), TurnModel(), Ears(trouble), Mind(trouble), Voice(trouble), crew)
    names = dict.fromkeys(("vad", "end_of_turn", "asr", "llm", "tts"), "test")
    return Cascade(stages, AssistantSettings(), names)


async def speak(guest: Guest) -> None:
    """A voice, while a button is held."""
    guest.say(type="audio_stream_start", sampleRate=16_000, handsFree=False)
    for _ in range(20):
        guest.say(VOICE[:3200])
        await asyncio.sleep(0.1)
    guest.say(type="audio_stream_end")


TROUBLES = [
    ("asr", Boom, ["AGENT_FAILED"], "the recogniser failed"),
    ("asr", Hang, ["AGENT_TIMEOUT"], "the recogniser failed"),
    ("llm", Boom, ["AGENT_FAILED"], "the reply failed"),
    ("llm", Hang, ["AGENT_TIMEOUT"], ""),
    ("tts", Boom, ["AGENT_FAILED"], "the reply failed"),
    ("tts", Hang, ["AGENT_TIMEOUT"], ""),
    ("face", Boom, [], "face engine failed"),
    ("tool", Boom, [], "a tool failed"),
    ("tool", Hang, [], ""),
]
"""With the codes that the client must be told, and the error that the operator must read."""


@pytest.mark.parametrize(
    ("stage", "error", "codes", "logged"),
    [pytest.param(*each, id=f"{each[0]}-{each[1].__name__.lower()}") for each in TROUBLES],
)
def test_a_stage_in_trouble(
    stage: str, error: type[Exception], codes: list[str], logged: str, tmp_path: Path
) -> None:
    trouble, crew = Trouble(stage, error), Crew()

    async def look(arguments: dict[str, Any]) -> str:
        if trouble.happens("tool") and error is Hang:
            await asyncio.Event().wait()
        raise error("boom")

    async def happening(app: FastAPI) -> None:
        sessions = app.state.sessions
        sessions.parts.tools.add(ServerTool(Tool("look"), look))
        face = Face(load("faces", "energy", app.state.settings), trouble)
        sessions.parts = replace(sessions.parts, faces=Faces(face, face))
        guest = Guest(app)
        await ask(guest, "before 0.3")
        name = (await guest.until("config"))["sessionId"]
        (seat,) = [seat for seat in sessions if seat.session.id == name]
        trouble.ready = True
        try:
            if stage == "asr":
                await speak(guest)
            else:
                guest.say(type="text", data="tool 0.3" if stage == "tool" else f"{WORD} 0.3")
            await asyncio.sleep(PATIENT)
            assert guest.codes == codes
            assert trouble.times > 0
            assert bool(crew.hanging) == (error is Hang and stage in ("asr", "tts"))
            trouble.ready = False
            guest.heard.clear()
            await ask(guest, "after 0.3")
            await guest.leave(ABORTED)
        finally:
            await crew.let_go()
        await seat.ended.wait()

    agent: Any = cascade(trouble, crew)
    disaster(happening, tmp_path, agent, logged=[logged] if logged else [])
