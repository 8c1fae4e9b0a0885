"""A language model from a file of your own (GGUF), on llama.cpp inside this process."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from visavis.errors import ConfigurationError, VisavisError
from visavis.events import ToolCall
from visavis.settings import LanguageModelSettings, Settings
from visavis.stages import Message
from visavis.stages.llama import Llama
from visavis.tools import Tool

MAGIC = b"GGUF"
"""What such a file begins with."""


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when there is no file, or it is another one, or too large."""
    _file(settings)


def load(settings: Settings) -> GgufModel:
    """The model at `llm.file`, warm. Raises as `check` does, and when the model is broken."""
    file = _file(settings)
    try:
        model = Llama(
            file,
            seed=settings.assistant.seed,
            most_tokens=settings.llm.max_tokens,
            context=settings.llm.context,
            threads=settings.llm.threads or max(1, (os.cpu_count() or 1) // 2),
            parallel=settings.llm.parallel,
        )
    except VisavisError as error:
        raise ConfigurationError(f"llm.file: {error}") from error
    model.warm_up([Message("system", settings.assistant.instructions), Message("user", "Hello!")])
    return GgufModel(model, settings.llm, file.stem)


class GgufModel:
    """A `LanguageModel`; `llm.parallel` answers are generated at a time, in the order of the questions."""

    def __init__(self, model: Llama, settings: LanguageModelSettings, name: str = "") -> None:
        self._model, self._settings, self.model = model, settings, name or None
        self.workers = model.workers

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        """The answer in pieces; closing it stops the generation at its next token.

        Raises `VisavisError` (`LLM_FAILED`) when the model breaks, or answers nothing.
        """
        empty = True
        pieces = self._model.generate(messages, tools, temperature=self._settings.temperature)
        async with aclosing(pieces):
            async for piece in pieces:
                empty = False
                yield piece
        if empty and messages[-1].role != "tool":  # after a tool, using it was all there was to do
            raise VisavisError("LLM_FAILED", "The language model gave an empty answer. Ask again.")


def _file(settings: Settings) -> Path:
    """The model's file; what is wrong with it is told before llama.cpp is asked, which would say less."""
    if settings.llm.file is None:
        raise ConfigurationError("The language model 'gguf' needs a file: set llm.file (VISAVIS_LLM_FILE).")
    file = settings.models.own(settings.llm.file)
    try:
        with file.open("rb") as stream:
            beginning = stream.read(len(MAGIC))
        size = file.stat().st_size
    except OSError as error:
        raise ConfigurationError(f"llm.file: {file} cannot be read: {error.strerror}.") from error
    if beginning != MAGIC:
        raise ConfigurationError(
            f"llm.file: {file} is not a GGUF file. Models of other kinds must be converted, or served by a "
            "server at llm.url."
        )
    if size > (memory := _memory()):
        raise ConfigurationError(
            f"llm.file: {file.name} has {size >> 20} MiB, more than the {memory >> 20} MiB of this machine's "
            "memory. Take a smaller model, or one with fewer bits."
        )
    return file


def _memory() -> int:
    """Bytes of memory of this machine; as many as can be where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize
