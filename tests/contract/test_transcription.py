"""Speech to text by a server: a client of a real one over a real socket, which misbehaves."""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from visavis.audio import to_float
from visavis.errors import ConfigurationError, VisavisError
from visavis.settings import AssistantSettings, Settings, TranscriptionSettings
from visavis.stages import LISTEN_RATE, Samples, Transcript, asr_openai, openai_server
from visavis.stages.asr_openai import OpenAITranscription

KEY = "sk-very-secret"
TONE: Samples = (np.sin(np.arange(LISTEN_RATE) / 10) / 2).astype(np.float32)
SEGMENTS = [{"text": " Dzień dobry.", "avg_logprob": -0.25, "no_speech_prob": 0.1, "start": 0.0}]
VERBOSE = {"text": "Dzień dobry.", "language": "polish", "duration": 1.0, "segments": SEGMENTS}


@dataclass
class Asked:
    """One request as the server got it."""

    path: str
    key: str
    fields: dict[str, str]
    audio: Samples


@dataclass
class Server:
    """Answers with `status` and `body`, one after the other; the last ones again and again."""

    answers: list[tuple[int, str]]
    asked: list[Asked] = field(default_factory=list)
    hang: Event | None = None
    """Answers when it is set."""
    url: str = ""

    def answer(self, asked: Asked) -> tuple[int, str]:
        self.asked.append(asked)
        if self.hang is not None:
            self.hang.wait(10)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def answers(*bodies: Any, status: int = 200) -> list[tuple[int, str]]:
    return [(status, body if isinstance(body, str) else json.dumps(body)) for body in bodies]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            boundary = re.search("boundary=(.+)", self.headers["Content-Type"])
            assert boundary
            status, text = server.answer(_asked(self, body, boundary[1]))
            data = text.encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                pass

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
        try:
            yield server
        finally:
            if server.hang is not None:
                server.hang.set()
            listening.shutdown()
            thread.join()


def _asked(handler: BaseHTTPRequestHandler, body: bytes, boundary: str) -> Asked:
    fields: dict[str, str] = {}
    audio = np.zeros(0, np.float32)
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        assert name
        if name[1] == b"file":
            assert b'filename="speech.wav"' in head
            with wave.open(io.BytesIO(content.removesuffix(b"\r\n"))) as sound:
                assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
                assert sound.getframerate() == LISTEN_RATE
                audio = to_float(sound.readframes(sound.getnframes()))
        else:
            fields[name[1].decode()] = content.removesuffix(b"\r\n").decode()
    return Asked(handler.path, handler.headers["Authorization"], fields, audio)


@contextmanager
def ears(server: Server, **more: Any) -> Iterator[OpenAITranscription]:
    values: dict[str, Any] = {"url": server.url, "key": SecretStr(KEY)} | more
    engine = asr_openai.load(
        Settings(assistant=AssistantSettings(language="pl"), transcription=TranscriptionSettings(**values))
    )
    try:
        yield engine
    finally:
        engine.close()


def hear(server: Server, **more: Any) -> Transcript:
    with running(server), ears(server, **more) as engine:
        return engine(TONE)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_server, "BACK_OFF", 0.0)


# -- what is sent, and what is understood ------------------------------------------------------------------
def test_sends_a_wav_file_and_the_settings() -> None:
    server = Server(answers(VERBOSE))
    heard = hear(server, model="large", prompt="Visavis")
    assert heard == Transcript("Dzień dobry.", -0.25)
    (asked,) = server.asked
    assert (asked.path, asked.key) == ("/v1/audio/transcriptions", f"Bearer {KEY}")
    assert asked.fields == {
        "model": "large",
        "language": "pl",
        "prompt": "Visavis",
        "response_format": "verbose_json",
    }
    assert np.abs(asked.audio - TONE).max() < 1e-3


def test_the_language_is_detected_when_it_is_to_be() -> None:
    server = Server(answers(VERBOSE, {**VERBOSE, "language": "pl"}, {**VERBOSE, "language": "martian"}))
    with running(server), ears(server, language="detect") as engine:
        assert engine.detects
        assert [engine(TONE).language for _ in range(3)] == ["pl", "pl", None]
        assert engine(TONE, "de").language is None
    assert ["language" in asked.fields for asked in server.asked] == [False, False, False, True]


def test_a_conversation_may_have_a_language_of_its_own() -> None:
    server = Server(answers(VERBOSE))
    with running(server), ears(server) as engine:
        assert not engine.detects
        engine(TONE, "de")
    assert server.asked[0].fields["language"] == "de"


def test_a_segment_that_is_probably_silence_is_left_out() -> None:
    nothing = {"text": " Napisy stworzone przez społeczność.", "avg_logprob": -1.4, "no_speech_prob": 0.9}
    both = {
        **VERBOSE,
        "text": "Dzień dobry. Napisy stworzone przez społeczność.",
        "segments": [*SEGMENTS, nothing],
    }
    assert hear(Server(answers(both))) == Transcript("Dzień dobry.", -0.25)
    assert hear(Server(answers({**VERBOSE, "segments": [nothing]}))) == Transcript("", 0.0)


def test_a_model_without_verbose_answers_is_asked_for_probabilities_of_tokens() -> None:
    refusal = {"error": {"message": "response_format 'verbose_json' is not compatible with this model."}}
    tokens = {"text": "Dzień dobry.", "logprobs": [{"logprob": -0.1}, {"logprob": -0.3}, {"logprob": None}]}
    server = Server([*answers(refusal, status=400), *answers(tokens)])
    with running(server), ears(server) as engine:
        assert engine(TONE).confidence == pytest.approx(-0.2)
        engine(TONE)
    formats = [asked.fields["response_format"] for asked in server.asked]
    assert formats == ["verbose_json", "json", "json"]
    assert server.asked[1].fields["include[]"] == "logprobs"


@pytest.mark.parametrize(
    "answer",
    [
        {"text": " Hello. "},
        {"text": "Hello.", "segments": None, "language": 5},
        {"text": "Hello.", "segments": [5, {}], "logprobs": "no"},
    ],
)
def test_servers_that_tell_nothing_but_the_words_are_believed(answer: Any) -> None:
    assert hear(Server(answers(answer)), language="detect") == Transcript("Hello.", 0.0)


def test_silence_is_not_sent() -> None:
    server = Server(answers(VERBOSE))
    with running(server), ears(server) as engine:
        for audio in (TONE[:0], np.zeros(LISTEN_RATE, np.float32), TONE[:1000]):
            assert engine(audio) == Transcript("", 0.0)
        engine(np.concatenate([np.zeros(2 * LISTEN_RATE, np.float32), TONE]))
    (asked,) = server.asked
    assert len(asked.audio) < 1.5 * LISTEN_RATE


# -- failures ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [429, 503])
def test_passing_refusals_are_tried_again(status: int) -> None:
    busy = answers({"error": {"message": "busy"}}, status=status)
    assert hear(Server([*busy, *busy, *answers(VERBOSE)])).text == "Dzień dobry."


@pytest.mark.parametrize(("status", "tries"), [(401, 1), (404, 1), (429, openai_server.TRIES)])
def test_a_refusal_gives_the_reason_and_never_the_key(status: int, tries: int) -> None:
    server = Server(answers({"error": {"message": f"Incorrect key {KEY} given"}}, status=status))
    with running(server), ears(server) as engine:
        with pytest.raises(
            VisavisError, match=rf"{status} .*: Incorrect key \(key\) given.*transcription.key"
        ) as caught:
            engine(TONE)
        problems = [engine.problem]
        server.answers = answers(VERBOSE)
        engine(TONE)
        problems.append(engine.problem)
        assert KEY not in repr(engine) + repr(vars(caught.value))
    assert problems == [str(caught.value), None]
    assert caught.value.code == "ASR_REFUSED"
    assert KEY not in str(caught.value)
    assert len(server.asked) == tries + 1


@pytest.mark.parametrize("answer", ["<html>Welcome</html>", "[]", {"words": "none"}, {"text": None}])
def test_what_is_no_transcript_is_a_refusal(answer: Any) -> None:
    with pytest.raises(VisavisError, match="instead of a transcript") as caught:
        hear(Server(answers(answer)))
    assert caught.value.code == "ASR_REFUSED"


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(VisavisError, match="too large"):
        hear(Server(answers({"text": "a" * (asr_openai.LARGEST + 1)})))


def test_nobody_listens() -> None:
    server = Server(answers(VERBOSE))
    with running(server):
        pass
    with (
        ears(server) as engine,
        pytest.raises(VisavisError, match=r"transcription.url is its address") as caught,
    ):
        engine(TONE)
    assert caught.value.code == "ASR_UNREACHABLE"


def test_a_server_that_does_not_answer_is_given_up() -> None:
    server = Server(answers(VERBOSE), hang=Event())
    with pytest.raises(VisavisError, match=r"took more than 0.05 s.*timeout_seconds") as caught:
        hear(server, timeout_seconds=0.05)
    assert caught.value.code == "ASR_TIMEOUT"


def test_a_name_and_a_password_in_the_address_are_not_shown() -> None:
    server = Server(answers("no", status=404))
    with running(server):
        server.url = server.url.replace("//", "//me:hush@")
        with ears(server) as engine, pytest.raises(VisavisError) as caught:
            engine(TONE)
    assert "hush" not in str(caught.value)


def test_it_needs_an_address() -> None:
    with pytest.raises(ConfigurationError, match="VISAVIS_TRANSCRIPTION_URL"):
        asr_openai.load(Settings())
