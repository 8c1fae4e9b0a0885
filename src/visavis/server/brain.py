"""What the page's calls need of the embedded agent, whoever answers on the other dialects."""

from __future__ import annotations

import threading
from typing import Any

from visavis import plugins
from visavis.agents.cascade import Cascade
from visavis.agents.parts import Said, meters
from visavis.agents.reader import Reader, Repeat
from visavis.deadlines import Deadlines
from visavis.meters import Meter, stage
from visavis.settings import Settings
from visavis.stages import LanguageModel, SpeechToText
from visavis.workers import Workers


class Brain:
    """A language model, ears and a voice: those of the embedded agent when it is loaded anyway, otherwise
    loaded when they are first needed. Everything here blocks."""

    def __init__(self, settings: Settings, agent: object) -> None:
        self._settings = settings
        self._names: dict[str, str] = settings.stages.model_dump()
        self._loaded: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.workers = Workers(settings.server.workers)
        self.meters, self._said = meters(), Said(settings.models.cache_size)
        if isinstance(agent, Cascade):
            stages = agent.stages
            self.workers, self.meters, self._said = stages.workers, stages.meters, stages.said
            self._loaded = {kind: getattr(stages, kind) for kind in self._names}
        self._others = frozenset(self._loaded)
        """Stages that somebody else closes."""

    def llm(self) -> LanguageModel:
        """Raises `VisavisError` when it cannot be had; so do the others."""
        model: LanguageModel = self._stage("llm")
        return model

    def asr(self) -> SpeechToText:
        ears: SpeechToText = self._stage("asr")
        return ears

    def reader(self) -> Reader:
        """Says what it is given."""
        meters = self.meters | {"llm": Meter()}
        return Reader(self._stage("tts"), self.workers, Repeat(), meters, self._said)

    def status(self) -> dict[str, dict[str, Any]]:
        """Every stage in figures."""
        return {
            kind: stage(self._names[kind], self._loaded.get(kind), meter)
            for kind, meter in self.meters.items()
        }

    def queues(self) -> dict[str, Deadlines[Any]]:
        """Those in which calls of models wait, by name; an engine may have one of its own."""
        own = {kind: workers.queue for kind, workers in self._own().items()}
        return {"models": self.workers.queue} | own

    def stuck(self) -> dict[str, int]:
        """Threads whose model does not return, by the name of their queue."""
        return {"models": self.workers.lost()} | {
            kind: workers.lost() for kind, workers in self._own().items()
        }

    def _own(self) -> dict[str, Workers]:
        """The threads of engines that have some of their own."""
        own = {kind: getattr(engine, "workers", None) for kind, engine in self._loaded.items()}
        return {kind: workers for kind, workers in own.items() if isinstance(workers, Workers)}

    async def aclose(self) -> None:
        """Close what was loaded here."""
        for kind, engine in self._loaded.items():
            if kind not in self._others:
                await plugins.close(engine)

    def _stage(self, name: str) -> Any:
        with self._lock:
            if name not in self._loaded:
                with self.meters[name].loading():
                    self._loaded[name] = plugins.load(name, self._names[name], self._settings)
            return self._loaded[name]
