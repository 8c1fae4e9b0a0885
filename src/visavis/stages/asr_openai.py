"""Speech to text by any OpenAI-compatible server: `POST {url}/audio/transcriptions`."""

from __future__ import annotations

import io
import json
import time
import wave
from typing import Any

import httpx2
import numpy as np

from visavis.audio import BYTES, to_pcm
from visavis.errors import ConfigurationError, VisavisError
from visavis.languages import DETECT, NAMES, base, code_of
from visavis.settings import Settings, TranscriptionSettings
from visavis.stages import LISTEN_RATE, Samples, Transcript
from visavis.stages import openai_server as server
from visavis.stages.pieces import without_lead

LONGEST = 120 * LISTEN_RATE
"""Samples that are sent at most; earlier ones are left out."""
SHORTEST = LISTEN_RATE // 10
"""Samples below which there is no word, and servers refuse."""
LARGEST = 1 << 20
"""Bytes of an answer that are read."""
NO_SPEECH, UNSURE = 0.6, -1.0
"""Whisper's own rule: a segment holds nothing when that is likelier than this and its words unlikelier."""


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without a url."""
    if not settings.transcription.url:
        raise ConfigurationError(
            "The recogniser 'openai' needs a server's address: set transcription.url "
            "(VISAVIS_TRANSCRIPTION_URL)."
        )


def load(settings: Settings) -> OpenAITranscription:
    """A client of the server at `transcription.url`; nothing is sent before somebody speaks. Raises as
    `check` does."""
    check(settings)
    chosen = settings.transcription
    language = chosen.language or settings.assistant.language
    return OpenAITranscription(chosen, None if language == DETECT else base(language))


class _Passing(Exception):
    """A failure that may be gone at the next attempt; `error` is what to report when it is not."""

    def __init__(self, error: VisavisError) -> None:
        super().__init__(error.code)
        self.error = error


class OpenAITranscription:
    """A `SpeechToText` on an OpenAI-compatible server; one connection pool for all conversations."""

    languages = frozenset(NAMES)

    def __init__(self, settings: TranscriptionSettings, language: str | None) -> None:
        """`language`: the code of what to hear; None is for the server to find out."""
        self.problem: str | None = None
        self.detects = language is None
        self.model = settings.model
        self._settings, self._language = settings, language
        self._key = settings.key.get_secret_value()
        self._url = settings.url.rstrip("/")
        self._where = server.shown(self._url)
        self._verbose = True
        """The server can tell the language and how sure it is of each segment; else it is asked for those of
        the words."""
        self._client = httpx2.Client(headers=server.headers(self._key))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        """The words of `audio` (float32[n] at 16 kHz); confidence 0 where the server tells none.

        Raises `VisavisError`: `ASR_UNREACHABLE`, `ASR_TIMEOUT` or `ASR_REFUSED` (with the server's reason).
        """
        audio = without_lead(audio[-LONGEST:])
        if len(audio) < SHORTEST:
            return Transcript("", 0.0)
        language = language or self._language
        try:
            answer = self._ask(_wav(audio), language)
        except VisavisError as error:
            self.problem = str(error)
            raise
        self.problem = None
        heard = _transcript(answer)
        return heard if language is None else Transcript(heard.text, heard.confidence)

    def _ask(self, wav: bytes, language: str | None) -> dict[str, Any]:
        deadline = time.monotonic() + self._settings.timeout_seconds
        attempt = 1
        while True:
            try:
                return self._request(wav, language, deadline)
            except _Passing as failure:
                pause = server.BACK_OFF * attempt
                if attempt == server.TRIES or time.monotonic() + pause >= deadline:
                    raise failure.error from None
            except _NotVerbose:
                self._verbose = False
                continue
            time.sleep(pause)
            attempt += 1

    def _request(self, wav: bytes, language: str | None, deadline: float) -> dict[str, Any]:
        """One attempt."""
        left = max(0.001, deadline - time.monotonic())
        try:
            with self._client.stream(
                "POST",
                f"{self._url}/audio/transcriptions",
                data=self._fields(language),
                files={"file": ("speech.wav", wav, "audio/wav")},
                timeout=httpx2.Timeout(left, connect=min(server.CONNECT_SECONDS, left)),
            ) as response:
                body = self._body(response, deadline)
        except httpx2.TimeoutException:
            raise _Passing(self._too_slow()) from None
        except httpx2.HTTPError as error:
            raise _Passing(self._unreachable(error)) from None
        if response.is_success:
            return self._read(body)
        if response.status_code == 400 and self._verbose and "response_format" in body:
            raise _NotVerbose
        said = f"{response.status_code} {response.reason_phrase}: {server.reason(body, self._key)}"
        refused = self._refused(said.rstrip(": "))
        raise _Passing(refused) if response.status_code in server.PASSING else refused

    def _fields(self, language: str | None) -> dict[str, str]:
        wanted = (
            {"response_format": "verbose_json"}
            if self._verbose
            else {"response_format": "json", "include[]": "logprobs"}
        )
        given = {"model": self._settings.model, "language": language, "prompt": self._settings.prompt}
        return wanted | {name: value for name, value in given.items() if value}

    def _body(self, response: httpx2.Response, deadline: float) -> str:
        body = b""
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LARGEST:
                raise self._refused("its answer is too large")
            if time.monotonic() > deadline:
                raise self._too_slow()
        return body.decode(errors="replace")

    def _read(self, body: str) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise self._refused(f"it answered {body[:80]!r} instead of a transcript")
        return answer

    def _refused(self, reason: str) -> VisavisError:
        return VisavisError(
            "ASR_REFUSED",
            f"The speech recogniser at {self._where} refused: {reason}. "
            "Check transcription.url, transcription.model and transcription.key.",
        )

    def _too_slow(self) -> VisavisError:
        return VisavisError(
            "ASR_TIMEOUT",
            f"The speech recogniser at {self._where} took more than {self._settings.timeout_seconds:g} s. "
            "Try again, or raise transcription.timeout_seconds.",
        )

    def _unreachable(self, error: Exception) -> VisavisError:
        return VisavisError(
            "ASR_UNREACHABLE",
            f"The speech recogniser at {self._where} cannot be reached ({type(error).__name__}). "
            "Check that the server runs and that transcription.url is its address.",
        )


class _NotVerbose(Exception):
    """The server's model gives no verbose answers."""


def _wav(audio: Samples) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(BYTES)
        sound.setframerate(LISTEN_RATE)
        sound.writeframes(to_pcm(audio))
    return file.getvalue()


def _transcript(answer: dict[str, Any]) -> Transcript:
    """What the answer says; fields that are missing or not as expected are taken for unknown."""
    text, language = answer["text"].strip(), answer.get("language")
    segments = [
        part for part in _dicts(answer.get("segments")) if _number(part.get("avg_logprob")) is not None
    ]
    if segments:
        kept = [part for part in segments if not _is_nothing(part)]
        if not kept:
            return Transcript("", 0.0)
        if len(kept) < len(segments):
            text = " ".join(str(part.get("text", "")).strip() for part in kept).strip()
        scores = [part["avg_logprob"] for part in kept]
        lengths = [len(str(part.get("text", ""))) + 1 for part in kept]
    else:
        found = (_number(token.get("logprob")) for token in _dicts(answer.get("logprobs")))
        scores = [score for score in found if score is not None]
        lengths = [1] * len(scores)
    confidence = min(0.0, float(np.average(scores, weights=lengths))) if scores and text else 0.0
    return Transcript(text, confidence, code_of(language) if isinstance(language, str) and text else None)


def _is_nothing(segment: dict[str, Any]) -> bool:
    return (_number(segment.get("no_speech_prob")) or 0.0) > NO_SPEECH and segment["avg_logprob"] < UNSURE


def _dicts(value: object) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
