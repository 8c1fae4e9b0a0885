"""Text to speech by any OpenAI-compatible server: `POST {url}/audio/speech`, heard while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2
import numpy as np

from visavis.audio import BYTES, to_float
from visavis.errors import ConfigurationError, VisavisError
from visavis.languages import NAMES
from visavis.settings import Settings, SpeechSettings
from visavis.stages import Speech
from visavis.stages import openai_server as server

LONGEST_TEXT = 4_000
"""Characters of one request, OpenAI's own bound."""
LONGEST_SOUND = 600
"""Seconds of sound that are taken from one request."""
PATIENCE = 120.0
"""Seconds that the sound of one request may take to arrive, all in all."""
LONGEST_REFUSAL = 1 << 16
"""Bytes of a server's error that are read."""
SILENCE = 0.01
"""Amplitude (-40 dB) below which there is nothing to hear."""
LEAD, TAIL = 0.02, 0.12
"""Seconds of silence kept before speech and after it."""
_NOT_PCM = (b"RIFF", b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"\xff\xf3")
_HINTS = {
    401: "Check speech.key (VISAVIS_SPEECH_KEY).",
    403: "Check speech.key (VISAVIS_SPEECH_KEY).",
    404: "Check speech.url and speech.model.",
    429: "Wait, or see to the account's quota.",
}


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without a url."""
    if not settings.speech.url:
        raise ConfigurationError(
            "The voice 'openai' needs a server's address: set speech.url (VISAVIS_SPEECH_URL)."
        )


def load(settings: Settings) -> OpenAISpeech:
    """A client of the server at `speech.url`; nothing is sent before there is something to say. Raises as
    `check` does."""
    check(settings)
    return OpenAISpeech(settings.speech, settings.voice.speed)


class _Passing(Exception):
    """A failure that may be gone at the next attempt; `error` is what to report when it is not."""

    def __init__(self, error: VisavisError) -> None:
        super().__init__(error.code)
        self.error = error


class OpenAISpeech:
    """A `StreamedTextToSpeech` on an OpenAI-compatible server; one connection pool for all conversations.

    It tells neither words nor phonemes: the face works by ear. The text tells the server the language.
    """

    languages = frozenset(NAMES)

    def __init__(self, settings: SpeechSettings, speed: float = 1.0) -> None:
        self.rate = settings.rate
        self.problem: str | None = None
        self.model = settings.model
        self._settings = settings
        self._key = settings.key.get_secret_value()
        self._url = settings.url.rstrip("/")
        self._where = server.shown(self._url)
        self._body: dict[str, str | float] = {
            "model": settings.model,
            "voice": settings.voice,
            "response_format": "pcm",
        }
        if speed != 1.0:
            self._body["speed"] = speed
        self._client = self._connect()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def __call__(self, text: str, language: str | None = None) -> Speech:
        """All of `text` at once, for callers that have no event loop."""
        return asyncio.run(self._whole(text))

    async def stream(self, text: str, language: str | None = None) -> AsyncGenerator[Speech, None]:
        """`text` in pieces as they arrive; closing it closes the request.

        Raises `VisavisError`: `SPEECH_UNREACHABLE`, `SPEECH_TIMEOUT` or `SPEECH_REFUSED` (with the server's
        reason).
        """
        async with aclosing(self._speak(self._client, text)) as pieces:
            async for piece in pieces:
                yield piece

    async def _whole(self, text: str) -> Speech:
        async with self._connect() as client:
            pcm = b"".join([piece.pcm async for piece in self._speak(client, text)])
        return Speech(pcm, (), None if pcm else ())

    def _connect(self) -> httpx2.AsyncClient:
        patience = self._settings.timeout_seconds
        limits = httpx2.Timeout(patience, connect=min(server.CONNECT_SECONDS, patience))
        return httpx2.AsyncClient(headers=server.headers(self._key), timeout=limits)

    async def _speak(self, client: httpx2.AsyncClient, text: str) -> AsyncGenerator[Speech, None]:
        if not any(map(str.isalnum, text)):
            return
        edges = Edges(self.rate)
        try:
            async with asyncio.timeout(PATIENCE), aclosing(self._retried(client, text)) as pieces:
                async for pcm in pieces:
                    if sound := edges(pcm):
                        yield Speech(sound, (), None)
            if sound := edges.end():
                yield Speech(sound, (), None)
        except TimeoutError:
            self.problem = str(self._too_slow())
            raise self._too_slow() from None
        except VisavisError as error:
            self.problem = str(error)
            raise
        self.problem = None

    async def _retried(self, client: httpx2.AsyncClient, text: str) -> AsyncGenerator[bytes, None]:
        """The sound; before its first byte a failure that may pass is tried again."""
        attempt = 1
        while True:
            begun = False
            try:
                async with aclosing(self._request(client, text)) as pieces:
                    async for pcm in pieces:
                        begun = True
                        yield pcm
                return
            except _Passing as failure:
                if begun or attempt == server.TRIES:
                    raise failure.error from None
            await asyncio.sleep(server.BACK_OFF * attempt)
            attempt += 1

    async def _request(self, client: httpx2.AsyncClient, text: str) -> AsyncGenerator[bytes, None]:
        """The sound of one attempt."""
        body = self._body | {"input": text[:LONGEST_TEXT]}
        left = LONGEST_SOUND * self.rate * BYTES
        first = True
        try:
            async with client.stream("POST", f"{self._url}/audio/speech", json=body) as response:
                if not response.is_success:
                    raise await self._why(response)
                async for data in response.aiter_bytes():
                    if first and (data.startswith(_NOT_PCM) or _is_text(response)):
                        kind = response.headers.get("content-type", "something else")
                        raise self._refused(f"it sent {kind[:80]} when asked for pcm", "Use another server.")
                    first = False
                    left -= len(data)
                    if left < 0:
                        raise self._refused("its sound does not end", "Use another server.")
                    yield data
        except httpx2.TimeoutException:
            raise _Passing(self._too_slow()) from None
        except httpx2.HTTPError as error:
            raise _Passing(self._unreachable(error)) from None

    async def _why(self, response: httpx2.Response) -> Exception:
        """The refusal; passing when it may be gone at the next attempt."""
        body = b""
        async for data in response.aiter_bytes():
            body += data
            if len(body) > LONGEST_REFUSAL:
                break
        reason = server.reason(body.decode(errors="replace"), self._key)
        said = f"{response.status_code} {response.reason_phrase}: {reason}".rstrip(": ")
        hint = _HINTS.get(response.status_code, "Check speech.model and speech.voice.")
        error = self._refused(said, hint)
        return _Passing(error) if response.status_code in server.PASSING else error

    def _refused(self, reason: str, hint: str) -> VisavisError:
        return VisavisError("SPEECH_REFUSED", f"The voice at {self._where} refused: {reason}. {hint}")

    def _too_slow(self) -> VisavisError:
        return VisavisError(
            "SPEECH_TIMEOUT",
            f"The voice at {self._where} sent nothing for {self._settings.timeout_seconds:g} s, or took more "
            f"than {PATIENCE:g} s in all. Try again, or raise speech.timeout_seconds.",
        )

    def _unreachable(self, error: Exception) -> VisavisError:
        return VisavisError(
            "SPEECH_UNREACHABLE",
            f"The voice at {self._where} cannot be reached ({type(error).__name__}). "
            "Check that the server runs and that speech.url is its address.",
        )


class Edges:
    """Takes the silence off both ends of PCM16 that arrives in pieces of any size."""

    def __init__(self, rate: int) -> None:
        self._lead, self._tail = round(LEAD * rate) * BYTES, round(TAIL * rate) * BYTES
        self._begun = False
        self._held = b""
        """What may be silence to its end, or half a sample."""

    def __call__(self, pcm: bytes) -> bytes:
        """What is certain to be heard of the sound so far."""
        data = self._held + pcm
        loud = np.flatnonzero(np.abs(to_float(data[: len(data) // BYTES * BYTES])) > SILENCE)
        if not len(loud):
            self._held = data if self._begun else data[-self._lead - len(data) % BYTES :]
            return b""
        start = 0 if self._begun else max(0, int(loud[0]) * BYTES - self._lead)
        end = (int(loud[-1]) + 1) * BYTES
        self._begun, self._held = True, data[end:]
        return data[start:end]

    def end(self) -> bytes:
        """The silence that is kept at the end."""
        held = self._held[: self._tail] if self._begun else b""
        return held[: len(held) // BYTES * BYTES]


def _is_text(response: httpx2.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return kind.startswith(("text/", "application/json"))
