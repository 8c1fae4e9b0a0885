"""Stages without models, for servers in processes of their own: `tests.server.light:Name`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import numpy as np

from visavis.events import ToolCall, Word
from visavis.settings import Settings
from visavis.stages import Message, Samples, Speech, Transcript
from visavis.tools import Tool


class Ears:
    """Hears the same whatever is said."""

    languages = frozenset({"en"})
    detects = False

    def __init__(self, settings: Settings) -> None:
        self.said = "Hello"

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        return Transcript(self.said, 0.0)


class Echo:
    """Answers what it is told."""

    def __init__(self, settings: Settings) -> None:
        self.begins = "You said:"

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        yield f"{self.begins} {messages[-1].text}"


class Hum:
    """20 ms of a tone a word."""

    rate = 24_000
    languages = frozenset({"en"})

    def __init__(self, settings: Settings) -> None:
        self.hertz = 200

    def __call__(self, text: str, language: str | None = None) -> Speech:
        words = [Word(word, 0.02 * k, 0.02 * k + 0.02) for k, word in enumerate(text.split()[:50])]
        times = np.arange(480 * len(words)) / self.rate
        pcm = (8000 * np.sin(2 * np.pi * self.hertz * times)).astype("<i2").tobytes()
        return Speech(pcm, tuple(words), None)
