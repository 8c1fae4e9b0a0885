"""The parts of a cascade. Each engine is loaded once, warmed up, thread-safe and shared by all sessions.

A stage is chosen by name through the entry points `visavis.vad`, `.end_of_turn`, `.asr`, `.llm`, `.tts`;
each names a function `load(settings) -> engine`. Audio for listening is float32 mono at 16 kHz in -1..1.
Calls marked "blocking" run in a worker thread; the others must return within a millisecond. An engine that
can fail for reasons of its own may have an attribute `problem`: a sentence for `/health`, None when well; one
that knows them, `model` and `device` for the status of the pipeline; one whose work is done elsewhere, or
that takes several calls at once, a queue of its own, `workers`. At the end its `close()`, or its
asynchronous `aclose()`, is called if it has one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visavis.events import Phoneme, Source, ToolCall, Word
from visavis.tools import Tool

LISTEN_RATE = 16_000
"""Hz of all audio that a cascade listens to."""
VAD_FRAME = 512
"""Samples at `LISTEN_RATE` in one voice-activity frame (32 ms)."""

Samples = NDArray[np.float32]
"""float32[n] in -1..1 at `LISTEN_RATE`."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard and the mean log-probability of its tokens (<= 0; nearer to 0 is surer).

    `language`: the code of the language that it is in, such as `pl`, when the recogniser detects it.
    """

    text: str
    confidence: float
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """Synthesised speech: PCM16 mono at the engine's rate; times in seconds from its first sample.

    `phonemes` is None when the synthesiser does not know them.
    """

    pcm: bytes
    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...] | None


@dataclass(frozen=True, slots=True)
class Message:
    """What was said; `language`: the code of the language to answer it in, None is the assistant's.

    `passages`: what was looked up to answer it; the instructions before it tell the same.

    `calls`: the tools that the assistant used then; what each of them returned follows, said by "tool", with
    the `call` that it answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    language: str | None = None
    passages: tuple[Source, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call: str = ""


class VoiceStream(Protocol):
    """Voice activity of one microphone."""

    def __call__(self, frame: Samples) -> float:
        """The probability (0..1) that this frame of `VAD_FRAME` samples holds a voice."""
        ...


class VoiceActivity(Protocol):
    def open(self) -> VoiceStream: ...


class EndOfTurn(Protocol):
    def __call__(self, audio: Samples) -> float:
        """Blocking: the probability (0..1) that the speaker of `audio` has finished."""
        ...


class SpeechToText(Protocol):
    languages: frozenset[str]
    """Codes of the languages it can hear."""
    detects: bool
    """Whether it finds out the language of every utterance, and tells it in the `Transcript`."""

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        """Blocking: the words of `audio`; empty text when there are none.

        `language` is one of `languages`; None is the one it was set up for.
        """
        ...


class LanguageModel(Protocol):
    def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        """The answer to the last message, in pieces as they are generated; closing the generator stops it.

        After calls of `tools` it is asked again, with the results. Raises `VisavisError` with what a person
        can do when the model cannot answer.
        """
        ...


@runtime_checkable
class CastTextToSpeech(Protocol):
    """A voice that can be anybody's: it is a `TextToSpeech` that has this method too."""

    def of_avatar(self, avatar: str) -> TextToSpeech:
        """Blocking: the voice that fits an avatar, light beside this one; this one for unknown avatars."""
        ...


@runtime_checkable
class StreamedTextToSpeech(Protocol):
    """A voice whose sound is heard while it is made: it is a `TextToSpeech` that has this method too."""

    def stream(self, text: str, language: str | None = None) -> AsyncGenerator[Speech, None]:
        """`text` in pieces, one after the other; closing the generator ends it.

        Raises `VisavisError` with what a person can do when the voice fails.
        """
        ...


class TextToSpeech(Protocol):
    rate: int
    """Hz of the speech it makes."""
    languages: frozenset[str]
    """Codes of the languages it can speak, such as `pl`: the letters before a hyphen of `pt-BR`."""

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """Blocking: `text` (a clause or a sentence) spoken, without silence before and with little after.

        `language` is one of `languages`; None is the one it was set up for.
        """
        ...
