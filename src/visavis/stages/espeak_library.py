"""espeak-ng, a program of its own (GPL-3.0) that the user installs, through its shared library."""

from __future__ import annotations

import ctypes as c
import ctypes.util
import re
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from visavis.errors import ConfigurationError
from visavis.stages.phones import Wave

INSTALL = "Install it (Debian, Ubuntu: sudo apt-get install espeak-ng; macOS: brew install espeak-ng)"
TIE = "^"
"""Between the letters of one sound: t^ʃ."""
NAMES = {"zh": "cmn", "no": "nb"}
"""What espeak-ng calls some languages."""
_SYNCHRONOUS, _PHONEMES, _IPA, _DONT_EXIT = 2, 1, 2, 0x8000
_WORD, _PHONEME = 1, 7
_UTF8, _RATE = 1, 1
_TIED_IPA = 0x02 | 0x80 | ord(TIE) << 8
_LANGUAGE = re.compile(r"\([a-z-]+\)")
"""A mark where a word is said in another language."""


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
    """The shared library. It works for one caller at a time: its state is the process's."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        try:
            self._calls = c.CDLL(name or "libespeak-ng.so.1")
        except OSError as error:
            raise ConfigurationError(
                f"The voice (stages.tts) needs espeak-ng, which is not installed. {INSTALL}, "
                "or choose another voice."
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
        self._calls.espeak_TextToPhonemes.restype = c.c_char_p
        self._calls.espeak_TextToPhonemes.argtypes = [c.POINTER(c.c_char_p), c.c_int, c.c_int]

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
        return frozenset(found | {code for code, name in NAMES.items() if name in found})

    def knows(self, voice: str) -> bool:
        with self._lock:
            return self._choose(voice)

    def speak(self, text: str, voice: str, rate: int) -> tuple[Wave, list[Mark]]:
        """`text` (no NUL) spoken at `rate` words a minute: float32 at the library's rate, and its marks."""
        with self._lock:
            self._choose(voice)
            self._calls.espeak_SetParameter(_RATE, rate, 0)
            self._synthesise(" ")  # `ipa` fills the list of events: the first marks would be lost
            self._synthesise(text)
            return np.concatenate(self._waves), self._marks

    def ipa(self, texts: Sequence[str], voice: str) -> list[str]:
        """How each text (no NUL) is pronounced: words between spaces, stress before vowels, `TIE`."""
        with self._lock:
            self._choose(voice)
            return [_LANGUAGE.sub("", " ".join(self._clauses(text))) for text in texts]

    def _synthesise(self, text: str) -> None:
        self._waves, self._marks = [np.zeros(0, np.float32)], []
        data = text.encode()
        self._calls.espeak_Synth(data, c.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
        self._calls.espeak_Synchronize()

    def _clauses(self, text: str) -> list[str]:
        rest = c.c_char_p(text.encode())
        found: list[str] = []
        while rest.value is not None:
            found.append(self._calls.espeak_TextToPhonemes(c.byref(rest), _UTF8, _TIED_IPA).decode())
        return found

    def _choose(self, voice: str) -> bool:
        return bool(self._calls.espeak_SetVoiceByName(voice.encode()) == 0)

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        """Called by the library with the next samples and events; 0 lets it go on."""
        if wave and count > 0:
            self._waves.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / np.float32(32768))
        index = 0
        while (event := events[index]).type:
            # After a long text a later one may hold a word at position 0, where positions count from 1.
            if event.type == _WORD and event.text_position > 0:
                self._marks.append(Mark(event.sample, event.text_position - 1, ""))
            elif event.type == _PHONEME:
                self._marks.append(Mark(event.sample, None, _string(event.id)))
            index += 1
        return 0


@cache
def library() -> Library:
    """One for the whole process, as the library itself is."""
    return Library()


def _string(name: Any) -> str:
    return bytes(name.string).split(b"\0")[0].decode(errors="ignore")
