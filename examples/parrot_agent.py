"""An agent that repeats what is typed, with a tone for a voice.

PYTHONPATH=examples AGENT_TYPE=parrot_agent:load .venv/bin/visavis serve --open
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import numpy as np

from visavis import events as ev
from visavis.agents import Brief
from visavis.audio import to_pcm
from visavis.settings import Settings

RATE = 24_000


def load(settings: Settings) -> Parrot:
    return Parrot()


class Parrot:
    input_rate, output_rate = 16_000, RATE

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[Talk]:
        yield Talk()

    def status(self) -> dict[str, Any]:
        return {"name": "parrot", "problems": []}


class Talk:
    def __init__(self) -> None:
        self._say, self._said = anyio.create_memory_object_stream[ev.FromAgent](100)
        self._count = 0

    async def send(self, event: ev.ToAgent) -> None:
        if isinstance(event, ev.UserText):
            self._count += 1
            reply = str(self._count)
            seconds = np.arange(int(RATE * 0.08 * len(event.text))) / RATE
            tone = 0.2 * np.sin(2 * np.pi * 180 * seconds) * np.sin(2 * np.pi * 2 * seconds) ** 2
            await self._say.send(ev.ReplyStarted(reply))
            await self._say.send(ev.ReplyText(reply, event.text))
            await self._say.send(ev.ReplyAudio(reply, to_pcm(tone)))
            await self._say.send(ev.ReplyDone(reply))

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._said
