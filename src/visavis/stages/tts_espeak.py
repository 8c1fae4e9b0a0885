"""Text to speech with espeak-ng: a robot's voice, in more than a hundred languages, with exact phonemes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import soxr

from visavis.audio import to_pcm
from visavis.errors import ConfigurationError
from visavis.events import Phoneme
from visavis.settings import Settings
from visavis.stages import Speech
from visavis.stages.espeak_library import NAMES, Library, Mark, library
from visavis.stages.espeak_words import pronounceable
from visavis.stages.ipa import known
from visavis.stages.phones import (
    LONGEST_TEXT,
    SILENCE,
    SPEECH_RATE,
    TAIL,
    Phone,
    joined,
    louder,
    trim,
    words_of,
)

WORDS_A_MINUTE = 160
"""At speed 1; espeak-ng's own 175 is hard to follow."""
SLOWEST, FASTEST = 80, 450
GAIN = 10 ** (4 / 20)
"""4 dB more is the level of the other voices."""


class Espeak:
    """The engine; calls from several threads are answered one after the other.

    The flutter of its voice goes on from call to call: equal text gives equal phonemes but not equal bytes.
    """

    rate = SPEECH_RATE

    def __init__(self, library: Library, voice: str, speed: float = 1.0) -> None:
        self.languages = library.languages()
        self._library, self._voice = library, voice
        self._language = voice.split("-")[0].split("+")[0]
        self._words_a_minute = min(max(round(WORDS_A_MINUTE * speed), SLOWEST), FASTEST)

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """`text` spoken; a zero-length `Speech` when nothing in it can be pronounced."""
        text = text[:LONGEST_TEXT]
        if not any(map(str.isalnum, text)):
            return Speech(b"", (), ())
        voice = self._voice if language is None else self._voice_for(language)
        wave, marks = self._library.speak(pronounceable(text), voice, self._words_a_minute)
        if not len(wave):
            return Speech(b"", (), ())
        resampled = soxr.resample(wave, self._library.rate, SPEECH_RATE)
        seconds = len(resampled) / SPEECH_RATE
        phones = phones_of(marks, _first_characters(text), seconds, self._library.rate)
        trimmed, phones = trim(resampled, phones, TAIL)
        if not len(trimmed):
            return Speech(b"", (), ())
        return Speech(
            to_pcm(louder(trimmed, GAIN)),
            tuple(words_of(text.split(), phones)),
            tuple(Phoneme(phone.symbol, phone.start, phone.end) for phone in joined(phones)),
        )

    def _voice_for(self, language: str) -> str:
        name = NAMES.get(language, language)
        return self._voice if name == self._language else name


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when espeak-ng is not installed or has no such voice."""
    _voice(library(), settings)


def load(settings: Settings) -> Espeak:
    """Raises as `check` does."""
    espeak = library()
    return Espeak(espeak, _voice(espeak, settings), settings.voice.speed)


def _voice(espeak: Library, settings: Settings) -> str:
    """What the chosen voice is called."""
    asked = settings.espeak.voice or settings.assistant.language
    language = asked.lower().split("-")[0]
    for voice in dict.fromkeys((asked, asked.lower(), NAMES.get(language, language))):
        if espeak.knows(voice):
            return voice
    raise ConfigurationError(
        f"espeak-ng has no voice {asked!r} (espeak.voice, or assistant.language without it); "
        "espeak-ng --voices lists those it has."
    )


# -- text and time ----------------------------------------------------------------------------------------
def _first_characters(text: str) -> list[int]:
    """Where each word begins."""
    return [
        index
        for index, character in enumerate(text)
        if not character.isspace() and (index == 0 or text[index - 1].isspace())
    ]


def phones_of(marks: Sequence[Mark], words: Sequence[int], total: float, rate: int) -> list[Phone]:
    """Phones that tile `total` seconds, from the library's marks at `rate` Hz.

    `words`: the position in the text at which each written word begins.
    """
    found = [Phone(SILENCE, 0.0, total, 0, -1)]
    owner = following = 0  # the mark of the first word may be missing
    for mark in marks:
        if mark.word is not None:
            following = bisect_right(words, mark.word) - 1
            continue
        start = min(max(mark.sample / rate, found[-1].start), total)
        symbol = known(mark.symbol)
        if mark.symbol and not symbol:
            continue  # the phone before goes on
        if symbol:  # a mark of a word before a pause alone may stand anywhere
            owner = max(owner, following)
        found[-1] = found[-1]._replace(end=start)
        found.append(Phone(symbol or SILENCE, start, total, 0, owner if symbol else -1))
    return [phone for phone in found if phone.end > phone.start]
