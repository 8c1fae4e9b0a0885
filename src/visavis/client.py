"""A client of the widget dialect, `WS /ws`, for programs: ask, and take the reply as it comes.

async with connect() as client:
    async for event in client.say("Tell me a joke."):
        match event:
            case Frame(pcm=pcm, weights=weights): ...
            case Word(text=text): print(text)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

from visavis.arkit import Weights
from visavis.audio import BYTES
from visavis.errors import VisavisError
from visavis.wires.widget import decode_binary_frame

LOCAL = "ws://localhost:8080/ws"
WAITING = 1024
"""Messages that may wait to be read."""
CHUNK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Frame:
    """1/fps second of a turn: PCM16 mono at `Client.rate`, and the face, float32[52] in 0..1."""

    turn: int
    index: int
    pcm: bytes
    weights: Weights


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a reply; seconds from the turn's first sample."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood of the microphone."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a reply: its text, as far as it was heard."""

    text: str
    interrupted: bool


Event = Frame | Word | Heard | Done


class Client:
    """One conversation. What comes is taken from `say`, `speak` or `events`, one of them at a time."""

    def __init__(self, socket: ClientConnection, config: dict[str, Any]) -> None:
        self._socket = socket
        self.session_id: str = config["sessionId"]
        self.token: str = config["resume"]
        """Brings a later connection back to this conversation."""
        self.resumed: bool = config["resumed"]
        self.fps: int = config["fps"]
        self.rate: int = config["audio"]["outputSampleRate"]
        """Hz of the sound that comes."""

    async def say(self, text: str) -> AsyncIterator[Event]:
        """Say something in writing, which interrupts, and follow the reply to its end."""
        await self._send(type="text", data=text, userId="python")
        async for event in self._reply():
            yield event

    async def speak(self, pcm: bytes, rate: int) -> AsyncIterator[Event]:
        """Say a whole utterance, PCM16 mono at `rate` Hz, and follow the reply to its end."""
        await self.microphone(rate, hands_free=False)
        step = round(rate * CHUNK_SECONDS) * BYTES
        for at in range(0, len(pcm), step):
            await self.hear(pcm[at : at + step])
        await self.microphone_off()
        async for event in self._reply():
            yield event

    async def microphone(self, rate: int, *, hands_free: bool = True) -> None:
        """Sound at `rate` Hz follows (`hear`); unless `hands_free`, only `microphone_off` ends the turn."""
        held = {} if hands_free else {"handsFree": False}
        await self._send(type="audio_stream_start", sampleRate=rate, format="audio/pcm16", **held)

    async def hear(self, pcm: bytes) -> None:
        """The next PCM16 of the microphone."""
        with _reasons():
            await self._socket.send(pcm)

    async def microphone_off(self) -> None:
        """What was said is complete: the answer comes now."""
        await self._send(type="audio_stream_end")

    async def interrupt(self) -> None:
        await self._send(type="interrupt")

    async def played(self, frame: Frame) -> None:
        """`frame` was just heard: what an interrupted turn is remembered by."""
        await self._send(type="playback", turnId=f"turn_{frame.turn}", frameIndex=frame.index)

    async def events(self) -> AsyncIterator[Event]:
        """All that comes until the conversation ends. Raises `VisavisError` for an error that the server
        tells of, and with the code CLOSED when the connection is lost."""
        with _reasons():
            async for raw in self._socket:
                if isinstance(raw, bytes):
                    turn, index, _, weights, pcm = decode_binary_frame(raw)
                    yield Frame(turn, index, pcm, weights)
                elif (event := _event(orjson.loads(raw))) is not None:
                    yield event

    async def _reply(self) -> AsyncIterator[Event]:
        """Up to the end of the reply to what was just said; an earlier one that it interrupts is left out."""
        async for event in self.events():
            if isinstance(event, Done) and event.interrupted:
                continue
            yield event
            if isinstance(event, Done):
                return
        raise VisavisError("CLOSED", "The server has ended the conversation.")

    async def _send(self, **message: Any) -> None:
        with _reasons():
            await self._socket.send(orjson.dumps(message).decode())


@asynccontextmanager
async def connect(url: str = LOCAL, *, resume: str | None = None, token: str = "") -> AsyncIterator[Client]:
    """A conversation with the server at `url`: binary frames, and a new one unless `resume`, the token of an
    earlier one, is still good (`Client.resumed`). `token` is for servers that ask for one.

    Raises `VisavisError` when the server lets nobody in, `OSError` or `WebSocketException` when there is no
    server.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else None
    async with open_socket(url, compression=None, max_queue=WAITING, additional_headers=headers) as socket:
        hello = {"type": "hello", "encoding": "binary", "weights": "array", "resume": resume}
        with _reasons():
            config = await _config(socket)
            await socket.send(orjson.dumps(hello).decode())
            if resume is not None:
                config = await _resumed(socket, config)
        yield Client(socket, config)


async def _config(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(await socket.recv())
    if message["type"] != "config":
        not_ours = "The server does not speak this dialect there: its address ends with /ws."
        raise VisavisError(message.get("code", "UNEXPECTED"), message.get("message", not_ours))
    return message


async def _resumed(socket: ClientConnection, new: dict[str, Any]) -> dict[str, Any]:
    """The earlier conversation's config, or the new one's when that is over."""
    try:
        return await _config(socket)
    except VisavisError as error:
        if error.code != "RESUME_EXPIRED":
            raise
    return new


@contextmanager
def _reasons() -> Iterator[None]:
    """The end of a connection is a `VisavisError`, with the code that the server gives as a reason."""
    try:
        yield
    except ConnectionClosed as closed:
        reason = closed.rcvd.reason if closed.rcvd else ""
        code, told, sentence = reason.partition(": ")
        if not (told and code.isupper()):
            code, sentence = "CLOSED", reason or "The connection was lost."
        raise VisavisError(code, sentence) from None


def _event(message: dict[str, Any]) -> Event | None:
    match message:
        case {
            "type": "transcript_delta",
            "role": "assistant",
            "text": text,
            "startOffset": start,
            "endOffset": end,
        }:
            return Word(text, start / 1000, end / 1000)
        case {"type": "transcript_done", "role": "user", "text": text}:
            return Heard(text)
        case {"type": "transcript_done", "role": "assistant", "text": text}:
            return Done(text, bool(message.get("interrupted")))
        case {"type": "error", "code": code, "message": text}:
            raise VisavisError(code, text)
    return None
