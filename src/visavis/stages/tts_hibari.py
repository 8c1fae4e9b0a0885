"""Text to speech with hibari, a 7.9 MB English voice that knows when each of its phonemes sounds."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import hibari
import numpy as np
import onnx
from hibari import dsp
from hibari.g2p import G2P
from hibari.g2p.normalize import normalize
from hibari.voices import DEFAULT, voice_path
from numpy.typing import NDArray
from onnx import helper

from visavis.audio import to_pcm
from visavis.events import Phoneme
from visavis.settings import Settings
from visavis.stages import Speech
from visavis.stages.onnx import session
from visavis.stages.phones import (
    BLOCK,
    FLOOR,
    SILENCE,
    SPEECH_RATE,
    TAIL,
    Phone,
    Wave,
    joined,
    louder,
    loudness,
    trim,
    words_of,
)
from visavis.stages.spoken_text import align, speakable

RATE = SPEECH_RATE
MAX_CHARACTERS = 5_000
"""Longest text of one call, about five minutes of speech; the rest is not spoken."""
MAX_PHONEMES = 400
"""Most symbols the network is given at once, hibari's own bound."""
DURATIONS = "/Cast_32_output_0"
"""The tensor of hibari-tts 0.2.1 with each symbol's duration: int64, in units of `UNIT`."""
UNIT = 0.025
LAG = 0.055
"""Seconds by which the network's durations run behind its sound: median over sibilants and stop closures in
20 sentences (50 ms at the ends of s, z and sh, 58 ms at the middle of closures, quartiles 40-75 ms)."""
PAUSE = 0.30
"""Seconds of silence between sentences."""
GAIN = 10 ** (8 / 20)
"""hibari speaks at -27 dB RMS; 8 dB more is the level of other voices."""
HUSH = 0.08
"""Seconds of silence at the end of a phoneme that count as a pause and not as part of it."""

_IPA = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "Q": "əʊ", "ʤ": "dʒ", "ʧ": "tʃ", "T": "ɾ",
    "ᵊ": "ə", "ᵻ": "ɪ", "S": "ʃ", "ʦ": "ts", "ʣ": "dz", "ʨ": "tɕ", "ʥ": "dʑ",
}  # fmt: skip
_STRESS = {"ˌ": 1, "ˈ": 2}
_PAUSES = frozenset('.,!?;:—…"“”()')
_CLAUSE_ENDS = frozenset(".,!?;:—…")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """The symbols of one spoken word, and the index of the written word it belongs to."""

    symbols: str
    owner: int


class Hibari:
    """The engine; calls may run at once on several threads. Equal text and seed give equal bytes."""

    rate = RATE
    languages = frozenset({"en"})

    def __init__(self, speed: float = 1.0, seed: int = 0) -> None:
        self._speed, self._seed = np.array([speed], np.float32), seed
        self._g2p = G2P()
        self._vocabulary: dict[str, int] = json.loads(
            (Path(hibari.tts.ASSETS) / "vocab.json").read_text(encoding="utf-8")
        )
        model = onnx.load(voice_path(DEFAULT))
        model.graph.output.append(helper.make_empty_tensor_value_info(DURATIONS))
        self._session = session(model.SerializeToString())

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """`text` spoken; a zero-length `Speech` when nothing in it can be pronounced."""
        text = text[:MAX_CHARACTERS]
        passages = list(self._passages(text))
        noise = self._noise(text)
        waves: list[Wave] = []
        phones: list[Phone] = []
        samples = 0
        for number, passage in enumerate(passages, 1):
            wave, found = self._speak(passage, noise)
            wave, found = trim(wave, found, TAIL if number == len(passages) else PAUSE)
            phones += (_moved(phone, samples / RATE) for phone in found)
            waves.append(wave)
            samples += len(wave)
        if not samples:
            return Speech(b"", (), ())
        return Speech(
            to_pcm(louder(np.concatenate(waves), GAIN)),
            tuple(words_of(text.split(), phones)),
            tuple(Phoneme(phone.symbol, phone.start, phone.end, phone.stress) for phone in joined(phones)),
        )

    def _noise(self, text: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._seed}:{text}".encode(errors="replace")).digest()
        return np.random.default_rng(int.from_bytes(digest))

    # -- text -> symbols ------------------------------------------------------------------------------
    def _passages(self, text: str) -> Iterator[list[SpokenWord]]:
        """What to say in one breath each: sentences, cut where they are too long for the network."""
        before = 0
        for line in text.splitlines():
            written = line.split()
            sentences = [self._pronounce(sentence) for sentence in _sentences(written)]
            spoken = [word for sentence in sentences for word, _ in sentence]
            owners = iter(align(written, spoken, _spoken_count))
            for sentence in sentences:
                words = [SpokenWord(symbols, before + next(owners)) for _, symbols in sentence]
                yield from _breaths([word for word in words if word.symbols])
            before += len(written)

    def _pronounce(self, sentence: str) -> list[tuple[str, str]]:
        """Each word of a normalised sentence with its symbols (those that the network knows)."""
        words: list[tuple[str, str]] = []
        text = symbols = ""
        for token in self._g2p.phonemize_tokens(self._g2p.tokenize(sentence)):
            text += token.text
            symbols += token.phonemes or ""
            if token.whitespace:
                words.append((text, self._known(symbols)))
                text = symbols = ""
        return [*words, (text, self._known(symbols))] if text else words

    def _known(self, symbols: str) -> str:
        return "".join(symbol for symbol in symbols if symbol in self._vocabulary).strip()

    # -- symbols -> sound -------------------------------------------------------------------------------
    def _speak(self, passage: list[SpokenWord], noise: np.random.Generator) -> tuple[Wave, list[Phone]]:
        symbols, owners = ["<s>"], [-1]
        for number, word in enumerate(passage):
            text = f" {word.symbols}" if number else word.symbols
            symbols += text
            owners += [word.owner] * len(text)
        symbols, owners = [*symbols, "</s>"], [*owners, -1]
        ids = [self._vocabulary.get(symbol, 0) for symbol in symbols]  # 0 is the pad at both ends
        *spectrum, durations = self._session.run(
            None, {"ids": np.array([ids], np.int64), "speed": self._speed}
        )
        wave: Wave = dsp.synth(*(part[0] for part in spectrum), noise)
        return wave, phones_of(symbols, owners, durations.ravel() * UNIT, wave)


def load(settings: Settings) -> Hibari:
    engine = Hibari(settings.voice.speed, settings.assistant.seed)
    engine("Hello from visavis, xylograph.")  # unknown words load hibari's second network
    return engine


# -- text -----------------------------------------------------------------------------------------------
def _sentences(written: list[str]) -> list[str]:
    text = normalize(" ".join(filter(None, map(speakable, written))))
    sentences: list[str] = hibari.Hibari.split_sentences(text)
    return sentences


def _spoken_count(word: str) -> int:
    return len(normalize(speakable(word)).split())


def _breaths(words: list[SpokenWord]) -> Iterator[list[SpokenWord]]:
    """Pieces of at most `MAX_PHONEMES` symbols, cut after a comma or the like where there is one."""
    words = [replace(word, symbols=word.symbols[: MAX_PHONEMES - 1]) for word in words]
    while words:
        size, fits, clause = 0, 0, 0
        for word in words:
            size += len(word.symbols) + 1
            if size > MAX_PHONEMES:
                break
            fits += 1
            clause = fits if word.symbols[-1] in _CLAUSE_ENDS else clause
        cut = fits if fits == len(words) else clause or fits
        if any(set(word.symbols) - _PAUSES for word in words[:cut]):
            yield words[:cut]
        words = words[cut:]


# -- time -----------------------------------------------------------------------------------------------
def phones_of(
    symbols: list[str], owners: list[int], durations: NDArray[np.float64], wave: Wave
) -> list[Phone]:
    """Phones that tile the wave, from the network's symbols and their durations in seconds.

    A stress mark has a duration of its own and belongs to the vowel after it; a space and a length mark
    belong to the phone before. The voice gives last phonemes 0.2 to 0.5 s of silence: that becomes "sil".
    """
    total = len(wave) / RATE
    edges = np.clip(np.concatenate([[0.0], np.cumsum(durations)]) - LAG, 0.0, total)
    edges[-1] = total
    level = loudness(wave)
    phones: list[Phone] = []
    begin, stress = 0.0, 0  # of the phone that the marks so far belong to
    for symbol, owner, end in zip(symbols, owners, edges[1:].tolist(), strict=True):
        if symbol in _STRESS:
            stress = _STRESS[symbol]
            continue
        if end <= begin:
            continue
        if symbol in " ː" or unicodedata.category(symbol[0]) in ("Mn", "Lm"):
            if phones:
                phones[-1] = phones[-1]._replace(end=end)
        elif symbol in _PAUSES or symbol in ("<s>", "</s>"):
            phones.append(Phone(SILENCE, begin, end, 0, -1))
        else:
            phones.append(Phone(_IPA.get(symbol, symbol), begin, end, stress, owner))
        begin, stress = end, 0
    return [part for phone in phones for part in _without_hush(phone, level)]


def _without_hush(phone: Phone, level: NDArray[np.float64]) -> list[Phone]:
    """The phone, and the silence at its end as a phone of its own."""
    if phone.symbol == SILENCE or phone.end - phone.start < 2 * HUSH:
        return [phone]
    first = int(phone.start * RATE) // BLOCK
    loud = np.flatnonzero(level[first : int(phone.end * RATE) // BLOCK] > -FLOOR)
    last = phone.start + 0.04 if not len(loud) else (first + int(loud[-1]) + 1) * BLOCK / RATE
    if phone.end - last < HUSH:
        return [phone]
    return [phone._replace(end=last), Phone(SILENCE, last, phone.end, 0, -1)]


def _moved(phone: Phone, seconds: float) -> Phone:
    return phone._replace(start=phone.start + seconds, end=phone.end + seconds)
