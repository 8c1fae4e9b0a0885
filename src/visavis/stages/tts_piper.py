"""Text to speech with any Piper voice: a file `.onnx` and its `.onnx.json`, pronounced by espeak-ng."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soxr
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from visavis.errors import ConfigurationError
from visavis.models import ModelStore
from visavis.settings import Settings
from visavis.stages import Speech
from visavis.stages.espeak_library import NAMES, TIE, library
from visavis.stages.espeak_words import EspeakWords
from visavis.stages.onnx import release_memory, session
from visavis.stages.passages import SpokenWord, spelled
from visavis.stages.phones import (
    LONGEST_TEXT,
    SPEECH_RATE,
    Phone,
    Wave,
    levelled,
    phones_of,
    speech_of,
)
from visavis.stages.piper_graph import expose_durations, fix_noise

LONGEST_PASSAGE = 400
"""Symbols that are spoken in one breath."""
LAG = 0.025
"""Seconds by which the durations run behind the sound, by the middles of sibilants and stops."""
STORED, EMBEDDED = "piper-joe", "en_US-joe-medium.onnx"
"""The voice of the model store, and its file."""
_PAD, _BEGIN, _END = "_", "^", "$"


class _Audio(BaseModel):
    sample_rate: int = Field(ge=8_000, le=48_000)


class _Espeak(BaseModel):
    voice: str


class _Inference(BaseModel):
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class Description(BaseModel):
    """What is used of a voice's `.onnx.json`."""

    audio: _Audio
    espeak: _Espeak
    inference: _Inference = _Inference()
    phoneme_type: str = "espeak"
    phoneme_id_map: dict[str, list[int]]
    num_speakers: int = 1
    speaker_id_map: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Symbols:
    """The numbers that the network is given, and for each the symbols that its time belongs to, half each."""

    ids: list[int]
    owners: list[tuple[int, int]]


class Piper:
    """The engine; calls may run at once on several threads. Equal text and seed give equal bytes."""

    rate = SPEECH_RATE
    device = "cpu"

    def __init__(self, file: Path, description: Description, speaker: int, speed: float, seed: int) -> None:
        espeak = description.espeak.voice
        code = espeak.lower().split("-")[0]
        self.languages = frozenset({next((name for name, other in NAMES.items() if other == code), code)})
        self._rate = description.audio.sample_rate
        self.model = file.stem
        self._map = description.phoneme_id_map
        self._words = EspeakWords(library(), espeak, self._spell, LONGEST_PASSAGE)
        model = onnx.load(str(file))
        self._timed = expose_durations(model.graph)
        fix_noise(model.graph, seed)
        self._session = session(model.SerializeToString())
        scales = description.inference
        self._feed: dict[str, NDArray[Any]] = {
            "scales": np.array([scales.noise_scale, scales.length_scale / speed, scales.noise_w], np.float32)
        }
        if "sid" in {given.name for given in self._session.get_inputs()}:
            self._feed["sid"] = np.array([speaker], np.int64)

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """`text` spoken; a zero-length `Speech` when nothing in it can be pronounced.

        A voice whose file does not tell durations has neither words nor phonemes.
        """
        text = text[:LONGEST_TEXT]
        passages = self._words.passages(text) if any(map(str.isalnum, text)) else ()
        speech = speech_of(text, map(self._speak, passages), 1.0)
        return speech if self._timed or not speech.pcm else Speech(speech.pcm, (), None)

    def _spell(self, ipa: str) -> str:
        symbols = unicodedata.normalize("NFD", ipa.replace(TIE, ""))
        return "".join(symbol for symbol in symbols if symbol in self._map)

    def _speak(self, passage: list[SpokenWord]) -> tuple[Wave, list[Phone]]:
        symbols, owners = spelled(passage)
        known = self._numbers(symbols)
        ids = np.array([known.ids], np.int64)
        feed = {"input": ids, "input_lengths": np.array([ids.size], np.int64), **self._feed}
        sound, *frames = self._session.run(None, feed)
        wave: Wave = soxr.resample(sound.ravel().astype(np.float32), self._rate, SPEECH_RATE)
        wave = levelled(wave)
        if not self._timed:
            return wave, [Phone("a", 0.0, len(wave) / SPEECH_RATE, 0, -1)]
        durations = np.zeros(len(symbols))
        for (first, second), part in zip(known.owners, frames[0].ravel().tolist(), strict=True):
            durations[first] += part / 2
            durations[second] += part / 2
        durations *= len(wave) / SPEECH_RATE / durations.sum()
        return wave, phones_of(symbols, owners, durations, wave, LAG)

    def _numbers(self, symbols: list[str]) -> Symbols:
        """With a pad after every symbol but the last, as the voices were trained."""
        ids: list[int] = []
        owners: list[tuple[int, int]] = []
        last = len(symbols) - 1
        for index, symbol in enumerate(symbols):
            name = _BEGIN if index == 0 else _END if index == last else symbol
            numbers = self._map.get(name, [])
            ids += numbers
            owners += [(index, index)] * len(numbers)
            if index != last:
                ids += self._map[_PAD]
                owners += [(index, index + 1)] * len(self._map[_PAD])
        return Symbols(ids, owners)


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when the voice is not there or is not one of Piper's; the model store's is
    looked at when it has been fetched."""
    file = _file(settings)
    if settings.piper.voice is not None or ModelStore(settings.models).present(STORED):
        _speaker(settings.piper.speaker, _describe(file))
    else:
        library()


def load(settings: Settings) -> Piper:
    """Raises as `check` does, and when the voice does not work."""
    file = _file(settings)
    if settings.piper.voice is None:
        ModelStore(settings.models).path(STORED)
    description = _describe(file)
    speaker = _speaker(settings.piper.speaker, description)
    try:
        voice = Piper(file, description, speaker, settings.voice.speed, settings.assistant.seed)
        voice("Hello from visavis.")
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{file} (piper.voice) does not work as a voice of Piper: {type(error).__name__}: "
            f"{str(error)[:200]}. Download it again."
        ) from error
    release_memory()
    return voice


def _file(settings: Settings) -> Path:
    """The voice's, which the model store may have to fetch."""
    if settings.piper.voice is not None:
        return settings.models.own(settings.piper.voice)
    if settings.assistant.language.split("-")[0] != "en":
        raise ConfigurationError(
            f"The voice 'piper' needs a file for assistant.language {settings.assistant.language!r}: set "
            "piper.voice (PIPER_VOICE) to a voice's .onnx, with its .onnx.json beside it."
        )
    return ModelStore(settings.models).folder(STORED) / EMBEDDED


def _describe(file: Path) -> Description:
    beside = file.with_name(file.name + ".json")
    try:
        if not file.is_file():
            raise FileNotFoundError(2, "there is no such file", str(file))
        description = Description.model_validate(json.loads(beside.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(
            f"The voice of Piper (piper.voice) cannot be read: {error.filename}: {error.strerror}. "
            f"A voice is two files, {file.name} and {beside.name}, in one folder."
        ) from error
    except (ValueError, ValidationError) as error:
        raise ConfigurationError(
            f"{beside} does not describe a voice of Piper ({type(error).__name__}). Download it again."
        ) from error
    missing = [symbol for symbol in (_PAD, _BEGIN, _END) if not description.phoneme_id_map.get(symbol)]
    if description.phoneme_type != "espeak" or missing or not library().knows(description.espeak.voice):
        raise ConfigurationError(
            f"{beside}: only voices that are pronounced by espeak-ng, in a language that it has, are "
            f"supported; this one needs {description.phoneme_type!r}, {description.espeak.voice!r}."
        )
    return description


def _speaker(asked: str, description: Description) -> int:
    """The number of a speaker given by name or number; the first without one."""
    number = description.speaker_id_map.get(asked, int(asked) if asked.isdecimal() else None)
    if not asked:
        return 0
    if number is None or not 0 <= number < description.num_speakers:
        names = ", ".join(list(description.speaker_id_map)[:20]) or f"0 to {description.num_speakers - 1}"
        raise ConfigurationError(f"piper.speaker is {asked!r} but this voice has: {names}.")
    return number
