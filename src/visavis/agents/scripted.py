"""An agent without a brain: it says the same speech to everything, to measure the server without models."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visavis import events as ev
from visavis.agents import Brief
from visavis.audio import BYTES, Resampler, to_pcm
from visavis.errors import ConfigurationError
from visavis.settings import ScriptedSettings, Settings

INPUT_RATE, OUTPUT_RATE = 16_000, 24_000
SYLLABLE = 0.2
"""Seconds between the syllables of the murmur; people speak four to six a second."""
SYLLABLES_PER_WORD = 2
PITCH = 120.0
"""Hz of the murmur."""


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when there is a WAV to say that cannot be played."""
    if settings.scripted.audio is not None:
        read_wav(settings.scripted.audio)


def load(settings: Settings) -> ScriptedEngine:
    """The scripted agent of the settings `scripted`; `ConfigurationError` when its WAV cannot be played."""
    script = settings.scripted
    pcm = murmur(script.seconds, settings.assistant.seed) if script.audio is None else read_wav(script.audio)
    return ScriptedEngine(script, pcm)


def murmur(seconds: float, seed: int) -> bytes:
    """Speech-like sound at `OUTPUT_RATE`: harmonics and a little noise that swell with every syllable."""
    time = np.arange(round(seconds * OUTPUT_RATE)) / OUTPUT_RATE
    random = np.random.default_rng(seed)
    phase = 2 * np.pi * PITCH * time + 3 * np.sin(2 * np.pi * 0.4 * time)
    voice = sum(np.sin(number * phase) / number for number in range(1, 13))
    noise = random.standard_normal(len(time)) * 0.3
    # sin^2 from zero to zero in every syllable; each fourth is left out, as a pause between words.
    syllable = np.floor(time / SYLLABLE).astype(np.intp)
    loudness = np.sin(np.pi * time / SYLLABLE) ** 2 * (syllable % 4 < 3)
    return to_pcm((voice + noise) * loudness * 0.12)


def read_wav(file: Path) -> bytes:
    """The first channel of a PCM16 WAV file at `OUTPUT_RATE`."""
    try:
        with wave.open(str(file), "rb") as sound:
            rate, channels, width = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
            data = sound.readframes(sound.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigurationError(f"scripted.audio: {file} cannot be read as a WAV file: {error}") from error
    if width != BYTES or not data:
        raise ConfigurationError(f"scripted.audio: {file} must be a WAV file of 16-bit samples with sound.")
    first = np.frombuffer(data, "<i2").reshape(-1, channels)[:, 0]
    return Resampler(rate, OUTPUT_RATE)(first.tobytes(), last=True)


class ScriptedEngine:
    """Holds the speech; agents only keep the time."""

    input_rate, output_rate = INPUT_RATE, OUTPUT_RATE

    def __init__(self, script: ScriptedSettings, pcm: bytes) -> None:
        self.script, self.pcm = script, pcm

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[ScriptedAgent]:
        agent = ScriptedAgent(self.script, self.pcm)
        try:
            yield agent
        finally:
            agent.stop()

    def status(self) -> dict[str, Any]:
        return {"name": "scripted", "models": [], "problems": []}


class ScriptedAgent:
    """Answers every text, and every end of the microphone's sound, with the script.

    The reply comes in pieces of `chunk_ms` at `speed` times real time, on an absolute schedule, the first
    one `delay` seconds after the question; a new question or `CancelReply` ends it at once.
    """

    def __init__(self, script: ScriptedSettings, pcm: bytes) -> None:
        self._delay, self._pcm = script.delay, pcm
        seconds = script.chunk_ms / 1000
        self._size, self._gap = round(OUTPUT_RATE * seconds) * BYTES, seconds / script.speed
        self._events: asyncio.Queue[ev.FromAgent] = asyncio.Queue()
        self._next: asyncio.TimerHandle | None = None
        """Of the reply that is being spoken, what comes next."""
        self._count = 0

    async def send(self, event: ev.ToAgent) -> None:
        match event:
            case ev.UserText():
                self._answer()
            case ev.MicOff():
                self._put(ev.UserSaid("(speech)"))
                self._answer()
            case ev.CancelReply(reply) if reply == str(self._count):
                self.stop()

    async def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        while True:
            yield await self._events.get()

    def stop(self) -> None:
        """End the reply that is being spoken."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _answer(self) -> None:
        self.stop()
        self._count += 1
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(self._delay, self._begin, str(self._count), loop.time() + self._delay)

    def _begin(self, reply: str, at: float) -> None:
        self._put(ev.ReplyStarted(reply))
        self._speak(reply, at, 0)

    def _speak(self, reply: str, begin: float, number: int) -> None:
        """Say a piece, and the others when their times come."""
        start, end = number * self._size, (number + 1) * self._size
        piece = self._pcm[start:end]
        self._put(ev.ReplyAudio(reply, piece, words=_words(start, start + len(piece))))
        if end < len(self._pcm):
            # On an absolute schedule: a late piece does not delay the ones after it.
            at = begin + (number + 1) * self._gap
            self._next = asyncio.get_running_loop().call_at(at, self._speak, reply, begin, number + 1)
        else:
            self._put(ev.ReplyDone(reply))

    def _put(self, event: ev.FromAgent) -> None:
        self._events.put_nowait(event)


def _words(start: int, end: int) -> tuple[ev.Word, ...]:
    """The words that begin in the bytes from `start` to `end` of the script, one every few syllables."""
    length = SYLLABLE * SYLLABLES_PER_WORD
    size = round(length * OUTPUT_RATE) * BYTES
    numbers = range(-(-start // size), -(-end // size))
    return tuple([ev.Word(f"word{number + 1}", number * length, (number + 1) * length) for number in numbers])
