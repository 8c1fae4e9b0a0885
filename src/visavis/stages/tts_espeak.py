"""Text to speech with espeak-ng: a robot's voice, in more than a hundred languages, with exact phonemes.

espeak-ng is a program of its own (GPL-3.0) that the user installs; it is called through its shared library.
"""

from __future__ import annotations

import ctypes as c
import ctypes.util
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import soxr

from visavis.audio import to_pcm
from visavis.errors import ConfigurationError
from visavis.events import Phoneme
from visavis.faces.viseme_table import SYMBOLS
from visavis.settings import Settings
from visavis.stages import Speech
from visavis.stages.phones import SILENCE, SPEECH_RATE, TAIL, Phone, Wave, joined, louder, trim, words_of

INSTALL = "Install it (Debian, Ubuntu: sudo apt-get install espeak-ng; macOS: brew install espeak-ng)"
MAX_CHARACTERS = 5_000
"""Longest text of one call, about five minutes of speech; the rest is not spoken."""
WORDS_A_MINUTE = 160
"""At speed 1; espeak-ng's own 175 is hard to follow."""
SLOWEST, FASTEST = 80, 450
GAIN = 10 ** (4 / 20)
"""4 dB more is the level of the other voices."""
_SYNCHRONOUS, _PHONEMES, _IPA, _DONT_EXIT = 2, 1, 2, 0x8000
_WORD, _PHONEME = 1, 7
_UTF8, _RATE = 1, 1
_NEAREST = {
    "ʲ": "j",
    "ʷ": "w",
    "ɧ": "ʃ",
    "ɺ": "ɾ",
    "ʟ": "l",
    "ɮ": "l",
    "ʛ": "ɡ",
    "ɠ": "ɡ",
    "ɓ": "b",
    "ɗ": "d",
}
"""Signs that the face does not know, and others that look like them."""
_NAMES = {"zh": "cmn", "no": "nb"}
"""What espeak-ng calls some languages."""


class _Name(c.Union):
    _fields_ = (("number", c.c_int), ("name", c.c_char_p), ("string", c.c_char * 8))


class _Event(c.Structure):
    _fields_ = (
        ("type", c.c_int),
        ("unique_identifier", c.c_uint),
        ("text_position", c.c_int),
        ("length", c.c_int),
        ("audio_position", c.c_int),
        ("sample", c.c_int),
        ("user_data", c.c_void_p),
        ("id", _Name),
    )


class _Voice(c.Structure):
    _fields_ = (
        ("name", c.c_char_p),
        ("languages", c.c_void_p),
        ("identifier", c.c_char_p),
        ("gender", c.c_ubyte),
        ("age", c.c_ubyte),
        ("variant", c.c_ubyte),
        ("reserved", c.c_ubyte),
        ("score", c.c_int),
        ("spare", c.c_void_p),
    )


_CALLBACK = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_Event))


class Mark(NamedTuple):
    """Where a word or a phoneme begins: the sample, and the word's first character or the phoneme's IPA."""

    sample: int
    word: int | None
    symbol: str


class Library:
    """The shared library. It speaks for one caller at a time: its state is the process's."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        try:
            self._calls = c.CDLL(name or "libespeak-ng.so.1")
        except OSError as error:
            raise ConfigurationError(
                f"stages.tts is 'espeak' but espeak-ng is not installed. {INSTALL}, "
                "or choose another voice with stages.tts."
            ) from error
        self._lock = Lock()
        self._waves: list[Wave] = []
        self._marks: list[Mark] = []
        self._callback = _CALLBACK(self._receive)  # kept: the library only has its address
        self.rate: int = self._calls.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEMES | _IPA | _DONT_EXIT)
        if self.rate <= 0:
            raise ConfigurationError(f"espeak-ng's files of languages are not there. {INSTALL} again.")
        self._calls.espeak_SetSynthCallback(self._callback)
        self._calls.espeak_ListVoices.restype = c.POINTER(c.POINTER(_Voice))

    def languages(self) -> frozenset[str]:
        """The codes of the languages that it has a voice for, such as `pl`."""
        found: set[str] = set()
        with self._lock:
            voices = self._calls.espeak_ListVoices(None)
            index = 0
            while voices[index]:
                # A byte with a priority, and the name of the language.
                found.add(c.string_at(voices[index].contents.languages + 1).decode().split("-")[0])
                index += 1
        return frozenset(found | {code for code, name in _NAMES.items() if name in found})

    def knows(self, voice: str) -> bool:
        with self._lock:
            return self._choose(voice)

    def speak(self, text: str, voice: str, rate: int) -> tuple[Wave, list[Mark]]:
        """`text` (no NUL) spoken at `rate` words a minute: float32 at the library's rate, and its marks."""
        data = text.encode()
        with self._lock:
            self._waves, self._marks = [np.zeros(0, np.float32)], []
            self._choose(voice)
            self._calls.espeak_SetParameter(_RATE, rate, 0)
            self._calls.espeak_Synth(data, c.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
            self._calls.espeak_Synchronize()
            return np.concatenate(self._waves), self._marks

    def _choose(self, voice: str) -> bool:
        return bool(self._calls.espeak_SetVoiceByName(voice.encode()) == 0)

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        """Called by the library with the next samples and events; 0 lets it go on."""
        if wave and count > 0:
            self._waves.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / np.float32(32768))
        index = 0
        while (event := events[index]).type:
            if event.type == _WORD:
                self._marks.append(Mark(event.sample, event.text_position - 1, ""))
            elif event.type == _PHONEME:
                self._marks.append(Mark(event.sample, None, _string(event.id)))
            index += 1
        return 0


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
        text = text[:MAX_CHARACTERS]
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
        name = _NAMES.get(language, language)
        return self._voice if name == self._language else name


def load(settings: Settings) -> Espeak:
    """Raises `ConfigurationError` when espeak-ng is not installed or has no such voice."""
    library = _library()
    asked = settings.espeak.voice or settings.assistant.language
    language = asked.lower().split("-")[0]
    for voice in dict.fromkeys((asked, asked.lower(), _NAMES.get(language, language))):
        if library.knows(voice):
            return Espeak(library, voice, settings.voice.speed)
    raise ConfigurationError(
        f"espeak-ng has no voice {asked!r} (espeak.voice, or assistant.language without it); "
        "espeak-ng --voices lists those it has."
    )


@cache
def _library() -> Library:
    """One for the whole process, as the library itself is."""
    return Library()


def _string(name: Any) -> str:
    return bytes(name.string).split(b"\0")[0].decode(errors="ignore")


# -- text and time ----------------------------------------------------------------------------------------
def pronounceable(text: str) -> str:
    """`text` in which signs that are not spoken, such as emoji and Markdown, are blank.

    Every character stays where it is, for espeak-ng tells where in the text each word begins.
    """
    return "".join(" " if _is_unspoken(character) else character for character in text)


def _is_unspoken(character: str) -> bool:
    return character in "*_`~#|<>" or unicodedata.category(character) in (
        "So",
        "Sk",
        "Cc",
        "Cf",
        "Cs",
        "Co",
        "Cn",
    )


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
    owner = -1
    for mark in marks:
        if mark.word is not None:
            owner = max(owner, bisect_right(words, mark.word) - 1)
            continue
        start = min(max(mark.sample / rate, found[-1].start), total)
        symbol = known(mark.symbol)
        if mark.symbol and not symbol:
            continue  # the phone before goes on
        found[-1] = found[-1]._replace(end=start)
        found.append(Phone(symbol or SILENCE, start, total, 0, owner if symbol else -1))
    return [phone for phone in found if phone.end > phone.start]


def known(symbol: str) -> str:
    """IPA with only the signs that the face knows, or others that look like them."""
    return "".join(_signs(symbol))


def _signs(symbol: str) -> Iterator[str]:
    for sign in unicodedata.normalize("NFC", symbol):
        for part in (sign, *unicodedata.normalize("NFD", sign)):
            if (near := _NEAREST.get(part, part)) in SYMBOLS:
                yield near
                break
