"""Reads aloud what it is given: a voice without ears and without a brain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import anyio
from anyio.abc import TaskGroup

from visavis import events as ev
from visavis.agents import Brief, parts
from visavis.agents.parts import Said
from visavis.agents.reply import Reply
from visavis.meters import Meter
from visavis.stages import LISTEN_RATE, CastTextToSpeech, LanguageModel, Message, TextToSpeech
from visavis.tools import Tool
from visavis.workers import Workers

OUTBOX = 1024
"""Events that may wait to be taken."""


class Repeat:
    """A `LanguageModel` that says what was said to it."""

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ev.ToolCall, None]:
        yield messages[-1].text


@dataclass(frozen=True)
class Reader:
    """The engine; `tts` may be shared with others."""

    tts: TextToSpeech
    workers: Workers
    llm: LanguageModel
    meters: dict[str, Meter] = field(default_factory=parts.meters)
    said: Said = field(default_factory=Said)

    input_rate = LISTEN_RATE

    @property
    def output_rate(self) -> int:
        return self.tts.rate

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[ReaderAgent]:
        engine = self
        if brief.avatar and isinstance(self.tts, CastTextToSpeech):
            engine = replace(self, tts=await self.workers.run(self.tts.of_avatar, brief.avatar), said=Said())
        async with anyio.create_task_group() as tasks:
            agent = ReaderAgent(engine, tasks, brief.language or None)
            try:
                yield agent
            finally:
                tasks.cancel_scope.cancel()
                agent.close()

    def status(self) -> dict[str, Any]:
        problem = getattr(self.tts, "problem", None)
        return {"name": "reader", "problems": [problem] if problem else []}


class ReaderAgent:
    """One conversation: each text replaces the one that is being read."""

    def __init__(self, engine: Reader, tasks: TaskGroup, language: str | None) -> None:
        self._engine, self._tasks, self._language = engine, tasks, language
        self._in, self._out = anyio.create_memory_object_stream[ev.FromAgent](OUTBOX)
        self._ids = count(1)
        self._reply: Reply | None = None

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._out

    def close(self) -> None:
        self._in.close()
        self._out.close()

    async def send(self, event: ev.ToAgent) -> None:
        match event:
            case ev.UserText(text):
                self._stop()
                self._reply = Reply(f"r{next(self._ids)}", text, False, self._engine, self._language)
                self._reply.commit(self._in.send_nowait)
                self._tasks.start_soon(self._reply.run, [Message("user", text)])
            case ev.CancelReply():
                self._stop()
            case ev.MicOff():
                self._in.send_nowait(ev.UserSaid(""))  # it does not listen

    def _stop(self) -> None:
        if self._reply is not None:
            self._reply.stop()
            self._reply = None
