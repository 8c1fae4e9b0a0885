"""Text to speech with Kokoro-82M: natural and slow, English by itself, other languages with espeak-ng."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from visavis.errors import ConfigurationError
from visavis.models import ModelStore
from visavis.settings import Settings
from visavis.stages import Speech
from visavis.stages.english import English
from visavis.stages.espeak_library import TIE, Library, library
from visavis.stages.espeak_words import EspeakWords
from visavis.stages.onnx import release_memory, session
from visavis.stages.passages import SpokenWord, spelled
from visavis.stages.phones import LONGEST_TEXT, SPEECH_RATE, Phone, Wave, levelled, phones_of, speech_of

DEFAULT = "jf_alpha"
PARTS = ("kokoro", "kokoro-part2", "kokoro-part3", "kokoro-part4")
VOICES, STORED = "kokoro-voices", "voices_ja.npz"
"""The model of the store with the voices, and their file in it."""
LONGEST_PASSAGE = 300
"""Symbols that are spoken in one breath, about 20 s; the network takes 510."""
DURATIONS = "/encoder/Clip_output_0"
"""The tensor with each symbol's duration, in frames of 25 ms."""
LAG = 0.050
"""Seconds by which the durations run behind the sound, by the middles of sibilants and stops."""
STYLE = 256
"""Numbers in a style; a voice has one for each length of a passage."""
WITH_ESPEAK = {"es": "es", "fr": "fr", "hi": "hi", "it": "it", "pt": "pt-br"}
"""Languages that Kokoro has learned and espeak-ng pronounces, and its voices for them."""
_LETTERS = {
    "a^ɪ": "I", "a^ʊ": "W", "d^z": "ʣ", "d^ʑ": "ʥ", "d^ʒ": "ʤ", "e^ɪ": "A", "o^ʊ": "O", "s^s": "S",
    "t^s": "ʦ", "t^ɕ": "ʨ", "t^ʃ": "ʧ", "ɔ^ɪ": "Y", "ə^l": "ᵊl", "ə^ʊ": "Q",
}  # fmt: skip

Styles = NDArray[np.float32]
"""float32[lengths, 256]: the style of a passage of n symbols is row n - 1."""


class Kokoro:
    """The engine; calls may run at once on several threads. Equal text gives equal bytes."""

    rate = SPEECH_RATE
    model, device = "kokoro-82m", "cpu"

    def __init__(
        self,
        model: bytes,
        vocabulary: dict[str, int],
        styles: Styles,
        language: str = "en",
        speed: float = 1.0,
        espeak: Library | None = None,
    ) -> None:
        self._vocabulary, self._styles, self._language = vocabulary, styles, language
        self._speed = np.array([speed], np.float32)
        self._pronounce: dict[str, Callable[[str], Iterator[list[SpokenWord]]]] = {
            "en": English(vocabulary, LONGEST_PASSAGE).passages
        }
        if espeak is not None:
            for code, name in WITH_ESPEAK.items():
                self._pronounce[code] = EspeakWords(espeak, name, self._spell, LONGEST_PASSAGE).passages
        self.languages = frozenset(self._pronounce)
        graph = onnx.load_model_from_string(model)
        graph.graph.output.append(helper.make_empty_tensor_value_info(DURATIONS))
        self._session = session(graph.SerializeToString())

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """`text` spoken; a zero-length `Speech` when nothing in it can be pronounced."""
        text = text[:LONGEST_TEXT]
        passages = self._pronounce[language or self._language](text) if any(map(str.isalnum, text)) else ()
        return speech_of(text, map(self._speak, passages), 1.0)

    def _spell(self, ipa: str) -> str:
        for tied, letter in _LETTERS.items():
            ipa = ipa.replace(tied, letter)
        symbols = unicodedata.normalize("NFD", ipa.replace(TIE, "")).replace("ç", "ç")
        return "".join(symbol for symbol in symbols if symbol in self._vocabulary)

    def _speak(self, passage: list[SpokenWord]) -> tuple[Wave, list[Phone]]:
        symbols, owners = spelled(passage)
        tokens = [self._vocabulary.get(symbol, 0) for symbol in symbols]  # 0 is the pad at both ends
        style = self._styles[min(len(tokens) - 2, len(self._styles)) - 1]
        feed: dict[str, NDArray[Any]] = {
            "tokens": np.array([tokens], np.int64),
            "style": style[None],
            "speed": self._speed,
        }
        sound, frames = self._session.run(None, feed)
        wave = levelled(sound.ravel().astype(np.float32))
        durations = frames.ravel().astype(np.float64)
        durations *= len(wave) / SPEECH_RATE / durations.sum()
        return wave, phones_of(symbols, owners, durations, wave, LAG)


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` for a language or a voice that it does not have; for the name of a voice
    only when the model store has been filled."""
    _spoken(settings)
    store = ModelStore(settings.models)
    if store.present(VOICES):
        _styles(settings, store.folder(VOICES) / STORED)


def load(settings: Settings) -> Kokoro:
    """Raises as `check` does."""
    language, espeak = _spoken(settings)
    store = ModelStore(settings.models)
    voices = store.path(VOICES)
    vocabulary = json.loads((voices / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    styles = _styles(settings, voices / STORED)
    model = b"".join((store.path(part) / "part.bin").read_bytes() for part in PARTS)
    voice = Kokoro(model, vocabulary, styles, language, settings.voice.speed, espeak)
    release_memory()
    voice("Hello from visavis, xylograph.", "en")
    return voice


def _spoken(settings: Settings) -> tuple[str, Library | None]:
    """The language, and espeak-ng when it is there."""
    language = settings.assistant.language.split("-")[0]
    if language not in (known := {"en", *WITH_ESPEAK}):
        raise ConfigurationError(
            f"The voice 'kokoro' does not speak {settings.assistant.language!r} (assistant.language), only "
            f"{', '.join(sorted(known))}; choose another one with stages.tts."
        )
    try:
        return language, library()
    except ConfigurationError:
        if language in WITH_ESPEAK:
            raise
        return language, None


def _styles(settings: Settings, stored: Path) -> Styles:
    """The styles of a voice of the model store, or of a file with 256 float32 for each length."""
    asked = settings.kokoro.voice
    with np.load(stored) as voices:
        if asked in voices or not asked:
            styles: Styles = voices[asked or DEFAULT].reshape(-1, STYLE).astype(np.float32)
            return styles
        names = ", ".join(sorted(voices))
    try:
        styles = np.fromfile(settings.models.own(Path(asked).expanduser()), "<f4").reshape(-1, STYLE)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"kokoro.voice is {asked!r} but must be one of {names}, or the .bin file of a voice ({error})."
        ) from error
    if not len(styles) or not np.isfinite(styles).all():
        raise ConfigurationError(f"{asked} (kokoro.voice) is not the file of a voice. Download it again.")
    return styles
