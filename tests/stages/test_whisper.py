"""Whisper: halves put together, languages, and what a wrong setting says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from tests.contract.word_errors import word_errors, words

from visavis.audio import to_float
from visavis.errors import ConfigurationError
from visavis.needs import needed_models
from visavis.settings import AssistantSettings, ModelSettings, Settings, StageSettings, WhisperSettings
from visavis.stages import LISTEN_RATE, Samples, asr_whisper, tts_hibari
from visavis.stages.asr_whisper import Whisper, chosen_language, join

QUESTIONS = (
    (Path(__file__).parents[1] / "data" / "questions.txt").read_text(encoding="utf-8").splitlines()[:5]
)


@pytest.fixture(scope="module")
def voice() -> tts_hibari.Hibari:
    return tts_hibari.load(Settings())


@pytest.fixture(scope="module")
def ears() -> Whisper:
    return asr_whisper.load(Settings(whisper=WhisperSettings(language="detect")))


def heard(voice: tts_hibari.Hibari, text: str) -> Samples:
    audio: Samples = soxr.resample(to_float(voice(text).pcm), tts_hibari.RATE, LISTEN_RATE)
    return audio


def settings(language: str = "en", heard: str = "") -> Settings:
    return Settings(assistant=AssistantSettings(language=language), whisper=WhisperSettings(language=heard))


def test_the_weights_are_put_together_in_order(tmp_path: Path) -> None:
    first, second, target = (tmp_path / name for name in ("first", "second", "target"))
    for folder in (first, second, target):
        folder.mkdir()
    (first / "model.bin.part1").write_bytes(b"one ")
    (second / "model.bin.part2").write_bytes(b"two")
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (first / name).write_text(name)
    join(first, target, second)
    assert (target / "model.bin").read_bytes() == b"one two"
    assert (target / "tokenizer.json").read_text() == "tokenizer.json"


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (settings(), "en"),
        (settings("pt-BR"), "pt"),
        (settings("pl", heard="de"), "de"),
        (settings("pl", heard="detect"), None),
    ],
)
def test_the_language_is_chosen_or_detected(given: Settings, chosen: str | None) -> None:
    assert chosen_language(given) == chosen


def test_an_own_model_needs_none_of_ours() -> None:
    stages = StageSettings(asr="whisper")
    assert "whisper-base-part2" in needed_models(Settings(stages=stages))
    own = Settings(stages=stages, whisper=WhisperSettings(model="small"))
    assert not [name for name in needed_models(own) if "whisper" in name]


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    own = WhisperSettings(model=str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match=r"whisper.model is .*nothing"):
        asr_whisper.load(Settings(whisper=own, models=ModelSettings(offline=True)))


@pytest.mark.models
def test_a_language_that_it_does_not_know_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'tlh'"):
        asr_whisper.load(settings("tlh"))


@pytest.mark.models
def test_the_language_of_english_questions_is_detected(voice: tts_hibari.Hibari, ears: Whisper) -> None:
    transcripts = [ears(heard(voice, question)) for question in QUESTIONS]
    errors = sum(word_errors(q, found.text) for q, found in zip(QUESTIONS, transcripts, strict=True))
    assert errors / sum(len(words(question)) for question in QUESTIONS) <= 0.05
    assert np.mean([found.confidence for found in transcripts]) > -0.4
    assert {found.language for found in transcripts} == {"en"}
    assert ears.detects
    assert ears(np.zeros(LISTEN_RATE, np.float32)).language is None


@pytest.mark.models
def test_a_given_language_is_not_detected(voice: tts_hibari.Hibari, ears: Whisper) -> None:
    found = ears(heard(voice, QUESTIONS[0]), "de")
    assert found.text
    assert found.language is None
    assert {"en", "pl", "zh"} <= ears.languages


@pytest.mark.models
def test_a_long_talk_is_heard_in_pieces(voice: tts_hibari.Hibari, ears: Whisper) -> None:
    talk = " ".join(QUESTIONS * 2)
    assert word_errors(talk, ears(heard(voice, talk)).text) / len(words(talk)) <= 0.1
