"""A conversation in Polish: what is heard, and what the demo brain answers."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
import soxr
from tests.contract.word_errors import word_errors, words
from tests.espeak import needs_espeak

from visavis.audio import to_float
from visavis.needs import needed_models
from visavis.settings import AssistantSettings, Settings, StageSettings, VoiceSettings, WhisperSettings
from visavis.spoken_clock_pl import polish_clock
from visavis.stages import LISTEN_RATE, Message, asr_whisper, llm_demo, tts_espeak

POLISH = Settings(
    assistant=AssistantSettings(language="pl"), stages=StageSettings(asr="whisper", tts="espeak")
)


def answer(settings: Settings, text: str = "Cześć!", language: str | None = None) -> str:
    async def collect() -> str:
        pieces = llm_demo.load(settings).reply([Message("user", text, language)])
        return "".join([str(piece) async for piece in pieces])

    return asyncio.run(collect())


def speaking(language: str) -> Settings:
    return Settings(assistant=AssistantSettings(language=language))


def test_the_demo_brain_answers_polish_in_polish_without_a_model() -> None:
    assert "Miło cię poznać" in answer(POLISH)
    assert "Visavis" in answer(POLISH, "Jak masz na imię?")
    assert (
        answer(POLISH, "Kto napisał Lalkę?")
        == "Tego niestety nie wiem. Jestem tylko małą wersją demonstracyjną."
    )
    assert "minilm" not in needed_models(POLISH)


def test_every_message_may_be_in_a_language_of_its_own() -> None:
    assert "Miło cię poznać" in answer(speaking("de"), language="pl")
    assert "Deutsch" in answer(POLISH, "Guten Tag!", "de")
    assert "Tego niestety" in answer(POLISH, "Who wrote Hamlet?", "en")  # the English brain is not loaded


def test_in_a_language_without_replies_it_says_so() -> None:
    assert "auf Deutsch" in answer(speaking("de-AT"))
    assert "nothing but English" in answer(speaking("uk"))


@pytest.mark.models
def test_where_languages_are_detected_both_brains_answer() -> None:
    settings = Settings(stages=StageSettings(asr="whisper"), whisper=WhisperSettings(language="detect"))
    assert "minilm" in needed_models(settings)
    assert "Visavis" in answer(settings, "What is your name?")
    assert "Visavis" in answer(settings, "Jak masz na imię?", "pl")
    elsewhere = settings.model_copy(update={"assistant": AssistantSettings(language="pl")})
    assert "minilm" in needed_models(elsewhere)


# -- the clock ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [
        (14, 30, "czternasta trzydzieści"),
        (9, 5, "dziewiąta zero pięć"),
        (2, 0, "druga"),
        (3, 59, "trzecia pięćdziesiąt dziewięć"),
        (21, 12, "dwudziesta pierwsza dwanaście"),
        (0, 1, "dwunasta zero jeden w nocy"),
    ],
)
def test_the_time_in_polish(hour: int, minute: int, said: str) -> None:
    assert polish_clock(datetime(2026, 11, 21, hour, minute))["time"] == said


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (datetime(2026, 11, 21), "dwudziesty pierwszy listopada dwa tysiące dwudziestego szóstego roku"),
        (datetime(2030, 3, 3), "trzeci marca dwa tysiące trzydziestego roku"),
        (datetime(2043, 1, 12), "dwunasty stycznia dwa tysiące czterdziestego trzeciego roku"),
        (datetime(2011, 8, 2), "drugi sierpnia dwa tysiące jedenastego roku"),
    ],
)
def test_the_date_in_polish(day: datetime, said: str) -> None:
    assert polish_clock(day)["date"] == said


def test_the_weekday_in_polish() -> None:
    assert polish_clock(datetime(2026, 11, 21))["weekday"] == "sobota"


@needs_espeak
@pytest.mark.models
def test_spoken_polish_is_detected_and_written_down() -> None:
    """A robot's voice is hard to understand, but sentences of some length are."""
    texts = (
        "Dzień dobry, chciałbym porozmawiać o pogodzie w Polsce.",
        "Przepraszam, nie mam na to odpowiedzi. Nie wiem, co powiedzieć.",
    )
    slow = VoiceSettings(speed=110 / tts_espeak.WORDS_A_MINUTE)
    voice = tts_espeak.load(POLISH.model_copy(update={"voice": slow}))
    ears = asr_whisper.load(Settings(whisper=WhisperSettings(language="detect")))
    heard = [ears(soxr.resample(to_float(voice(text).pcm), voice.rate, LISTEN_RATE)) for text in texts]
    assert [found.language for found in heard] == ["pl", "pl"]
    errors = sum(word_errors(text, found.text) for text, found in zip(texts, heard, strict=True))
    assert errors <= 0.15 * sum(len(words(text)) for text in texts)
