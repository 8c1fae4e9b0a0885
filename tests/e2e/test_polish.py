"""Polish in, Polish out: spoken questions into a real server's microphone, spoken answers with their lips."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from tests.contract.word_errors import word_errors, words
from tests.core.test_visemes import gap
from tests.espeak import needs_espeak
from tests.process import server
from websockets.asyncio.client import ClientConnection, connect

from visavis.arkit import NAMES
from visavis.audio import to_pcm
from visavis.clauses import ClauseCutter
from visavis.emotions import read
from visavis.events import Phoneme
from visavis.settings import AssistantSettings, Settings
from visavis.stages import LISTEN_RATE, tts_espeak
from visavis.stages.espeak_library import library
from visavis.stages.replies import read_bank

QUESTIONS = {
    "Kim jesteś?": "who_are_you",
    "Jak się masz?": "how_are_you",
    "Skąd jesteś?": "where_are_you_from",
    "Potrzebuję pomocy.": "help",
    "Jaka jest stolica Polski?": "facts",
}
"""Whisper's `base` always understands these in a robot's voice; of 26 such questions, half of the words."""
SLOWLY = 110
"""Words a minute of the one who asks."""
FPS, RATE = 30, 24_000
PIECE = LISTEN_RATE // 10


@dataclass
class Exchange:
    heard: str = ""
    said: str = ""
    frames: list[list[float]] = field(default_factory=list)
    """Weights in the order of `NAMES`."""
    samples: int = 0
    errors: list[str] = field(default_factory=list)


def spoken(texts: Iterable[str]) -> list[NDArray[np.float32]]:
    """In a process of its own: the flutter of the voice goes on from where the last use of it ended."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_spoken, texts))


def _spoken(text: str) -> NDArray[np.float32]:
    wave, _ = library().speak(text, "pl", SLOWLY)
    sound: NDArray[np.float32] = soxr.resample(wave, library().rate, LISTEN_RATE)
    return sound


async def ask(socket: ClientConnection, question: NDArray[np.float32]) -> Exchange:
    """Speak into the microphone while a button is held; return when the answer has been heard."""
    exchange = Exchange()
    start = {"type": "audio_stream_start", "sampleRate": LISTEN_RATE, "handsFree": False}
    await socket.send(json.dumps(start))
    sound = np.concatenate([np.zeros(LISTEN_RATE // 2, np.float32), question])
    for at in range(0, len(sound), PIECE):
        await socket.send(to_pcm(sound[at : at + PIECE]))
    await socket.send(json.dumps({"type": "audio_stream_end"}))
    async with asyncio.timeout(60):
        while not exchange.said:
            take(exchange, json.loads(await socket.recv()))
    return exchange


def take(exchange: Exchange, message: dict[str, Any]) -> None:
    match message:
        case {"type": "transcript_done", "role": "user"}:
            exchange.heard = message["text"]
        case {"type": "transcript_done", "role": "assistant"}:
            exchange.said = message["text"]
        case {"type": "sync_frame"}:
            exchange.frames.append([message["weights"][name] for name in NAMES])
            exchange.samples += len(base64.b64decode(message["audio"])) // 2
        case {"type": "error"}:
            exchange.errors.append(message["message"])


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exchange]:
    sounds = dict(zip(QUESTIONS, spoken(QUESTIONS), strict=True))

    async def talk(url: str) -> dict[str, Exchange]:
        async with connect(url, max_size=None) as socket:
            return {question: await ask(socket, sound) for question, sound in sounds.items()}

    with server(tmp_path_factory.mktemp("polish"), ASSISTANT_LANGUAGE="pl") as started:
        return asyncio.run(talk(started.ws))


pytestmark = [needs_espeak, pytest.mark.models]


def test_the_questions_are_understood(exchanges: dict[str, Exchange]) -> None:
    errors = {question: word_errors(question, it.heard) for question, it in exchanges.items()}
    assert sum(errors.values()) <= 0.1 * sum(len(words(question)) for question in QUESTIONS), {
        question: exchanges[question].heard for question in errors if errors[question]
    }


def test_each_is_answered_in_polish_by_what_was_asked_for(exchanges: dict[str, Exchange]) -> None:
    bank = read_bank(files("visavis").joinpath("data/replies.pl.yaml").read_text(encoding="utf-8"))
    replies = {entry.id: [" ".join(read(reply)[0]) for reply in entry.replies] for entry in bank}
    for question, it in exchanges.items():
        assert it.said in replies[QUESTIONS[question]], question
        assert not it.errors


def test_the_lips_close_where_the_answers_say_so(exchanges: dict[str, Exchange]) -> None:
    right = [closed(it) for it in exchanges.values()]
    late = [closed(it, shift=0.15) for it in exchanges.values()]
    count = sum(map(len, right))
    assert count >= 15
    assert sum(map(sum, right)) >= 0.95 * count
    assert sum(map(sum, late)) <= 0.6 * count  # closed there, and not everywhere


def test_every_frame_is_one_of_sound(exchanges: dict[str, Exchange]) -> None:
    for it in exchanges.values():
        assert it.samples == len(it.frames) * RATE // FPS
        assert abs(it.samples / RATE - length_of(it.said)) < 0.1


# -- what the face should do ------------------------------------------------------------------------------
def phonemes_of(text: str) -> tuple[list[Phoneme], float]:
    """When each phoneme of the answer sounds, and how long all of it takes."""
    voice = tts_espeak.load(Settings(assistant=AssistantSettings(language="pl")))
    cutter = ClauseCutter()
    at, found = 0.0, list[Phoneme]()
    for clause in [*cutter.feed(text), *cutter.close()]:
        speech = voice(clause, "pl")
        found += [Phoneme(p.symbol, p.start + at, p.end + at) for p in speech.phonemes or ()]
        at += len(speech.pcm) / 2 / voice.rate
    return found, at


def length_of(text: str) -> float:
    return phonemes_of(text)[1]


def closed(it: Exchange, shift: float = 0.0) -> list[bool]:
    """For each p, b and m of the answer: whether the lips meet while it sounds, or `shift` seconds later."""
    phonemes, _ = phonemes_of(it.said)
    weights = np.array(it.frames, np.float32)
    distance = gap(weights)
    vowels = [distance[frames(p, 0.0)].max() for p in phonemes if p.symbol in ("a", "ɔ", "ɛ")]
    lips = [p for p in phonemes if p.symbol[:1] in ("p", "b", "m") and p.end - p.start >= 0.04]
    shown = [distance[frames(p, shift)] for p in lips]
    return [bool(part.min() <= 0.15 * np.mean(vowels)) for part in shown if len(part)]


def frames(phoneme: Phoneme, shift: float) -> slice:
    """Those that are shown while it sounds; at least one."""
    first = int((phoneme.start + shift) * FPS)
    return slice(first, max(first + 1, int(np.ceil((phoneme.end + shift) * FPS))))
