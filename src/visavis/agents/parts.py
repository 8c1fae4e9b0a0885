"""The parts of a cascade, and how they are asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import structlog

from visavis.languages import ONE_MOMENT
from visavis.meters import Meter
from visavis.stages import (
    CastTextToSpeech,
    EndOfTurn,
    LanguageModel,
    Samples,
    Speech,
    SpeechToText,
    TextToSpeech,
    Transcript,
    VoiceActivity,
)
from visavis.turntaking import samples
from visavis.workers import Workers

ZEROS = np.zeros(samples(0.3), np.float32)
"""Silence after everything that is transcribed: without it the recogniser invents an end of the sentence."""
KINDS = ("vad", "end_of_turn", "asr", "llm", "tts")
"""Of stages, in the order in which they are needed."""
MOST_BYTES = 64 << 20
"""Of sound that is kept to be said again."""
Clause = tuple[str, str | None]
"""What is said, and in which language; None is the voice's own."""


def meters() -> dict[str, Meter]:
    """One for each kind of stage."""
    return {kind: Meter() for kind in KINDS}


class Said:
    """The sound of the clauses that were said last: at most `limit` of them, and `MOST_BYTES`."""

    def __init__(self, limit: int = 0) -> None:
        self.limit, self._bytes = limit, 0
        self._clauses: OrderedDict[Clause, tuple[Speech, ...]] = OrderedDict()

    def find(self, clause: Clause) -> tuple[Speech, ...] | None:
        """Its sound in the pieces in which the voice made it."""
        found = self._clauses.get(clause)
        if found is not None:
            self._clauses.move_to_end(clause)
        return found

    def keep(self, clause: Clause, pieces: tuple[Speech, ...]) -> None:
        """The oldest make room."""
        if clause in self._clauses:
            self._bytes -= _size(self._clauses.pop(clause))
        self._clauses[clause] = pieces
        self._bytes += _size(pieces)
        while len(self._clauses) > self.limit or self._bytes > MOST_BYTES:
            self._bytes -= _size(self._clauses.popitem(last=False)[1])


def _size(pieces: tuple[Speech, ...]) -> int:
    return sum(len(speech.pcm) for speech in pieces)


@dataclass
class Excuse:
    """What is said in an answer's stead while it is late, once in a turn."""

    after: float = 0.0
    """Seconds after the end of the user's turn from which an answer is late; 0 is never."""
    phrases: Mapping[str, str] = field(default_factory=dict)
    """By language; others than these come from `ONE_MOMENT`."""
    count = 0
    """How often it was said."""

    def phrase(self, language: str) -> str:
        """Empty when there is none."""
        return self.phrases.get(language, ONE_MOMENT.get(language, "")) if self.after else ""


class Speaking(Protocol):
    """What it takes to answer aloud."""

    @property
    def llm(self) -> LanguageModel: ...
    @property
    def tts(self) -> TextToSpeech: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def meters(self) -> dict[str, Meter]: ...
    @property
    def said(self) -> Said: ...


@dataclass(frozen=True)
class Stages:
    """The engines, shared by all conversations, and the threads in which they work."""

    vad: VoiceActivity
    end_of_turn: EndOfTurn
    asr: SpeechToText
    llm: LanguageModel
    tts: TextToSpeech
    workers: Workers
    meters: dict[str, Meter] = field(default_factory=meters)
    said: Said = field(default_factory=Said)
    excuse: Excuse = field(default_factory=Excuse)
    cast: dict[str, Stages] = field(default_factory=dict)
    """The same with the voices of other avatars, by their names."""

    async def cast_as(self, avatar: str) -> Stages:
        """These, with the voice of an avatar if the voice can be anybody's."""
        if not avatar or not isinstance(self.tts, CastTextToSpeech):
            return self
        if avatar not in self.cast:
            tts = await self.workers.run(self.tts.of_avatar, avatar)
            if tts is self.tts:
                return self
            self.cast[avatar] = replace(self, tts=tts, said=Said(self.said.limit))
        return self.cast[avatar]

    async def finished(self, audio: Samples, due: float) -> float:
        """The probability that the speaker has finished, to be known at `due`; 0 when the model fails:
        silence must decide."""
        try:
            model = self.meters["end_of_turn"].timed(self.end_of_turn)
            return await self._workers(self.end_of_turn).run(model, audio, due=due)
        except Exception:
            structlog.get_logger().exception("the end-of-turn model failed")
            return 0.0

    async def transcribe(self, audio: Samples, language: str | None, due: float) -> Transcript:
        """The words of `audio`, to be known at `due`; raises what the recogniser raises."""
        known = language if language in self.asr.languages else None
        asr = self.meters["asr"].timed(self.asr)
        heard = np.concatenate((audio, ZEROS))
        return await self._workers(self.asr).run(asr, heard, known, due=due)

    def _workers(self, engine: object) -> Workers:
        """The engine's own queue, if it does not work on this machine's processor."""
        own: Workers | None = getattr(engine, "workers", None)
        return own or self.workers

    async def glimpse(self, audio: Samples, language: str | None, due: float) -> Transcript:
        """What `audio` seems to say so far; nothing when the recogniser fails."""
        try:
            return await self.transcribe(audio, language, due)
        except Exception:
            structlog.get_logger().exception("the recogniser failed")
            return Transcript("", 0.0)
