"""Language models on llama.cpp, inside this process: any GGUF file, with the chat template that it holds."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from visavis.errors import VisavisError
from visavis.events import ToolCall
from visavis.stages import Message
from visavis.stages.function_calls import StreamedCalls, declared, written
from visavis.tools import Tool
from visavis.workers import Workers

Piece = str | ToolCall


class Llama:
    """One model: `parallel` answers are generated at a time, as one batch; the others wait in the order of
    asking, which is that in which they are needed."""

    def __init__(
        self,
        gguf: Path,
        *,
        seed: int,
        most_tokens: int = 60,
        context: int = 2048,
        threads: int = 1,
        parallel: int = 1,
    ) -> None:
        """`most_tokens` of an answer; `context`: tokens of a conversation and its answer; blocking.

        As many conversations as answers are generated at a time find what they had in mind in the cache.
        Raises `VisavisError` (`LLM_FAILED`) when llama.cpp cannot open the file.
        """
        self._name, self._seed, self._most_tokens = gguf.name, seed, most_tokens
        self.workers = Workers(parallel)
        """They only wait: the work is done in llama.cpp's own threads."""
        self._server = _open(gguf, context, threads, parallel)

    def warm_up(self, *prompts: Sequence[Message]) -> None:
        """Blocking: generate one token of each, which leaves its beginning in a place of the cache.

        At most `parallel` prompts. An answer takes the place that knows most of its prompt already.
        """
        for place, messages in enumerate(prompts):
            request = self._request(messages, (), 1, 1.0, 0.0)
            self._server.handle_chat_completions({**request, "id_slot": place}, _stop)

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        repeat_penalty: float = 1.0,
        temperature: float = 0.0,
    ) -> AsyncGenerator[Piece, None]:
        """The answer in pieces; closing it returns at once and stops the generation at its next token.

        `tools` are told to models whose chat template has a place for them. Raises `VisavisError`
        (`LLM_FAILED`) when llama.cpp refuses or breaks.
        """
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | VisavisError | None] = asyncio.Queue()  # bounded by _most_tokens
        stopped = threading.Event()

        def put(item: Piece | VisavisError | None) -> None:
            if not stopped.is_set():
                loop.call_soon_threadsafe(pieces.put_nowait, item)

        request = self._request(messages, tools, self._most_tokens, repeat_penalty, temperature)
        generation = asyncio.create_task(self.workers.run(self._run, request, put, stopped))
        try:
            while (item := await pieces.get()) is not None:
                if isinstance(item, VisavisError):
                    raise item
                yield item
        finally:
            stopped.set()
            generation.cancel()

    def _run(
        self,
        request: dict[str, Any],
        put: Callable[[Piece | VisavisError | None], None],
        stopped: threading.Event,
    ) -> None:
        calls = StreamedCalls()

        def take(chunk: dict[str, Any]) -> bool:
            if "choices" not in chunk:
                put(self._failure(chunk))
                return True
            for choice in chunk["choices"]:
                if text := choice["delta"].get("content"):
                    put(text)
                calls.add(choice["delta"].get("tool_calls"))
            return stopped.is_set()

        try:
            self._server.handle_chat_completions(request, take)
            for call in calls.complete():
                put(call)
        except Exception as error:
            put(self._failure({"error": {"message": str(error)}}))
        put(None)

    def _request(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        most_tokens: int,
        repeat_penalty: float,
        temperature: float,
    ) -> dict[str, Any]:
        return {
            "messages": written(messages),
            **({"tools": declared(tools)} if tools else {}),
            "max_tokens": most_tokens,
            "stream": True,
            "cache_prompt": True,
            "temperature": temperature,
            "repeat_penalty": repeat_penalty,
            "seed": self._seed,
            "chat_template_kwargs": {"enable_thinking": False},  # nobody wants to wait, or to hear it
        }

    def _failure(self, chunk: dict[str, Any]) -> VisavisError:
        error = chunk.get("error")
        what = error.get("message", error) if isinstance(error, dict) else chunk
        advice = "Raise llm.context." if "context" in str(what) else "Try again."
        return VisavisError("LLM_FAILED", f"The language model {self._name} failed: {what}. {advice}")


def _open(gguf: Path, context: int, threads: int, parallel: int) -> Any:
    """llama.cpp's server object; its HTTP side, which cannot be left out, is made unreachable."""
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = context * parallel
    params.n_parallel = parallel
    params.kv_unified = True  # one conversation may use what the others leave
    params.slot_prompt_similarity = 0.15  # a place that knows less of a prompt goes by its age
    params.n_batch = 512
    params.n_ubatch = 128
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.n_threads_http = 1
    params.fit_params = False
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 0
    params.api_keys = [secrets.token_urlsafe()]
    with tempfile.TemporaryDirectory(prefix="visavis-") as folder:
        if os.name == "posix":
            params.hostnames = [f"{folder}/llama.sock"]  # instead of a TCP port; gone with the folder
        try:
            return xllamacpp.Server(params)
        except Exception as error:
            raise VisavisError(
                "LLM_FAILED",
                f"llama.cpp cannot open {gguf}: it is damaged, or of a kind that llama.cpp does not know "
                f"({error}). Download it again; the demo brain's own is checked by: visavis models verify",
            ) from error


def _stop(chunk: dict[str, Any]) -> bool:
    return True
