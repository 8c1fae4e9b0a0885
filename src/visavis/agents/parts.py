"""The parts of a cascade, and how they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import structlog

from visavis.stages import (
    EndOfTurn,
    LanguageModel,
    Samples,
    SpeechToText,
    TextToSpeech,
    Transcript,
    VoiceActivity,
)
from visavis.turntaking import samples
from visavis.workers import Workers

ZEROS = np.zeros(samples(0.3), np.float32)
"""Silence after everything that is transcribed: without it the recogniser invents an end of the sentence."""


class Speaking(Protocol):
    """What it takes to answer aloud."""

    @property
    def llm(self) -> LanguageModel: ...
    @property
    def tts(self) -> TextToSpeech: ...
    @property
    def workers(self) -> Workers: ...


@dataclass(frozen=True)
class Stages:
    """The engines, shared by all conversations, and the threads in which they work."""

    vad: VoiceActivity
    end_of_turn: EndOfTurn
    asr: SpeechToText
    llm: LanguageModel
    tts: TextToSpeech
    workers: Workers

    async def finished(self, audio: Samples) -> float:
        """The probability that the speaker has finished; 0 when the model fails: silence must decide."""
        try:
            return await self.workers.run(self.end_of_turn, audio)
        except Exception:
            structlog.get_logger().exception("the end-of-turn model failed")
            return 0.0

    async def transcribe(self, audio: Samples, language: str | None) -> Transcript:
        """The words of `audio`; raises what the recogniser raises."""
        known = language if language in self.asr.languages else None
        return await self.workers.run(self.asr, np.concatenate((audio, ZEROS)), known)

    async def glimpse(self, audio: Samples, language: str | None) -> Transcript:
        """What `audio` seems to say so far; nothing when the recogniser fails."""
        try:
            return await self.transcribe(audio, language)
        except Exception:
            structlog.get_logger().exception("the recogniser failed")
            return Transcript("", 0.0)
