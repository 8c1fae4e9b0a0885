"""Stages that run elsewhere: the same plug-ins behind HTTP, as `visavis stage serve` offers them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from copy import copy
from typing import TypeVar

import httpx2
import orjson
from pydantic import ValidationError

from visavis.errors import ConfigurationError, VisavisError
from visavis.events import ToolCall
from visavis.needed import left
from visavis.settings import RemoteStageSettings, Settings
from visavis.stages import Message, Samples, Speech, Transcript
from visavis.stages import remote_wire as wire
from visavis.stages.openai_server import headers, shown
from visavis.tools import Tool
from visavis.workers import Workers

TRIES = 4
"""Attempts at a request whose failure may pass."""
BACK_OFF = 0.1
"""Seconds before the second attempt; each further one waits twice as long."""
PASSING = frozenset((408, 425, 429, 502, 503, 504))
"""HTTP statuses that may be gone at the next attempt."""
CONNECT_SECONDS = 2.0
T = TypeVar("T")


class _Passing(Exception):
    """A failure that may be gone at the next attempt; `error` is what to report when it is not."""

    def __init__(self, error: VisavisError) -> None:
        super().__init__(error.code)
        self.error = error


class Remote:
    """What the stages of all kinds share: where they run, what was told of them, and how they are asked."""

    tries = TRIES

    def __init__(self, kind: str, settings: RemoteStageSettings, patience: float | None = None) -> None:
        """Blocking: waits until the stage is there. `patience`: seconds that an answer may take, instead of
        those in the settings. Raises `ConfigurationError` when it cannot be had."""
        patience = settings.timeout_seconds if patience is None else patience
        self._kind, self._settings = kind, settings
        self._url = address(kind, settings)
        self._where = shown(self._url)
        self._headers = headers(settings.token.get_secret_value())
        self._headers[wire.PATIENCE] = f"{patience:g}"
        self._patience = httpx2.Timeout(patience, connect=min(CONNECT_SECONDS, patience))
        self._limits = httpx2.Limits(max_connections=None, max_keepalive_connections=settings.connections)
        self._client = httpx2.Client(headers=self._headers, timeout=self._patience, limits=self._limits)
        self._line: httpx2.AsyncClient | None = None
        self.problem: str | None = None
        self.workers = Workers(settings.connections)
        """They only wait: the work is done elsewhere."""
        try:
            self.hello = self._greet()
        except BaseException:
            self._client.close()
            raise
        self.model, self.device = self.hello.model, self.hello.device or self._where

    async def aclose(self) -> None:
        """Close the connections."""
        self._client.close()
        if self._line is not None:
            await self._line.aclose()

    def _greet(self) -> wire.Hello:
        until = time.monotonic() + self._settings.start_seconds
        while True:
            try:
                hello = wire.HELLO.validate_json(self._once("GET", "/hello", None))
                break
            except _Passing as failure:
                if time.monotonic() >= until:
                    raise ConfigurationError(f"remote_stages.{self._kind}: {failure.error}") from None
                time.sleep(BACK_OFF)
            except (VisavisError, ValidationError) as error:
                said = error if isinstance(error, VisavisError) else "it is no stage of Visavis"
                raise ConfigurationError(f"remote_stages.{self._kind}: {self._where}: {said}") from None
        if hello.kind != self._kind:
            raise ConfigurationError(
                f"remote_stages.{self._kind}: {self._where} is a stage of the kind {hello.kind!r}."
            )
        return hello

    # -- asking, blocking ------------------------------------------------------------------------------------
    def _ask(self, body: bytes, read: Callable[[bytes], T], **query: str) -> T:
        """The answer to `body`, as it is `read`. Raises `VisavisError`: what the stage raised, `STAGE_FAILED`
        or `STAGE_UNREACHABLE`."""
        try:
            answer = read(self._again(body, query))
        except VisavisError as error:
            self.problem = str(error)
            raise
        except (ValueError, LookupError, TypeError):
            self.problem = f"The stage {self._kind!r} at {self._where} answers what cannot be understood."
            raise VisavisError("STAGE_FAILED", self.problem) from None
        self.problem = None
        return answer

    def _again(self, body: bytes, query: dict[str, str]) -> bytes:
        for attempt in range(self.tries):
            try:
                return self._once("POST", f"/{self._kind}", body, query)
            except _Passing as failure:
                if attempt == self.tries - 1:
                    raise failure.error from None
            time.sleep(BACK_OFF * 2**attempt)
        raise AssertionError

    def _once(self, method: str, path: str, body: bytes | None, query: dict[str, str] | None = None) -> bytes:
        try:
            answer = self._client.request(
                method, self._url + path, content=body, params=query, headers=_due()
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        if not answer.is_success:
            raise self._refused(answer.status_code, answer.content)
        return answer.content

    # -- asking, in pieces -----------------------------------------------------------------------------------
    async def _lines(self, body: bytes) -> AsyncGenerator[tuple[wire.Line, bytes], None]:
        """The lines of an answer as they come; closing it ends the work. Raises as `_ask` does."""
        if self._line is None:
            self._line = httpx2.AsyncClient(
                headers=self._headers, timeout=self._patience, limits=self._limits
            )
        for attempt in range(TRIES):
            begun = False
            try:
                async with aclosing(self._request(self._line, body)) as lines:
                    async for line in lines:
                        begun = True
                        yield line
                self.problem = None
                return
            except _Passing as failure:
                if begun or attempt == TRIES - 1:
                    self.problem = str(failure.error)
                    raise failure.error from None
            except VisavisError as error:
                self.problem = str(error)
                raise
            await asyncio.sleep(BACK_OFF * 2**attempt)

    async def _request(
        self, client: httpx2.AsyncClient, body: bytes
    ) -> AsyncGenerator[tuple[wire.Line, bytes], None]:
        take = wire.Lines()
        try:
            url = f"{self._url}/{self._kind}"
            async with client.stream("POST", url, content=body, headers=_due()) as answer:
                if not answer.is_success:
                    raise self._refused(answer.status_code, await answer.aread())
                async for data in answer.aiter_bytes():
                    for line, payload in take(data):
                        if line.error is not None:
                            raise VisavisError(*line.error)
                        if line.end:
                            return
                        yield line, payload
        except (httpx2.HTTPError, ValueError) as error:
            raise self._unreachable(error) from None
        raise self._unreachable(EOFError())

    # -- what may go wrong -----------------------------------------------------------------------------------
    def _refused(self, status: int, body: bytes) -> Exception:
        if status in (401, 403):
            return VisavisError(
                "STAGE_REFUSED",
                f"{self._where} wants another secret: check remote_stages.token on both sides.",
            )
        error = wire.failure(body) or VisavisError(
            "STAGE_FAILED", f"The stage {self._kind!r} at {self._where} answered {status}."
        )
        return _Passing(error) if status in PASSING else error

    def _unreachable(self, error: Exception) -> _Passing:
        return _Passing(
            VisavisError(
                "STAGE_UNREACHABLE",
                f"The stage {self._kind!r} at {self._where} cannot be reached ({type(error).__name__}). "
                f"Check that it runs and that remote_stages.{self._kind} is its address.",
            )
        )


def _due() -> dict[str, str]:
    """What the stage orders its work by: as the queue here does, but for the time on the way."""
    return {} if (due := left()) is None else {wire.DUE: f"{due:.3f}"}


class RemoteEndOfTurn(Remote):
    """An `EndOfTurn`."""

    def __call__(self, audio: Samples) -> float:
        return self._ask(wire.body(audio), lambda answer: float(orjson.loads(answer)["probability"]))


class RemoteEars(Remote):
    """A `SpeechToText`."""

    def __init__(self, kind: str, settings: RemoteStageSettings) -> None:
        super().__init__(kind, settings)
        self.languages, self.detects = frozenset(self.hello.languages), self.hello.detects

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
        """Raises `VisavisError` as `_ask` does."""
        query = {"language": language} if language else {}
        return self._ask(wire.body(audio), wire.TRANSCRIPT.validate_json, **query)


class RemoteBrain(Remote):
    """A `LanguageModel`; it queues where it runs."""

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        async with aclosing(self._lines(wire.question(messages, tools))) as lines:
            async for line, _ in lines:
                yield line.call if line.call is not None else line.text


class RemoteVoice(Remote):
    """A `CastTextToSpeech` and a `StreamedTextToSpeech`."""

    def __init__(self, kind: str, settings: RemoteStageSettings) -> None:
        super().__init__(kind, settings)
        self.languages, self.rate = frozenset(self.hello.languages), self.hello.rate
        self._avatar = ""

    def of_avatar(self, avatar: str) -> RemoteVoice:
        """The voice that fits an avatar, on the same connections."""
        if not self.hello.cast or avatar == self._avatar:
            return self
        voice = copy(self)
        voice._avatar = avatar
        return voice

    def __call__(self, text: str, language: str | None = None) -> Speech:
        return self._ask(self._saying(text, language), self._whole)

    async def stream(self, text: str, language: str | None = None) -> AsyncGenerator[Speech, None]:
        async with aclosing(self._lines(self._saying(text, language))) as lines:
            async for line, payload in lines:
                yield wire.heard(line, payload)

    def _saying(self, text: str, language: str | None) -> bytes:
        text = text.encode(errors="replace").decode()  # halves of characters that lost the other one
        return orjson.dumps(wire.Saying(text, language, self._avatar))

    def _whole(self, answer: bytes) -> Speech:
        """Streamed voices tell neither words nor phonemes of their pieces."""
        lines = wire.Lines()(answer)
        last = lines.pop()[0] if lines else wire.Line()
        if last.error is not None:
            raise VisavisError(*last.error)
        if not last.end:
            raise self._unreachable(EOFError()).error
        pieces = [wire.heard(*each) for each in lines]
        if len(pieces) == 1:
            return pieces[0]
        return Speech(b"".join(piece.pcm for piece in pieces), (), None if pieces else ())


def address(kind: str, settings: RemoteStageSettings) -> str:
    """Where a stage runs. Raises `ConfigurationError` when nobody has said it."""
    url = settings.address(kind).rstrip("/")
    if not url:
        raise ConfigurationError(
            f"The {kind} plug-in 'remote' needs an address: set remote_stages.{kind} "
            f"(VISAVIS_REMOTE_STAGES__{kind.upper()}), such as http://10.0.0.7:9100."
        )
    return url


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without the address of a chosen stage; only the start asks there."""
    for kind, name in settings.stages.model_dump().items():
        if name == "remote":
            address(kind, settings.remote_stages)


def load_end_of_turn(settings: Settings) -> RemoteEndOfTurn:
    return RemoteEndOfTurn("end_of_turn", settings.remote_stages)


def load_asr(settings: Settings) -> RemoteEars:
    return RemoteEars("asr", settings.remote_stages)


def load_llm(settings: Settings) -> RemoteBrain:
    return RemoteBrain("llm", settings.remote_stages)


def load_tts(settings: Settings) -> RemoteVoice:
    return RemoteVoice("tts", settings.remote_stages)
