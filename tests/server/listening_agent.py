"""An agent that answers whoever has said something loud and is quiet again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.scripted import INPUT_RATE, ScriptedAgent, ScriptedEngine, murmur
from visavis.audio import BYTES, to_float
from visavis.settings import Settings

LOUD, QUIET = 0.1, 0.01
"""Root mean square of what is said, and of silence."""
SPOKEN = 0.3
"""Seconds that must have been loud."""


def load(settings: Settings) -> ListeningEngine:
    return ListeningEngine(settings.scripted, murmur(settings.scripted.seconds, 0))


class ListeningEngine(ScriptedEngine):
    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[ScriptedAgent]:
        agent = ListeningAgent(self.script, self.pcm)
        try:
            yield agent
        finally:
            agent.stop()


class ListeningAgent(ScriptedAgent):
    _loud = 0.0

    async def send(self, event: ev.ToAgent) -> None:
        await super().send(event)
        if isinstance(event, ev.UserAudio) and event.pcm:
            level = float(np.sqrt(np.mean(to_float(event.pcm) ** 2)))
            if level > LOUD:
                self._loud += len(event.pcm) / BYTES / INPUT_RATE
            elif level < QUIET and self._loud > SPOKEN:
                self._loud = 0.0
                await super().send(ev.MicOff())
