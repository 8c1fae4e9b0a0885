"""One session of the simulated Gemini Live."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, Any

import orjson
from websockets.asyncio.server import ServerConnection

from visavis.audio import BYTES
from visavis.simulators.calls import SAYS, wanted
from visavis.simulators.ears import Ears
from visavis.simulators.voice import RATE

if TYPE_CHECKING:
    from visavis.simulators.gemini import Fault, GeminiSimulator

INPUT_RATE = 16_000
Context = list[tuple[str, str]]
"""Who (user, assistant) said what, as the model knows it."""


class SimulatedSession:
    """What goes over one connection. `setup` is how the client wants it; `context` what the model knows."""

    def __init__(self, simulator: GeminiSimulator, socket: ServerConnection) -> None:
        self._simulator, self.socket = simulator, socket
        self._how = simulator.behaviour
        self.setup: dict[str, Any] = {}
        self.context: Context = []
        self.audio = bytearray()
        """The user's voice."""
        self._ears = Ears(INPUT_RATE)
        self._reply: asyncio.Task[None] | None = None
        self._calls: dict[str, asyncio.Future[str]] = {}
        self._awaits_history = False
        self._sent = 0

    async def run(self) -> None:
        """Talk until the client leaves."""
        message = _camel(orjson.loads(await self.socket.recv()))
        self.setup = message["setup"]
        assert self.socket.request is not None
        key = self.socket.request.headers.get("x-goog-api-key", "")
        if refusal := self._simulator.refusal(key, self.setup["model"]):
            await self.socket.close(*refusal)
            return
        handle = self.setup.get("sessionResumption", {}).get("handle")
        if handle is not None and handle not in self._simulator.handles:
            await self.socket.close(1008, "BidiGenerateContent session expired")
            return
        self.context = list(self._simulator.handles.get(handle or "", []))
        self._awaits_history = bool(
            self.setup.get("historyConfig", {}).get("initialHistoryInClientContent", False)
        )
        self._simulator.sessions.append(self)
        await self.send({"setupComplete": {}})
        async for data in self.socket:
            await self._understand(_camel(orjson.loads(data)))
            self._simulator.changed()

    async def stop(self) -> None:
        """Say no more."""
        reply, self._reply = self._reply, None
        if reply is not None and reply is not asyncio.current_task():
            reply.cancel()
            await asyncio.gather(reply, return_exceptions=True)

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(orjson.dumps(message))
        self._simulator.changed()

    async def go_away(self) -> None:
        """Announce that the connection will be closed."""
        await self.send({"goAway": {"timeLeft": "10s"}})

    # -- what the user does ------------------------------------------------------------------------------
    async def _understand(self, message: dict[str, Any]) -> None:
        if (content := message.get("clientContent")) is not None:
            await self._append(content)
        elif (response := message.get("toolResponse")) is not None:
            await self._returned(response["functionResponses"])
        elif (realtime := message.get("realtimeInput")) is not None and not self._awaits_history:
            if (text := realtime.get("text")) is not None:
                await self._interrupt()
                self._answer(text)
            elif (blob := realtime.get("audio")) is not None:
                await self._listen(base64.urlsafe_b64decode(blob["data"]))
            elif realtime.get("audioStreamEnd") and self._ears.stop():
                await self._understood()

    async def _append(self, content: dict[str, Any]) -> None:
        """A history; since 3.1 a model takes one only at the beginning, when it was announced."""
        if not self._awaits_history and "gemini-2" not in self.setup["model"]:
            await self.socket.close(1007, "Request contains an invalid argument.")
            return
        for turn in content.get("turns", []):
            role = "assistant" if turn["role"] == "model" else "user"
            self.context.append((role, "".join(part["text"] for part in turn["parts"])))
        self._awaits_history = self._awaits_history and not content.get("turnComplete", False)

    async def _listen(self, pcm: bytes) -> None:
        self.audio += pcm
        for event in self._ears.hear(pcm):
            if event == "start":
                await self._interrupt()
            else:
                await self._understood()

    async def _interrupt(self) -> None:
        """The user takes the turn; whatever was sent stays in the context."""
        if self._reply is not None:
            await self.stop()
            if self._calls:
                await self.send({"toolCallCancellation": {"ids": list(self._calls)}})
                self._calls.clear()
            await self.send({"serverContent": {"interrupted": True}})
            await self.send({"serverContent": {"turnComplete": True}})

    async def _understood(self) -> None:
        if not self._how.late_transcript:
            await self._transcribe()
        self._answer(self._how.hears)

    async def _transcribe(self) -> None:
        for piece in re.findall(r"\S+\s*", self._how.hears):
            await self.send({"serverContent": {"inputTranscription": {"text": piece}}})

    # -- what it says ------------------------------------------------------------------------------------
    def _answer(self, question: str) -> None:
        spoken = self._how.late_transcript and question == self._how.hears
        self.context.append(("user", question))
        self._simulator.asked.append(list(self.context))
        call = wanted(question, self._functions())
        answer = (
            self._speak(self._how.answers.format(question), spoken) if call is None else self._call(*call)
        )
        self._reply = asyncio.create_task(answer)

    def _functions(self) -> list[str]:
        declared = [tool.get("functionDeclarations", []) for tool in self.setup.get("tools", [])]
        return [function["name"] for functions in declared for function in functions]

    async def _call(self, name: str, arguments: str) -> None:
        """Call a function; what comes of it is what is said."""
        id = f"call-{len(self._simulator.asked)}"
        self._calls[id] = asyncio.get_running_loop().create_future()
        call = {"id": id, "name": name, "args": orjson.loads(arguments)}
        await self.send({"toolCall": {"functionCalls": [call]}})
        await self._speak(SAYS.format(await self._calls[id]), late=False)

    async def _returned(self, responses: list[dict[str, Any]]) -> None:
        """What functions return; one that was cancelled, or never called, ends the session."""
        for one in responses:
            if (waiting := self._calls.pop(one["id"], None)) is None:
                await self.socket.close(1008, "Requested entity was not found.")
                return
            waiting.set_result(one["response"].get("output") or one["response"]["error"])

    async def _speak(self, text: str, late: bool) -> None:
        self._sent = 0
        if text:
            pcm, words = await asyncio.to_thread(self._simulator.voice.say, text)
            clock = asyncio.get_running_loop().time
            await asyncio.sleep(self._how.delay)
            begin = clock()
            size = round(RATE * self._how.chunk_ms / 1000) * BYTES or len(pcm)
            said: list[str] = []
            for start in range(0, len(pcm), size):
                seconds = [at / RATE / BYTES for at in (start, start + size)]
                await asyncio.sleep(max(0.0, begin + seconds[0] / self._how.speed - clock()))
                new = [word.text for word in words if seconds[0] <= word.start < seconds[1]]
                if new:
                    self._remember(said, new)
                words_now = "" if self._how.late_words else " ".join([*new, ""])
                await self._say(pcm[start : start + size], words_now)
            if late:
                await self._transcribe()
            await self.send({"serverContent": {"generationComplete": True}})
            if self._how.late_words:
                await self.send({"serverContent": {"outputTranscription": {"text": " ".join([*said, ""])}}})
            if self._how.playback:
                await asyncio.sleep(max(0.0, begin + len(pcm) / BYTES / RATE - clock()))
        await self.send({"serverContent": {"turnComplete": True}, "usageMetadata": {"totalTokenCount": 1}})
        self._reply = None
        handle = f"handle-{len(self._simulator.handles) + 1}"
        self._simulator.handles[handle] = list(self.context)
        await self.send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    def _remember(self, said: list[str], new: list[str]) -> None:
        if said:
            self.context.pop()
        said += new
        self.context.append(("assistant", " ".join(said)))

    async def _say(self, pcm: bytes, words: str) -> None:
        """The next sound and words of a reply, or what goes wrong in their place."""
        if (fault := self._simulator.wrong(self._sent)) is not None:
            await self._misbehave(fault)
        self._sent += 1
        blob = {"mimeType": f"audio/pcm;rate={RATE}", "data": base64.b64encode(pcm).decode()}
        content: dict[str, Any] = {"modelTurn": {"parts": [{"inlineData": blob}]}}
        if words.strip():
            content["outputTranscription"] = {"text": words}
        await self.send({"serverContent": content})

    async def _misbehave(self, fault: Fault) -> None:
        match fault:
            case "close":
                await self.socket.close(1011, "Internal error encountered.")
            case "abort":
                self.socket.transport.abort()
            case "hang":
                await asyncio.Event().wait()
            case "quota":
                await self.socket.close(1011, "You exceeded your current quota, please check your plan")
            case "malformed":
                await self.socket.send("{")
            case "go_away":
                await self.go_away()


def _camel(value: Any) -> Any:
    """The SDK writes some names with underscores; the protocol has them in camel case."""
    if isinstance(value, dict):
        return {
            re.sub(r"_(\w)", lambda found: found[1].upper(), key): _camel(inner)
            for key, inner in value.items()
        }
    return [_camel(inner) for inner in value] if isinstance(value, list) else value
