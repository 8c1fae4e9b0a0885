"""Text to speech with hibari, a 7.9 MB English voice that knows when each of its phonemes sounds."""

from __future__ import annotations

import hashlib
import json
from copy import copy
from pathlib import Path

import hibari
import numpy as np
import onnx
from hibari import dsp
from hibari.voices import DEFAULT, voice_path
from onnx import helper

from visavis.settings import Settings
from visavis.stages import Speech
from visavis.stages.english import English
from visavis.stages.onnx import session
from visavis.stages.passages import SpokenWord, spelled
from visavis.stages.phones import LONGEST_TEXT, SPEECH_RATE, Phone, Wave, phones_of, speech_of
from visavis.voices import OWN, Character, character_of, characters

RATE = SPEECH_RATE
MAX_PHONEMES = 400
"""Most symbols the network is given at once, hibari's own bound."""
DURATIONS = "/Cast_32_output_0"
"""The tensor of hibari-tts 0.2.1 with each symbol's duration: int64, in units of `UNIT`."""
UNIT = 0.025
LAG = 0.055
"""Seconds by which the network's durations run behind its sound: median over sibilants and stop closures in
20 sentences (50 ms at the ends of s, z and sh, 58 ms at the middle of closures, quartiles 40-75 ms)."""
GAIN = 10 ** (8 / 20)
"""hibari speaks at -27 dB RMS; 8 dB more is the level of other voices."""
SAMPLE = "Hello from visavis, xylograph."


class Hibari:
    """The engine; calls may run at once on several threads. Equal text and seed give equal bytes."""

    rate = RATE
    languages = frozenset({"en"})
    model, device = "hibari", "cpu"

    def __init__(self, speed: float = 1.0, seed: int = 0, character: Character = OWN) -> None:
        self._speed, self._seed = np.array([speed], np.float32), seed
        self._character = character
        self._vocabulary: dict[str, int] = json.loads(
            (Path(hibari.tts.ASSETS) / "vocab.json").read_text(encoding="utf-8")
        )
        self._passages = English(self._vocabulary, MAX_PHONEMES).passages
        model = onnx.load(voice_path(DEFAULT))
        model.graph.output.append(helper.make_empty_tensor_value_info(DURATIONS))
        self._session = session(model.SerializeToString())
        self._level = self._level_of(character)

    def of_avatar(self, avatar: str) -> Hibari:
        """The same network as an avatar's voice; this one for avatars of others."""
        character = characters().get(avatar, self._character)
        if character == self._character:
            return self
        voice = copy(self)
        voice._character = character
        voice._level = self._level_of(voice._character)
        return voice

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """`text` spoken; a zero-length `Speech` when nothing in it can be pronounced."""
        text = text[:LONGEST_TEXT]
        noise = self._noise(text)
        return speech_of(text, (self._speak(passage, noise) for passage in self._passages(text)), GAIN)

    def _noise(self, text: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._seed}:{text}".encode(errors="replace")).digest()
        return np.random.default_rng(int.from_bytes(digest))

    def _speak(self, passage: list[SpokenWord], noise: np.random.Generator) -> tuple[Wave, list[Phone]]:
        symbols, owners = spelled(passage)
        ids = [self._vocabulary.get(symbol, 0) for symbol in symbols]  # 0 is the pad at both ends
        *spectrum, durations = self._session.run(
            None, {"ids": np.array([ids], np.int64), "speed": self._speed}
        )
        wave = self._level * _sound(spectrum, self._character, noise)
        return wave, phones_of(symbols, owners, durations.ravel() * UNIT, wave, LAG)

    def _level_of(self, character: Character) -> float:
        """The lower a voice, the more harmonics it has: it must not become louder."""
        return 1.0 if character == OWN else self._loudness(OWN) / self._loudness(character)

    def _loudness(self, character: Character) -> float:
        """Of a sample, as an amplitude."""
        (passage,) = self._passages(SAMPLE)
        ids = [self._vocabulary.get(symbol, 0) for symbol in spelled(passage)[0]]
        *spectrum, _ = self._session.run(None, {"ids": np.array([ids], np.int64), "speed": self._speed})
        return float(np.sqrt(np.mean(_sound(spectrum, character, self._noise(SAMPLE)) ** 2)))


def _sound(spectrum: list[Wave], character: Character, noise: np.random.Generator) -> Wave:
    *parts, pitch = (part[0] for part in spectrum)
    wave: Wave = dsp.synth(*map(character.resonant, parts), character.pitch * pitch, noise)
    return wave


def load(settings: Settings) -> Hibari:
    engine = Hibari(settings.voice.speed, settings.assistant.seed, character_of(settings.avatar))
    engine(SAMPLE)  # unknown words load hibari's second network
    return engine
