"""Any OpenAI-compatible server as the language model: `POST {url}/chat/completions`, streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import httpx2

from visavis.errors import ConfigurationError, VisavisError
from visavis.events import ToolCall
from visavis.settings import LanguageModelSettings, Settings
from visavis.stages import Message
from visavis.stages.function_calls import StreamedCalls, declared, written
from visavis.stages.openai_server import BACK_OFF, CONNECT_SECONDS, PASSING, TRIES, headers, reason, shown
from visavis.tools import Tool

Piece = str | ToolCall
Pieces = AsyncGenerator[Piece, None]


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without a url."""
    if not settings.llm.url:
        raise ConfigurationError("The language model 'openai' needs a server's address: set VISAVIS_LLM_URL.")


def load(settings: Settings) -> OpenAIModel:
    """A client of the server at `llm.url`; nothing is sent before the first question. Raises as
    `check` does."""
    check(settings)
    return OpenAIModel(settings.llm)


class _Passing(Exception):
    """A failure that may be gone at the next attempt; `error` is what to report when it is not."""

    def __init__(self, error: VisavisError) -> None:
        super().__init__(error.code)
        self.error = error


class OpenAIModel:
    """A `LanguageModel` on an OpenAI-compatible server; one connection pool for all conversations."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        self.problem: str | None = None
        self._settings = settings
        self._key = settings.key.get_secret_value()
        self.model = settings.model or None
        self._model = settings.model
        self._url = settings.url.rstrip("/")
        self._where = shown(self._url)
        patience = settings.timeout_seconds
        self._client = httpx2.AsyncClient(
            headers=headers(self._key),
            timeout=httpx2.Timeout(patience, connect=min(CONNECT_SECONDS, patience)),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncIterator[str | ToolCall]:
        """The answer in the pieces that the server streams; closing it closes the request.

        Raises `VisavisError`: `LLM_UNREACHABLE`, `LLM_TIMEOUT` or `LLM_REFUSED` (with the server's reason).
        """
        try:
            first, rest = await self._in_time(messages, tools)
        except VisavisError as error:
            self.problem = str(error)
            raise
        self.problem = None
        async with aclosing(rest):
            yield first
            try:
                async for piece in rest:
                    yield piece
            except _Passing as failure:
                raise failure.error from None

    async def _in_time(self, messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Piece, Pieces]:
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                return await self._begin(messages, tools)
        except TimeoutError:
            raise self._too_slow() from None

    async def _begin(self, messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Piece, Pieces]:
        """The first piece of an answer, and its rest."""
        for attempt in range(1, TRIES + 1):
            pieces = self._stream(messages, tools)
            try:
                return await anext(pieces), pieces
            except StopAsyncIteration:
                if messages[-1].role == "tool":
                    return "", pieces  # using it was all there was to do
                raise VisavisError(
                    "LLM_REFUSED", f"The language model at {self._where} gave an empty answer. Ask again."
                ) from None
            except _Passing as failure:
                if attempt == TRIES:
                    raise failure.error from None
                await asyncio.sleep(BACK_OFF * attempt)
        raise AssertionError("unreachable")

    async def _stream(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Pieces:
        """The pieces of one attempt."""
        calls = StreamedCalls()
        try:
            body = {
                "model": self._model or await self._first_model(),
                "messages": written(messages),
                **({"tools": declared(tools)} if tools else {}),
                "max_tokens": self._settings.max_tokens,
                "temperature": self._settings.temperature,
                "stream": True,
            }
            async with self._client.stream("POST", f"{self._url}/chat/completions", json=body) as response:
                await self._check(response)
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        data = line.removeprefix("data:").strip()
                        if data == "[DONE]":
                            break
                        delta = self._delta(data)
                        calls.add(delta.get("tool_calls"))
                        if isinstance(piece := delta.get("content"), str) and piece:
                            yield piece
            for call in calls.complete():
                yield call
        except httpx2.TimeoutException:
            raise _Passing(self._too_slow()) from None
        except httpx2.HTTPError as error:
            raise _Passing(self._unreachable(error)) from None

    async def _first_model(self) -> str:
        """The first model that the server offers, asked for once."""
        response = await self._client.get(f"{self._url}/models")
        await self._check(response)
        try:
            self._model = str(response.json()["data"][0]["id"])
        except (ValueError, LookupError, TypeError):
            raise VisavisError(
                "LLM_REFUSED", f"The server at {self._where} names no models: set VISAVIS_LLM_MODEL."
            ) from None
        return self._model

    async def _check(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        said = reason((await response.aread()).decode(errors="replace"), self._key)
        error = self._refused(f"{response.status_code} {response.reason_phrase}: {said}".rstrip(": "))
        raise _Passing(error) if response.status_code in PASSING else error

    def _delta(self, data: str) -> dict[str, Any]:
        """What one event of the stream adds to the answer; nothing when it is not well-formed."""
        try:
            event = json.loads(data)
        except ValueError:
            return {}
        if isinstance(event, dict) and event.get("error"):
            raise self._refused(reason(data, self._key))
        try:
            delta = event["choices"][0]["delta"]
        except (LookupError, TypeError):
            return {}
        return delta if isinstance(delta, dict) else {}

    def _refused(self, why: str) -> VisavisError:
        return VisavisError(
            "LLM_REFUSED",
            f"The language model at {self._where} refused: {why}. "
            "Check VISAVIS_LLM_MODEL and VISAVIS_LLM_KEY.",
        )

    def _too_slow(self) -> VisavisError:
        return VisavisError(
            "LLM_TIMEOUT",
            f"The language model at {self._where} said nothing for {self._settings.timeout_seconds:g} s. "
            "Try again, or raise VISAVIS_LLM__TIMEOUT_SECONDS.",
        )

    def _unreachable(self, error: Exception) -> VisavisError:
        return VisavisError(
            "LLM_UNREACHABLE",
            f"The language model at {self._where} cannot be reached ({type(error).__name__}). "
            "Check that the server runs and that VISAVIS_LLM_URL is its address.",
        )
