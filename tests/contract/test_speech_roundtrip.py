"""The voice speaks, and the ears of the same server understand it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from tests.contract.word_errors import word_errors, words

from visavis.audio import to_float
from visavis.settings import Settings
from visavis.stages import (
    LISTEN_RATE,
    VAD_FRAME,
    Samples,
    Speech,
    asr_moonshine,
    end_of_turn_smart_turn,
    tts_hibari,
    vad_silero,
)
from visavis.stages.asr_moonshine import Moonshine
from visavis.stages.end_of_turn_smart_turn import SmartTurn
from visavis.stages.tts_hibari import Hibari
from visavis.stages.vad_silero import Silero

pytestmark = pytest.mark.models

QUESTIONS = (Path(__file__).parents[1] / "data" / "questions.txt").read_text(encoding="utf-8").splitlines()
PAUSE = np.zeros(round(0.192 * LISTEN_RATE), np.float32)
"""The silence after which the end of a turn is judged."""


@pytest.fixture(scope="module")
def voice() -> Hibari:
    return tts_hibari.load(Settings())


@pytest.fixture(scope="module")
def vad() -> Silero:
    return vad_silero.load(Settings())


@pytest.fixture(scope="module")
def end_of_turn() -> SmartTurn:
    return end_of_turn_smart_turn.load(Settings())


@pytest.fixture(scope="module")
def ears() -> Moonshine:
    return asr_moonshine.load(Settings())


def heard(speech: Speech) -> Samples:
    """Speech as the microphone would deliver it."""
    audio: Samples = soxr.resample(to_float(speech.pcm), tts_hibari.RATE, LISTEN_RATE)
    return audio


# -- voice activity ---------------------------------------------------------------------------------------
def probabilities(vad: Silero, audio: Samples) -> list[float]:
    stream = vad.open()
    return [stream(frame) for frame in audio[: len(audio) // VAD_FRAME * VAD_FRAME].reshape(-1, VAD_FRAME)]


@pytest.mark.parametrize("question", QUESTIONS[:5])
def test_a_voice_is_noticed_while_it_speaks(vad: Silero, voice: Hibari, question: str) -> None:
    silence = np.zeros(LISTEN_RATE, np.float32)
    speech = voice(question)
    found = probabilities(vad, np.concatenate([silence, heard(speech), silence]))
    frames = LISTEN_RATE // VAD_FRAME
    first, last = (1 + time for time in (speech.words[0].start, speech.words[-1].end))
    spoken = found[round(first * frames) : round(last * frames)]
    assert max(found[: frames - 1]) < 0.35
    assert np.mean([probability > 0.5 for probability in spoken]) > 0.8
    assert max(found[-frames // 2 :]) < 0.35


def test_hiss_is_no_voice(vad: Silero) -> None:
    hiss = (np.random.default_rng(0).standard_normal(2 * LISTEN_RATE) * 0.02).astype(np.float32)
    assert max(probabilities(vad, hiss)) < 0.5


# -- end of turn ------------------------------------------------------------------------------------------
def test_complete_questions_end_the_turn(end_of_turn: SmartTurn, voice: Hibari) -> None:
    answers = [end_of_turn(np.concatenate([heard(voice(question)), PAUSE])) for question in QUESTIONS[:12]]
    assert np.mean([answer > 0.5 for answer in answers]) > 0.9
    assert np.mean(answers) > 0.9


UNFINISHED = (
    ("Can you tell me a story about a dragon?", 7),
    ("My name is Alice and I live in London.", 5),
    ("Where can I find the documentation?", 5),
    ("I would like to know how it works.", 7),
    ("What do you think about music?", 5),
    ("What is the weather like today?", 5),
)
"""Sentences, and after how many words they are cut off."""


@pytest.mark.parametrize(("sentence", "count"), UNFINISHED)
def test_a_cut_sentence_is_less_finished_than_the_whole(
    end_of_turn: SmartTurn, voice: Hibari, sentence: str, count: int
) -> None:
    speech = voice(sentence)
    whole = heard(speech)
    cut = whole[: round(speech.words[count - 1].end * LISTEN_RATE)]
    assert end_of_turn(np.concatenate([whole, PAUSE])) > 0.9
    assert end_of_turn(cut) < 0.5


# -- transcripts ------------------------------------------------------------------------------------------
def test_the_spoken_questions_are_understood(voice: Hibari, ears: Moonshine) -> None:
    assert len(QUESTIONS) >= 25
    transcripts = [ears(heard(voice(question))) for question in QUESTIONS]
    pairs = list(zip(QUESTIONS, transcripts, strict=True))
    errors = sum(word_errors(question, transcript.text) for question, transcript in pairs)
    assert errors / sum(len(words(question)) for question in QUESTIONS) <= 0.05
    assert np.mean([transcript.confidence for transcript in transcripts]) > -0.3
    punctuated = [transcript.text.endswith((".", "?", "!")) for transcript in transcripts]
    assert np.mean(punctuated) > 0.9


def test_late_speech_is_understood(voice: Hibari, ears: Moonshine) -> None:
    silence = np.zeros(3 * LISTEN_RATE, np.float32)
    transcript = ears(np.concatenate([silence, heard(voice(QUESTIONS[5])), silence[:LISTEN_RATE]]))
    assert word_errors(QUESTIONS[5], transcript.text) == 0


def test_a_long_talk_is_heard_in_pieces(voice: Hibari, ears: Moonshine) -> None:
    talk = " ".join(QUESTIONS[:20])
    audio = heard(voice(talk))
    assert len(audio) > 30 * LISTEN_RATE
    assert word_errors(talk, ears(audio).text) / len(words(talk)) <= 0.05


def test_the_beginning_of_a_question_gives_its_first_words(voice: Hibari, ears: Moonshine) -> None:
    """Partial transcripts while somebody is still talking do not invent or repeat words."""
    for question in QUESTIONS[:8]:
        audio = heard(voice(question))
        partial = words(ears(audio[: round(0.64 * LISTEN_RATE)]).text)
        assert 0 < len(partial) <= 6
        assert all(first != second for first, second in pairwise(partial))
        assert partial[0] == words(question)[0]


@pytest.mark.parametrize("text", ["It costs $19.99.", "Meet me at 7:30 pm.", "25% of 1,250 is 312.5."])
def test_numbers_are_spoken_as_a_person_would(voice: Hibari, ears: Moonshine, text: str) -> None:
    """The recogniser writes numbers as figures or as words: what is spoken again must sound the same."""
    once = ears(heard(voice(text))).text
    assert word_errors(once, ears(heard(voice(once))).text) == 0
