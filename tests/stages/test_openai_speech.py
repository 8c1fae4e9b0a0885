"""The voice behind a server: a real socket, and a server that misbehaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from tests.speech_server import KEY, RATE, Exchange, serving, speak, tone

from visavis.audio import to_float
from visavis.configuration import load_settings
from visavis.errors import ConfigurationError, VisavisError
from visavis.settings import Settings, SpeechSettings, VoiceSettings
from visavis.stages import Speech, StreamedTextToSpeech, tts_openai
from visavis.stages import openai_server as shared
from visavis.stages.tts_openai import Edges, OpenAISpeech

Handle = Callable[[Exchange], None]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "BACK_OFF", 0.0)


def voice_of(url: str, speed: float = 1.0, **more: Any) -> OpenAISpeech:
    settings = SpeechSettings(**({"url": url, "key": SecretStr(KEY)} | more))
    return tts_openai.load(Settings(speech=settings, voice=VoiceSettings(speed=speed)))


def say(handle: Handle, text: str = "Hello there.", **more: Any) -> list[Speech]:
    """The pieces of `text`, streamed."""

    async def main(url: str) -> list[Speech]:
        voice = voice_of(url, **more)
        try:
            return [piece async for piece in voice.stream(text)]
        finally:
            await voice.aclose()

    with serving(handle) as server:
        return asyncio.run(main(server.url))


def refusal(handle: Handle, **more: Any) -> VisavisError:
    with pytest.raises(VisavisError) as caught:
        say(handle, **more)
    assert KEY not in str(caught.value)
    return caught.value


def test_asks_for_pcm_and_passes_the_settings() -> None:
    seen: list[tuple[str, str | None, Any]] = []

    def handle(exchange: Exchange) -> None:
        seen.append((exchange.path, exchange.headers["authorization"], exchange.body))
        speak(exchange)

    pieces = say(handle, model="small", voice="anna")
    assert seen == [
        (
            "/v1/audio/speech",
            f"Bearer {KEY}",
            {"model": "small", "voice": "anna", "response_format": "pcm", "input": "Hello there."},
        )
    ]
    assert all(piece.words == () and piece.phonemes is None for piece in pieces)
    say(handle, speed=1.5)
    assert seen[-1][2]["speed"] == 1.5


def test_silence_around_the_sound_is_taken_off() -> None:
    sound = to_float(b"".join(piece.pcm for piece in say(speak)))
    assert len(sound) / RATE == pytest.approx(0.02 + 0.05 * len("Hello there.") + 0.12, abs=0.005)
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    assert loud[0] < 0.025 * RATE


def test_sound_is_heard_before_all_of_it_is_made() -> None:
    heard = threading.Event()

    def handle(exchange: Exchange) -> None:
        exchange.begin()
        exchange.piece(tone(0.2))
        assert heard.wait(10)
        exchange.piece(tone(0.2))

    async def main(url: str) -> int:
        voice, count = voice_of(url), 0
        async with aclosing(voice.stream("Hello.")) as pieces:
            async for _ in pieces:
                heard.set()
                count += 1
        await voice.aclose()
        return count

    with serving(handle) as server:
        assert asyncio.run(main(server.url)) >= 2


def test_closing_it_closes_the_request() -> None:
    def handle(exchange: Exchange) -> None:
        exchange.begin()
        while True:
            exchange.piece(tone(0.5))

    async def main(url: str) -> None:
        voice = voice_of(url)
        async with aclosing(voice.stream("Hello.")) as pieces:
            await anext(pieces)
        await voice.aclose()

    with serving(handle) as server:
        asyncio.run(main(server.url))
        assert server.gone.wait(10)


def test_all_at_once_is_the_same_sound() -> None:
    with serving(speak) as server:
        speech = voice_of(server.url)("Hello there.")
    assert speech.pcm == b"".join(piece.pcm for piece in say(speak))
    assert (speech.words, speech.phonemes) == ((), None)
    assert isinstance(voice_of("http://127.0.0.1:1"), StreamedTextToSpeech)


def test_nothing_is_asked_about_marks() -> None:
    def handle(exchange: Exchange) -> None:
        raise AssertionError

    assert say(handle, "...") == []


@pytest.mark.parametrize("status", [429, 503])
def test_passing_refusals_are_tried_again(status: int) -> None:
    asked: list[int] = []

    def handle(exchange: Exchange) -> None:
        asked.append(1)
        if len(asked) < 3:
            exchange.refuse(status, "busy")
        else:
            speak(exchange)

    assert say(handle)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "message", "hint", "tries"),
    [
        (401, f"Incorrect API key provided: {KEY}", "VISAVIS_SPEECH_KEY", 1),
        (400, "Invalid value: 'nobody'. Supported values are: 'alloy'", "speech.voice", 1),
        (404, "The model does not exist", "speech.model", 1),
        (429, "You exceeded your current quota", "quota", 3),
    ],
)
def test_refusals_say_what_to_do(status: int, message: str, hint: str, tries: int) -> None:
    asked: list[int] = []

    def handle(exchange: Exchange) -> None:
        asked.append(1)
        exchange.refuse(status, message)

    error = refusal(handle)
    assert error.code == "SPEECH_REFUSED"
    assert message.replace(KEY, "(key)") in str(error)
    assert hint in str(error)
    assert len(asked) == tries


@pytest.mark.parametrize(
    ("kind", "data"), [("audio/mpeg", b"ID3\x04"), ("audio/wav", b"RIFF"), ("application/json", b"{}")]
)
def test_what_is_not_pcm_is_not_played(kind: str, data: bytes) -> None:
    def handle(exchange: Exchange) -> None:
        exchange.begin(kind)
        exchange.piece(data + tone(0.2))

    error = refusal(handle)
    assert error.code == "SPEECH_REFUSED"
    assert kind in str(error)


def test_a_server_that_says_nothing_is_given_up() -> None:
    over = threading.Event()

    def handle(exchange: Exchange) -> None:
        over.wait(10)

    try:
        assert refusal(handle, timeout_seconds=0.05).code == "SPEECH_TIMEOUT"
    finally:
        over.set()


def test_a_server_that_breaks_off_is_not_asked_again() -> None:
    asked: list[int] = []

    def handle(exchange: Exchange) -> None:
        asked.append(1)
        exchange.send_response(200)
        exchange.send_header("content-length", "1000000")
        exchange.end_headers()
        exchange.piece(tone(0.5))

    assert refusal(handle).code == "SPEECH_UNREACHABLE"
    assert len(asked) == 1


def test_sound_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts_openai, "LONGEST_SOUND", 2)

    def handle(exchange: Exchange) -> None:
        exchange.begin()
        while True:
            exchange.piece(tone(0.5))

    assert "does not end" in str(refusal(handle))


def test_a_server_that_is_not_there_is_named_and_known() -> None:
    voice = voice_of("http://user:secret@127.0.0.1:1/v1")
    with pytest.raises(VisavisError) as caught:
        voice("Hello.")
    assert caught.value.code == "SPEECH_UNREACHABLE"
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert voice.problem == str(caught.value)


def test_a_sample_that_comes_in_two_halves_is_one() -> None:
    sound = tone(0.1, 0.9)
    edges, whole = Edges(RATE), b""
    for index in range(0, len(sound), 7):
        whole += edges(sound[index : index + 7])
    whole += edges.end()
    first = np.flatnonzero(np.abs(to_float(sound)) > tts_openai.SILENCE)[0]
    assert first * 2 <= 0.02 * RATE * 2
    assert whole == sound


def test_a_long_silence_inside_is_kept() -> None:
    edges = Edges(RATE)
    sound = edges(tone(0.2)) + edges(bytes(RATE)) + edges(tone(0.2)) + edges.end()
    assert len(sound) == pytest.approx(2 * RATE * 0.9, abs=200)


def test_without_an_address_it_says_so() -> None:
    with pytest.raises(ConfigurationError, match="VISAVIS_SPEECH_URL"):
        tts_openai.load(Settings())


def test_an_address_chooses_it(tmp_path: Path) -> None:
    given = {"VISAVIS_SPEECH_URL": "http://localhost:8880/v1", "ASSISTANT_LANGUAGE": "pl"}
    assert load_settings({}, None, given, tmp_path).stages.tts == "openai"
