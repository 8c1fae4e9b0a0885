"""The embedded agent: ears, turn-taking, a language model and a voice, each a plug-in of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from visavis import plugins
from visavis.agents import Brief, parts
from visavis.agents.interlocutor import Interlocutor
from visavis.agents.parts import Excuse, Said, Stages
from visavis.languages import ENGLISH, base
from visavis.memory import Memory
from visavis.settings import AssistantSettings, Settings
from visavis.stages import LISTEN_RATE
from visavis.workers import Workers

DEMO_BRAIN = "demo"


@dataclass(frozen=True)
class Cascade:
    """The engine."""

    stages: Stages
    assistant: AssistantSettings
    names: dict[str, str]
    """Stage -> the name of its plug-in."""

    @property
    def input_rate(self) -> int:
        return LISTEN_RATE

    @property
    def output_rate(self) -> int:
        return self.stages.tts.rate

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[Interlocutor]:
        """A fresh conversation; leaving the context ends everything it started."""
        # The demo brain is too small to find anything in what it is told.
        told = brief.instructions if self.names["llm"] == DEMO_BRAIN else brief.informed
        memory = Memory(told, self.assistant.memory_turns, history=brief.history)
        stages = await self.stages.cast_as(brief.avatar)
        async with anyio.create_task_group() as tasks:
            hears = base(brief.language) if brief.language else None
            language = hears or self._language
            agent = Interlocutor(
                stages, memory, tasks, language, hears, brief.tools, brief.library, self.stages.cast_as
            )
            try:
                yield agent
            finally:
                tasks.cancel_scope.cancel()
                agent.close()

    @property
    def _language(self) -> str | None:
        """What is spoken, None is the English that everything is made for."""
        language = base(self.assistant.language)
        return None if language == ENGLISH else language

    async def aclose(self) -> None:
        """Close the stages."""
        for kind in self.names:
            await plugins.close(getattr(self.stages, kind))

    def status(self) -> dict[str, Any]:
        workers = self.stages.workers
        engines = (getattr(self.stages, name) for name in self.names)
        problems = [problem for engine in engines if (problem := getattr(engine, "problem", None))]
        return {
            "name": "embedded",
            "stages": self.names,
            "language": "detect" if self.stages.asr.detects else self.assistant.language,
            "demo_brain": self.names["llm"] == DEMO_BRAIN,
            "workers": workers.queue.status(),
            "excuses": self.stages.excuse.count,
            "problems": [*problems, *workers.problems()],
        }


def load(settings: Settings) -> Cascade:
    """Load and warm up every stage.

    One after the other: unpacking weights needs much more memory for a moment than keeping them does.
    """
    names: dict[str, str] = settings.stages.model_dump()
    meters, engines = parts.meters(), {}
    for group, name in names.items():
        with meters[group].loading():
            engines[group] = plugins.load(group, name, settings)
    workers, said = Workers(settings.server.workers), Said(settings.models.cache_size)
    excuse = Excuse(settings.assistant.excuse_seconds, settings.assistant.excuses)
    stages = Stages(**engines, workers=workers, meters=meters, said=said, excuse=excuse)
    return Cascade(stages, settings.assistant, names)
