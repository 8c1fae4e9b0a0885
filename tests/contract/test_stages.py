"""What every plug-in of a stage must do. To hold another one to it, add its name to the lists below."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.espeak import needs_espeak

from visavis import plugins
from visavis.audio import BYTES, to_float
from visavis.settings import Settings
from visavis.stages import (
    LISTEN_RATE,
    VAD_FRAME,
    EndOfTurn,
    Samples,
    Speech,
    SpeechToText,
    TextToSpeech,
    VoiceActivity,
)
from visavis.stages.tts_espeak import Espeak

VAD = ("silero",)
END_OF_TURN = ("smart_turn", pytest.param("tests.stage_server:load_end_of_turn", id="remote"))
ASR = ("moonshine", "whisper", pytest.param("tests.stage_server:load_asr", id="remote"))
TTS = (
    "hibari",
    pytest.param("espeak", marks=needs_espeak),
    pytest.param("piper", marks=needs_espeak),
    pytest.param("tests.tiny_kokoro:load", id="kokoro"),  # the real one is as slow as speech itself
    pytest.param("tests.speech_server:load", id="openai"),
    pytest.param("tests.stage_server:load_tts", id="remote"),
    pytest.param("examples.handler_template.visavis_tone:load", id="template"),
)

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def loaded() -> Iterator[Callable[[str, str], Any]]:
    """Loads each engine once; they are shared by all tests as they are by all sessions of a server."""
    engines: dict[tuple[str, str], Any] = {}

    def engine(group: str, name: str) -> Any:
        if (group, name) not in engines:
            engines[group, name] = plugins.load(group, name, Settings())
        return engines[group, name]

    yield engine
    for each in engines.values():
        asyncio.run(plugins.close(each))
    engines.clear()


@pytest.fixture(params=VAD)
def vad(request: pytest.FixtureRequest, loaded: Callable[[str, str], Any]) -> VoiceActivity:
    return cast(VoiceActivity, loaded("vad", request.param))


@pytest.fixture(params=END_OF_TURN)
def end_of_turn(request: pytest.FixtureRequest, loaded: Callable[[str, str], Any]) -> EndOfTurn:
    return cast(EndOfTurn, loaded("end_of_turn", request.param))


@pytest.fixture(params=ASR)
def asr(request: pytest.FixtureRequest, loaded: Callable[[str, str], Any]) -> SpeechToText:
    return cast(SpeechToText, loaded("asr", request.param))


@pytest.fixture(params=TTS)
def tts(request: pytest.FixtureRequest, loaded: Callable[[str, str], Any]) -> TextToSpeech:
    return cast(TextToSpeech, loaded("tts", request.param))


def hiss(seconds: float, level: float = 0.1) -> Samples:
    return (
        np.random.default_rng(7).standard_normal(round(seconds * LISTEN_RATE)).clip(-3, 3) * level / 3
    ).astype(np.float32)


SOUNDS = {
    "nothing": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
    "a click": np.eye(1, 1_600, 800, dtype=np.float32)[0],
    "silence": np.zeros(LISTEN_RATE, np.float32),
    "hiss": hiss(2.0),
    "full scale": np.sign(hiss(1.0)),
    "more than the longest piece": hiss(33.0),
}
sounds = pytest.mark.parametrize("audio", SOUNDS.values(), ids=SOUNDS.keys())


# -- voice activity ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.1, 1.0])
def test_voice_activity_is_a_probability(vad: VoiceActivity, level: float) -> None:
    stream = vad.open()
    for frame in hiss(0.64, level).reshape(-1, VAD_FRAME):
        assert 0.0 <= stream(frame) <= 1.0


def test_microphones_do_not_hear_each_other(vad: VoiceActivity) -> None:
    loud, soft = (hiss(0.64, level).reshape(-1, VAD_FRAME) for level in (1.0, 0.01))
    alone = [list(map(vad.open(), frames)) for frames in (loud, soft)]
    first, second = vad.open(), vad.open()
    together = [(first(a), second(b)) for a, b in zip(loud, soft, strict=True)]
    assert [list(answers) for answers in zip(*together, strict=True)] == alone


# -- end of turn -------------------------------------------------------------------------------------------
@sounds
def test_end_of_turn_is_a_probability(end_of_turn: EndOfTurn, audio: Samples) -> None:
    before = audio.copy()
    assert 0.0 <= end_of_turn(audio) <= 1.0
    assert np.array_equal(audio, before)


def test_end_of_turn_answers_several_threads(end_of_turn: EndOfTurn) -> None:
    same_from_threads(end_of_turn, [hiss(1.0, level) for level in (0.05, 0.1, 0.2, 0.3)])


# -- speech to text ----------------------------------------------------------------------------------------
@sounds
def test_any_sound_has_a_transcript(asr: SpeechToText, audio: Samples) -> None:
    before = audio.copy()
    heard = asr(audio)
    assert heard.text == heard.text.strip()
    assert heard.confidence <= 0.0
    assert np.array_equal(audio, before)


@pytest.mark.parametrize("sound", ["nothing", "silence"])
def test_silence_has_no_words(asr: SpeechToText, sound: str) -> None:
    assert asr(SOUNDS[sound]).text == ""


def test_speech_to_text_answers_several_threads(asr: SpeechToText) -> None:
    same_from_threads(asr, [hiss(1.0, level) for level in (0.05, 0.1, 0.2, 0.3)])


# -- text to speech ------------------------------------------------------------------------------------------
SENTENCES = (
    "Hello there, how can I help you?",
    "It costs $19.99, or 25% off, until 7:30 pm on 3/4/2024.",
    "Dr. Smith & Mr. Jones paid $3 billion, e.g. to bob@example.com, see https://example.com/docs!",
    "Great 😀 job! — **Well** done…",
    "Wait, what?!\nNo way.\n\n- one\n- two",
    "yes",
    "word " * 150,
)


@pytest.mark.parametrize("text", SENTENCES, ids=lambda text: text[:20])
def test_speech_has_ordered_words_and_gapless_phonemes(tts: TextToSpeech, text: str) -> None:
    speech = tts(text)
    assert_well_timed(speech, tts.rate)
    assert [word.text for word in speech.words] == (text.split() if speech.phonemes is not None else [])
    assert len(speech.pcm) > 0.2 * tts.rate * BYTES


@pytest.mark.parametrize("text", ["", "   \n ", "...", "😀", "—"])
def test_what_cannot_be_pronounced_takes_no_time(tts: TextToSpeech, text: str) -> None:
    speech = tts(text)
    assert speech.pcm == b""
    assert not speech.words
    assert not speech.phonemes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=120) | st.text("a1.,:$%/@#-'\"’() \n", max_size=120))
def test_any_text_gives_well_timed_speech(tts: TextToSpeech, text: str) -> None:
    assert_well_timed(tts(text), tts.rate)


def test_it_says_what_it_speaks_and_speaks_it(tts: TextToSpeech) -> None:
    assert tts.languages
    for language in sorted(tts.languages)[:5]:
        assert_well_timed(tts("Mama.", language), tts.rate)


def test_speech_begins_at_once_and_ends_soon(tts: TextToSpeech) -> None:
    level = np.abs(to_float(tts("Hello there, my friend.").pcm))
    loud = np.flatnonzero(level > 0.02)
    assert loud[0] < 0.15 * tts.rate
    assert len(level) - loud[-1] < 0.4 * tts.rate
    assert 0.2 < level.max() < 1.0


def test_equal_text_gives_equal_speech_on_any_thread(tts: TextToSpeech) -> None:
    def said(text: str) -> object:
        speech = tts(text)
        if isinstance(tts, Espeak):  # its flutter goes on from call to call
            return [word.text for word in speech.words], [p.symbol for p in speech.phonemes or ()]
        return speech

    same_from_threads(said, ["Hello.", "How are you?", "A xylograph, in Visavis.", "One, two, three."])


# -- helpers -------------------------------------------------------------------------------------------------
def same_from_threads(call: Callable[[Any], Any], questions: list[Any]) -> None:
    alone = [call(question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(call, questions * 3))
    assert together == alone * 3


def assert_well_timed(speech: Speech, rate: int) -> None:
    assert len(speech.pcm) % BYTES == 0
    seconds = len(speech.pcm) / BYTES / rate
    times = [0.0, *(time for word in speech.words for time in (word.start, word.end)), seconds]
    assert all(first <= second + 1e-9 for first, second in pairwise(times)), speech.words
    if speech.phonemes:
        assert speech.phonemes[0].start == 0.0
        assert speech.phonemes[-1].end == pytest.approx(seconds)
        assert all(phoneme.start < phoneme.end for phoneme in speech.phonemes)
        assert all(first.end == second.start for first, second in pairwise(speech.phonemes))
        assert {phoneme.stress for phoneme in speech.phonemes} <= {0, 1, 2}
        assert all(phoneme.symbol.isalpha() for phoneme in speech.phonemes)
