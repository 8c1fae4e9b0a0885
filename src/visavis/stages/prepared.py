"""A brain of prepared replies alone, for languages that no small language model speaks well enough."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files

from visavis.events import ToolCall
from visavis.languages import ENGLISH
from visavis.stages import LanguageModel, Message
from visavis.stages.ngrams import NGrams
from visavis.stages.replies import SPELLING, Clock, Replies, embed_bank, normalise, read_bank
from visavis.stages.speechless import Speechless
from visavis.tools import Tool

UNKNOWN = "unknown"
"""The entry of a bank that answers when no other does."""


class PreparedBrain:
    """A `LanguageModel` that needs no model: what it has no reply to, it admits."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        """One piece, at once, and perhaps a tool that goes with it."""
        if messages[-1].role == "tool":
            return
        prepared = self._replies.choose(messages, datetime.now(), [tool.name for tool in tools])
        yield prepared or self._replies.instead(UNKNOWN, messages)
        for call in self._replies.calls(prepared or ""):
            yield call


class DemoBrains:
    """The brain of the language that is spoken answers; the `home` one's when nobody tells it."""

    def __init__(self, home: str, brains: Mapping[str, LanguageModel]) -> None:
        self._home, self._brains = home, brains
        self.workers = getattr(brains.get(ENGLISH), "workers", None)

    def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        """As `LanguageModel.reply`."""
        language = messages[-1].language or self._home
        brain = self._brains.get(language)
        if brain is None and language == ENGLISH:
            brain = self._brains.get(self._home)
        return (brain or Speechless(language)).reply(messages, tools)


def load_prepared(language: str, clock: Clock, seed: int) -> PreparedBrain:
    """The brain of `data/replies.LANGUAGE.yaml`."""
    bank = read_bank(files("visavis").joinpath(f"data/replies.{language}.yaml").read_text(encoding="utf-8"))
    embed = NGrams(normalise(phrase) for entry in bank for phrase in entry.says)
    return PreparedBrain(Replies(bank, embed_bank(bank, embed), embed, seed, SPELLING, clock))
