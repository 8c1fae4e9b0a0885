"""What the page's calls need of the embedded agent, whoever answers on the other dialects."""

from __future__ import annotations

import threading
from typing import Any

from visavis import plugins
from visavis.agents.cascade import Cascade, chosen
from visavis.agents.reader import Reader, Repeat
from visavis.settings import Settings
from visavis.stages import LanguageModel, SpeechToText
from visavis.workers import Workers


class Brain:
    """A language model, ears and a voice: those of the embedded agent when it is loaded anyway, otherwise
    loaded when they are first needed. Everything here blocks."""

    def __init__(self, settings: Settings, agent: object) -> None:
        self._settings = settings
        self._names = chosen(settings)
        self._loaded: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.workers = Workers(settings.server.workers)
        if isinstance(agent, Cascade):
            stages = agent.stages
            self.workers = stages.workers
            self._loaded = {"llm": stages.llm, "asr": stages.asr, "tts": stages.tts}

    def llm(self) -> LanguageModel:
        """Raises `VisavisError` when it cannot be had; so do the others."""
        model: LanguageModel = self._stage("llm")
        return model

    def asr(self) -> SpeechToText:
        ears: SpeechToText = self._stage("asr")
        return ears

    def reader(self) -> Reader:
        """Says what it is given."""
        return Reader(self._stage("tts"), self.workers, Repeat())

    def _stage(self, name: str) -> Any:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = plugins.load(name, self._names[name], self._settings)
            return self._loaded[name]
