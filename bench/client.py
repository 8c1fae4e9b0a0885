"""A client of the widget dialect that notes when everything arrives."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from websockets.asyncio.client import ClientConnection, connect

from visavis.capacity.player import Player

CHUNK = 0.1
"""Seconds of microphone sound in a message."""
QUIET = 0.02
"""Amplitude, as a share of the loudest sample, below which speech has ended."""
REPORT = 3
"""Frames between two playback reports, 100 ms as the page does it."""
PATIENCE = 20.0
"""Seconds without an answer after which a turn is given up."""

End = Literal["silence", "button"]


@dataclass
class Turn:
    """What a client saw of one reply. Times are seconds of the event loop's clock."""

    asked: float
    """When the text was sent, or the last sample of speech (not the silence after it)."""
    player: Player
    arrivals: list[float] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    """Frames whose number is not the one after the last."""
    interrupted: float | None = None
    """When the client sent `interrupt`."""
    confirmed: float | None = None
    """When the server said that the turn is cut."""
    stale: int = 0
    """Frames of the turn that came after that."""
    said: str = ""
    heard: str = ""
    """What the server understood."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken question: PCM16 mono, cut where the speech ends."""

    rate: int
    pcm: bytes

    @classmethod
    def read(cls, file: Path) -> Speech:
        with wave.open(str(file), "rb") as sound:
            if sound.getnchannels() != 1 or sound.getsampwidth() != 2:
                raise SystemExit(f"{file} must be mono with 16-bit samples")
            rate, pcm = sound.getframerate(), sound.readframes(sound.getnframes())
        loudness = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
        end = int(np.flatnonzero(loudness > QUIET * loudness.max())[-1]) + 1
        return cls(rate, pcm[: end * 2])


class Talker:
    """One conversation: asks, listens to the end of the reply, and keeps what it saw."""

    def __init__(self, socket: ClientConnection, config: dict[str, Any]) -> None:
        self._socket, self._fps = socket, float(config["fps"])
        self._clock = asyncio.get_running_loop().time

    async def type(self, text: str, *, interrupt_at: int | None = None) -> Turn:
        """Ask in writing; press stop when frame `interrupt_at` is here."""
        turn = Turn(self._clock(), Player(self._fps))
        await self._send(type="text", data=text, userId="bench")
        await self._listen(turn, interrupt_at)
        return turn

    async def speak(self, speech: Speech, end: End) -> Turn:
        """Ask aloud in real time. `silence`: the microphone stays on; `button`: it is switched off at the
        end of speech."""
        turn = Turn(self._clock(), Player(self._fps))
        microphone = asyncio.create_task(self._microphone(speech, end, turn))
        try:
            await self._listen(turn, None)
        finally:
            microphone.cancel()
            with suppress(asyncio.CancelledError):
                await microphone
        return turn

    async def _microphone(self, speech: Speech, end: End, turn: Turn) -> None:
        await self._send(type="audio_stream_start", sampleRate=speech.rate)
        size = round(speech.rate * CHUNK) * 2
        begin = self._clock()
        turn.asked = begin + len(speech.pcm) / 2 / speech.rate
        at = 0
        while end == "silence" or at < len(speech.pcm):
            piece = speech.pcm[at : at + size]
            if end == "silence":
                piece = piece.ljust(size, b"\0")
            at += len(piece)
            # Sound exists once it has been spoken: a piece leaves at the moment of its last sample.
            await asyncio.sleep(begin + at / 2 / speech.rate - self._clock())
            await self._socket.send(piece)
        await self._send(type="audio_stream_end")

    async def _listen(self, turn: Turn, interrupt_at: int | None) -> None:
        """Take messages until the turn is over and nothing stale can follow."""
        name = ""
        try:
            while True:
                # After a cut, wait for what must not come.
                patience = 0.5 if turn.confirmed is not None else PATIENCE
                raw = await asyncio.wait_for(self._socket.recv(), patience)
                now, message = self._clock(), orjson.loads(raw)
                match message["type"]:
                    case "audio_start":
                        name = message["turnId"]
                    case "sync_frame" if message["turnId"] == name:
                        await self._frame(turn, message["frameIndex"], name, now, interrupt_at)
                    case "turn_metrics":
                        turn.ledger |= {key: ms for key, ms in message.items() if isinstance(ms, int)}
                    case "interrupt":
                        turn.confirmed = now
                    case "transcript_done" if message["role"] == "user":
                        turn.heard = message["text"]
                    case "transcript_done":
                        turn.said = message["text"]
                        if not message.get("interrupted"):
                            return
                    case "error":
                        turn.failure = f"{message['code']}: {message['message']}"
                        return
        except TimeoutError:
            if turn.confirmed is None:
                turn.failure = f"no answer for {PATIENCE:.0f} s"

    async def _frame(self, turn: Turn, index: int, name: str, now: float, interrupt_at: int | None) -> None:
        turn.gaps += index != len(turn.arrivals)
        turn.arrivals.append(now)
        if turn.confirmed is not None:
            turn.stale += 1
            return
        turn.player.arrive(index, now)
        if index == interrupt_at:
            turn.interrupted = self._clock()
            await self._send(type="interrupt")
        elif index % REPORT == 0 and (heard := min(turn.player.heard(now), index)) >= 0:
            await self._send(type="playback", turnId=name, frameIndex=heard)

    async def _send(self, **message: Any) -> None:
        await self._socket.send(orjson.dumps(message).decode())


@asynccontextmanager
async def talker(url: str) -> AsyncIterator[Talker]:
    """A connection that has said `hello`, so that it is told the latency of every turn."""
    async with connect(url, compression=None, max_queue=1024) as socket:
        config = orjson.loads(await socket.recv())
        await socket.send('{"type":"hello"}')
        yield Talker(socket, config)
