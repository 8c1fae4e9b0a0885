"""A remote agent that speaks the agent protocol (docs/agent-protocol.md), and misbehaves on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pybase64
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from visavis.audio import BYTES, Resampler
from visavis.simulators.calls import SAYS, wanted
from visavis.simulators.ears import Ears
from visavis.simulators.voice import RATE, SimulatedVoice

Fault = Literal["close", "abort", "hang", "error", "malformed", "oversized"]
OLD_RATE = 24_000
"""Hz in both directions for agents without a hello."""


@dataclass(frozen=True, slots=True)
class RemoteBehaviour:
    """How a simulated agent answers."""

    hello: bool = True
    """False: an older agent, which knows text and base64 audio only."""
    binary: bool = True
    input_rate: int = 16_000
    output_rate: int = RATE
    words: bool = True
    """Words come with their times, otherwise as text."""
    hears: str = "Hello there."
    """What it understands of any speech."""
    answers: str = "You said: {}"
    """Its reply, in which {} is what the user said."""
    speed: float = 4.0
    """Times real time at which it sends its speech."""
    delay: float = 0.0
    """Seconds before it answers."""
    chunk_ms: int = 100
    fault: Fault | None = None
    fault_at: int = 1
    """Messages of a response before the fault."""
    faults: int = 1
    """How often; afterwards it behaves."""


class RemoteSimulator:
    """The agent's side of every conversation. `context` is what it believes was said and heard, of the
    last connection; `heard` is every message it got that is not audio."""

    def __init__(self, voice: SimulatedVoice, behaviour: RemoteBehaviour | None = None) -> None:
        self.voice = voice
        self.behaviour = behaviour or RemoteBehaviour()
        self.heard: list[dict[str, Any]] = []
        self.context: list[dict[str, str]] = []
        self.asked: list[list[tuple[str, str]]] = []
        """For each answer, who had said what until then, the question last."""
        self.audio = 0
        """Bytes of the user's voice."""
        self.headers: list[dict[str, str]] = []
        """The headers of each connection."""
        self.faults = self.behaviour.faults if self.behaviour.fault else 0
        self.talks: list[_Talk] = []
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve at the address that is given back."""
        async with serve(self._talk, host, port, close_timeout=1, compression=None) as server:
            taken = server.sockets[0].getsockname()[1]
            yield f"ws://{host}:{taken}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that it heard or did makes `condition` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def changed(self) -> None:
        self._changed.set()

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.headers.append({name.lower(): value for name, value in socket.request.headers.raw_items()})
        talk = _Talk(self, socket)
        self.talks.append(talk)
        self.changed()
        try:
            await talk.run()
        except ConnectionClosed:
            pass
        finally:
            await talk.stop()
            self.talks.remove(talk)
            self.changed()


class _Talk:
    """One connection."""

    def __init__(self, simulator: RemoteSimulator, socket: ServerConnection) -> None:
        self._simulator, self.socket = simulator, socket
        self._how = simulator.behaviour
        self._context: list[dict[str, str]] = []
        simulator.context = self._context
        self._ears = Ears(self._how.input_rate if self._how.hello else OLD_RATE)
        self._reply: asyncio.Task[None] | None = None
        self._tools: list[str] = []
        self._returned: asyncio.Future[str] | None = None
        self._count = self._sent = 0
        self._spoken: dict[str, dict[str, str]] = {}

    async def run(self) -> None:
        if self._how.hello:
            rates = {"input_rate": self._how.input_rate, "output_rate": self._how.output_rate}
            await self._send({"type": "hello", "binary": self._how.binary, **rates})
        async for message in self.socket:
            if isinstance(message, bytes):
                await self._listen(message)
            else:
                await self._understand(orjson.loads(message))
            self._simulator.changed()

    async def stop(self) -> None:
        """Fall silent."""
        reply, self._reply = self._reply, None
        if reply is not None and reply is not asyncio.current_task():
            reply.cancel()
            await asyncio.gather(reply, return_exceptions=True)

    # -- what the user does ------------------------------------------------------------------------------
    async def _understand(self, message: dict[str, Any]) -> None:
        if message["type"] == "audio":
            await self._listen(pybase64.b64decode(message["data"]))
            return
        self._simulator.heard.append(message)
        match message["type"]:
            case "hello":
                self._context[:] = message["history"]
                self._tools = [tool["name"] for tool in message["tools"]]
            case "text":
                await self._answer(message["data"])
            case "mic_off":
                if self._ears.stop():
                    await self._understood()
                else:
                    await self._send({"type": "user_transcript", "transcript": ""})
            case "tool_result" if self._returned is not None and not self._returned.done():
                self._returned.set_result(message["output"])
            case "interrupt":
                unfinished = self._reply is not None and not self._reply.done()
                await self.stop()
                current = f"response-{self._count}" if unfinished else ""
                if (line := self._spoken.get(message.get("response_id", current))) is not None:
                    line["text"] = message["text"]

    async def _listen(self, pcm: bytes) -> None:
        self._simulator.audio += len(pcm)
        for event in self._ears.hear(pcm):
            if event == "start":
                await self._send({"type": "user_speaking", "speaking": True})
                if self._spoken:
                    await self.stop()
                    await self._send({"type": "interrupted"})
            else:
                await self._understood()

    async def _understood(self) -> None:
        await self._send({"type": "user_speaking", "speaking": False})
        await self._send({"type": "user_transcript", "transcript": self._how.hears})
        await self._answer(self._how.hears)

    # -- what it says ---------------------------------------------------------------------------------------
    async def _answer(self, question: str) -> None:
        await self.stop()
        self._context.append({"role": "user", "text": question})
        known = [(line["role"], line["text"]) for line in self._context if line["text"]]
        self._simulator.asked.append(known)
        call = wanted(question, self._tools)
        answer = self._speak(self._how.answers.format(question)) if call is None else self._call(*call)
        self._reply = asyncio.create_task(answer)

    async def _call(self, name: str, arguments: str) -> None:
        """Call a tool; what comes of it is what is said."""
        self._returned = asyncio.get_running_loop().create_future()
        call = {"call_id": f"call-{len(self._simulator.asked)}", "name": name}
        await self._send({"type": "tool_call", **call, "arguments": orjson.loads(arguments)})
        await self._speak(SAYS.format(await self._returned))

    async def _speak(self, text: str) -> None:
        pcm, words = await asyncio.to_thread(self._simulator.voice.say, text)
        if self._how.output_rate != RATE and self._how.hello:
            pcm = Resampler(RATE, self._how.output_rate)(pcm, last=True)
        rate = self._how.output_rate if self._how.hello else OLD_RATE
        clock = asyncio.get_running_loop().time
        begin = clock() + self._how.delay
        await asyncio.sleep(self._how.delay)
        self._count += 1
        self._sent = 0
        name = f"response-{self._count}"
        line = self._spoken[name] = {"role": "assistant", "text": ""}
        self._context.append(line)
        await self._say({"type": "response_start", "response_id": name, "session_id": name})
        size = round(rate * self._how.chunk_ms / 1000) * BYTES
        for start in range(0, len(pcm), size):
            seconds = [at / rate / BYTES for at in (start, start + size)]
            await asyncio.sleep(max(0.0, begin + seconds[0] / self._how.speed - clock()))
            now = [word for word in words if seconds[0] <= word.start < seconds[1]]
            line["text"] = " ".join([line["text"], *(word.text for word in now)]).strip()
            times = [
                {"text": word.text, "start_ms": word.start * 1000, "end_ms": word.end * 1000} for word in now
            ]
            await self._sound(pcm[start : start + size], times)
        await self._say({"type": "response_end", "transcript": text, "response_id": name})

    async def _sound(self, pcm: bytes, words: list[dict[str, Any]]) -> None:
        timed = self._how.words and self._how.hello
        message: dict[str, Any] = {"type": "audio_delta"}
        if not timed:
            for word in words:
                delta = word["text"] + " "
                await self._say({"type": "transcript_delta", "role": "assistant", "delta": delta})
        elif words:
            message["words"] = words
        if not (self._how.binary and self._how.hello):
            await self._say(message | {"data": pybase64.b64encode(pcm).decode()})
            return
        if "words" in message:
            await self._say(message)
        await self._say(pcm)

    async def _say(self, message: dict[str, Any] | bytes) -> None:
        """The next message of a response, or the fault in its place."""
        simulator = self._simulator
        if simulator.faults and self._sent == self._how.fault_at:
            simulator.faults -= 1
            await self._misbehave()
        self._sent += 1
        await self._send(message)

    async def _misbehave(self) -> None:
        match self._how.fault:
            case "close":
                await self.socket.close(1011, "out of order")
            case "abort":
                self.socket.transport.abort()
            case "hang":
                await asyncio.Event().wait()
            case "error":
                await self._send({"type": "error", "error": {"code": "OUT_OF_WORDS", "message": "No idea."}})
                await asyncio.Event().wait()
            case "malformed":
                for text in ("{", "[]", '{"type": 1}', '{"type": "audio_delta", "data": "?"}'):
                    await self.socket.send(text)
            case "oversized":
                await self.socket.send(bytes(8 << 20))
        await asyncio.sleep(0)

    async def _send(self, message: dict[str, Any] | bytes) -> None:
        await self.socket.send(message if isinstance(message, bytes) else orjson.dumps(message).decode())
