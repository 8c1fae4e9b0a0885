"""A conversation in Polish: what is heard, and what the demo brain answers."""

from __future__ import annotations

import asyncio

import pytest
import soxr
from tests.contract.word_errors import word_errors, words
from tests.espeak import needs_espeak

from visavis.audio import to_float
from visavis.needs import needed_models
from visavis.settings import AssistantSettings, Settings, StageSettings
from visavis.stages import LISTEN_RATE, Message, asr_whisper, llm_demo, tts_espeak

POLISH = Settings(
    assistant=AssistantSettings(language="pl"), stages=StageSettings(asr="whisper", tts="espeak")
)


def answer(settings: Settings) -> str:
    async def collect() -> str:
        pieces = llm_demo.load(settings).reply([Message("user", "Cześć!")])
        return "".join([piece async for piece in pieces])

    return asyncio.run(collect())


def test_the_demo_brain_says_in_polish_that_it_only_speaks_english() -> None:
    assert "tylko po angielsku" in answer(POLISH)
    assert "minilm" not in needed_models(POLISH)


def test_in_a_language_without_a_sentence_it_says_so_in_english() -> None:
    assert "nothing but English" in answer(Settings(assistant=AssistantSettings(language="uk")))


@needs_espeak
@pytest.mark.models
def test_spoken_polish_is_written_down_as_polish() -> None:
    """The robot's voice is hard to understand: this sentence is one of those that are understood."""
    text = "Dzień dobry, jak się dzisiaj masz?"
    speech = tts_espeak.load(POLISH)(text)
    audio = soxr.resample(to_float(speech.pcm), tts_espeak.Espeak.rate, LISTEN_RATE)
    heard = asr_whisper.load(POLISH)(audio)
    assert word_errors(text, heard.text) <= len(words(text)) // 2
