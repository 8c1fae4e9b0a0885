"""An agent whose every sample is known: sound that follows from the question, so that it is seen whose it is.

    AGENT_TYPE=bench.marked:load

A question is a name and seconds, `ann-3 2.5`; the answer is so long, and like that of no other question.
"""

from __future__ import annotations

import gc
import re
import sys
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.scripted import OUTPUT_RATE, ScriptedAgent, ScriptedEngine
from visavis.audio import BYTES, Media
from visavis.settings import ScriptedSettings, Settings

MEDIA = Media(OUTPUT_RATE)
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
USUAL, LONGEST = 0.1, 600.0
"""Seconds of an answer."""


def speech(question: str) -> bytes:
    """The answer to a question: noise from its own seed, without a sample that is silent."""
    said = question.rpartition(" ")[2]
    seconds = float(said) if NUMBER.fullmatch(said) else USUAL
    random = np.random.default_rng(zlib.crc32(question.encode()))
    samples = random.integers(1, 20_000, round(min(seconds, LONGEST) * OUTPUT_RATE))
    return samples.astype("<i2").tobytes()


def load(settings: Settings) -> MarkedEngine:
    """The agent, with the speed and the delay of the scripted one."""
    return MarkedEngine(settings.scripted, speech(""))


class MarkedEngine(ScriptedEngine):
    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[ScriptedAgent]:
        agent = MarkedAgent(self.script)
        try:
            yield agent
        finally:
            agent.stop()

    def status(self) -> dict[str, Any]:
        """With the number of Python's objects, of those that somebody still needs."""
        gc.collect()
        return super().status() | {"blocks": sys.getallocatedblocks()}


class MarkedAgent(ScriptedAgent):
    """Answers as the scripted agent does."""

    def __init__(self, script: ScriptedSettings) -> None:
        super().__init__(script, speech(""))

    async def send(self, event: ev.ToAgent) -> None:
        if isinstance(event, ev.UserText):
            self.stop()
            self._pcm = speech(event.text)
        await super().send(event)


def lost(frames: Mapping[int, bytes], question: str, *, whole: bool = True) -> int:
    """Samples that are missing from the frames of an answer, or are not its own; all that came must be right,
    and all must have come if it is `whole`."""
    pcm = speech(question)
    count = MEDIA.covering(len(pcm) // BYTES) if whole else max(frames, default=-1) + 1
    wrong = 0
    for frame in range(count):
        begin, end = (MEDIA.edge(edge) * BYTES for edge in (frame, frame + 1))
        right = pcm[begin:end].ljust(end - begin, b"\0")
        if (whole or frame in frames) and frames.get(frame) != right:
            wrong += (end - begin) // BYTES
    beyond = [sound for frame, sound in frames.items() if frame >= count]
    return wrong + sum(len(sound) // BYTES for sound in beyond)
