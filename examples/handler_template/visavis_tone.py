"""A voice for Visavis: a tone for every word. Copy the folder and put your own engine in its place."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visavis.audio import to_pcm
from visavis.errors import ConfigurationError
from visavis.events import Phoneme, Word
from visavis.settings import Settings
from visavis.stages import Speech

RATE = 24_000
SECONDS = 0.25
"""Of a word."""


class Options(BaseModel):
    """What `pipeline.tts` may say besides `handler`."""

    model_config = ConfigDict(extra="forbid")
    hertz: float = Field(220.0, ge=50, le=2000)


def check(settings: Settings) -> None:
    """What is wrong with the options, if something is: `visavis config check` asks for that, and so does the
    start, before anything is loaded. A handler can do without."""
    _options(settings)


def load(settings: Settings) -> Tone:
    """Initialise: everything that takes time or can go wrong, once, before anybody is let in."""
    return Tone(_options(settings).hertz)


def _options(settings: Settings) -> Options:
    try:
        return Options(**settings.options.get("tts", {}))
    except ValidationError as error:
        problem = error.errors()[0]
        option = ".".join(map(str, ("pipeline", "tts", *problem["loc"])))
        raise ConfigurationError(f"{option}: {problem['msg']}.") from None


class Tone:
    """The engine: shared by all conversations, called by several threads at once."""

    rate = RATE
    languages = frozenset({"en"})
    model, device = "tone", "cpu"

    def __init__(self, hertz: float) -> None:
        times = np.arange(int(SECONDS * RATE)) / RATE
        swell = np.sin(np.pi * times / SECONDS) ** 0.5
        self._word = (0.4 * swell * np.sin(2 * np.pi * hertz * times)).astype(np.float32)

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """Process: `text` as sound, with the times of its words and phonemes (None when they are unknown)."""
        words: list[Word] = []
        phonemes: list[Phoneme] = []
        end = 0.0
        for word in text.split():
            start = end
            if any(map(str.isalnum, word)):
                end = start + SECONDS
                phonemes.append(Phoneme("a", start, end, 2))
            words.append(Word(word, start, end))
        if not phonemes:
            return Speech(b"", (), ())
        sound = np.tile(self._word, len(phonemes))
        return Speech(to_pcm(sound), tuple(words), tuple(phonemes))

    def close(self) -> None:
        """Clean up: connections, processes, memory of a device. Called once, when the server ends."""
        self._word = np.zeros(0, np.float32)
