"""An agent somewhere else: any server that speaks the agent protocol (docs/agent-protocol.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from websockets.exceptions import ConnectionClosed

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents import remote_protocol as protocol
from visavis.agents.remote_line import Line, dial, public
from visavis.agents.transcript import Transcript
from visavis.agents.upstream import Upstream
from visavis.audio import BYTES, Resampler
from visavis.errors import ConfigurationError, VisavisError
from visavis.settings import Settings

BACKLOG = 64
"""Events that may wait for the session; an agent that sends more is read more slowly."""
HELLO_SECONDS = 0.3
"""How long a new connection waits for the agent's hello: older agents do not send one."""
FLAWS = 10
"""Malformed messages in a row after which a connection is given up."""
LONGEST_REPLY = 20_000
"""Characters of one response's text."""
NAMES = 8
"""Responses whose names are remembered: the one that is heard and those that wait behind it."""
SILENCE = bytes(2 * protocol.RATE)
"""What an older agent hears when the microphone goes off: a second in which it can notice the end."""


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without a url."""
    if not settings.remote.url:
        raise ConfigurationError(
            "The remote agent needs an address: set AGENT_URL, such as ws://localhost:9000."
        )


def load(settings: Settings) -> RemoteEngine:
    """The agent at `remote.url`; nothing is sent before a conversation begins. Raises as `check` does."""
    check(settings)
    return RemoteEngine(settings)


class RemoteEngine:
    """Where the agent is; each conversation has a connection of its own."""

    input_rate = output_rate = protocol.RATE

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.remote
        self.assistant = settings.assistant
        self.where = public(settings.remote.url)
        self.problem = ""

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[RemoteAgent]:
        with closing(RemoteAgent(self, brief)) as agent:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(agent.run)
                yield agent
                tasks.cancel_scope.cancel()

    def status(self) -> dict[str, Any]:
        problems = [self.problem] if self.problem else []
        return {"name": "remote", "models": [], "where": self.where, "problems": problems}

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[Line]:
        """A connection to the agent; what keeps it from being made is remembered."""
        try:
            async with dial(self.settings) as line:
                self.problem = ""
                yield line
        except VisavisError as error:
            self.problem = str(error)
            raise


@dataclass(slots=True)
class _Response:
    """A reply as the agent calls it (`name`) and as the session does (`id`)."""

    id: str
    name: str
    voice: Resampler
    room: int = LONGEST_REPLY
    """Characters that its text may still have."""
    timed: bool = False
    """Its words come with their times."""
    worded: bool = False
    """Its text comes without times."""
    sounding: bool = False
    """There is sound."""
    samples: int = 0
    """How much of it there is, at `RATE`."""


class RemoteAgent:
    """One conversation with the agent, across as many connections as it takes."""

    def __init__(self, engine: RemoteEngine, brief: Brief) -> None:
        self._engine, self._brief = engine, brief
        self._events_in, self._events = anyio.create_memory_object_stream[ev.FromAgent](BACKLOG)
        self._upstream = Upstream(
            self._dial,
            self._serve,
            self._tell,
            longest_wait=engine.settings.reconnect_seconds,
            patience=engine.settings.timeout_seconds,
        )
        self._transcript = Transcript(engine.assistant.memory_turns, history=brief.history)
        self._response: _Response | None = None
        self._names: dict[str, str] = {}  # what the agent calls the last replies
        self._count = 0
        self._asked = False  # the user waits for an answer
        self._speaking = False  # the last reply may still be heard
        self._dropping = False  # what comes belongs to a response that was cut off
        self._mic: ev.MicOn | None = None
        self._partial = ""
        self._ledger: dict[ev.Stage, float] = {}  # when the stages before the next reply were reached

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._events.__aiter__()

    async def run(self) -> None:
        """Keep the connection until the conversation is over."""
        await self._upstream.run()

    def close(self) -> None:
        """Let go of the events that nobody will read."""
        self._events_in.close()
        self._events.close()

    # -- to the agent ----------------------------------------------------------------------------------------
    async def send(self, event: ev.ToAgent) -> None:
        match event:
            case ev.UserAudio(pcm):
                if (line := self._upstream.connection) is not None:
                    await _try(line.send_audio(pcm))
            case ev.CancelReply(reply, heard, text):
                await self._cancel(reply, heard, text)
            case ev.ToolResult():
                if (line := self._upstream.connection) is not None:
                    await _try(line.send(protocol.tool_result(event)))
            case ev.UserText() | ev.MicOn() | ev.MicOff():
                try:
                    await self._ask(event, await self._upstream.get())
                except VisavisError as error:
                    await self._tell(error)

    async def _ask(self, event: ev.UserText | ev.MicOn | ev.MicOff, line: Line) -> None:
        match event:
            case ev.UserText(text):
                self._asked, self._speaking = True, False
                self._ledger.clear()
                self._transcript.user(text)
                await _try(line.send({"type": "text", "data": text}))
            case ev.MicOn():
                self._mic = event
                if line.hello is not None:
                    await _try(line.send(protocol.mic_on(event)))
            case ev.MicOff():
                self._mic, self._asked = None, True
                self._reached("speech_end")
                # Older agents know no such message, only the sound of silence.
                known = line.hello is not None
                await _try(line.send_audio(b"" if known else SILENCE, last=True))
                if known:
                    await _try(line.send({"type": "mic_off"}))

    async def _cancel(self, reply: str | None, heard: float, text: str) -> None:
        if reply is None:
            self._asked = False
        else:
            self._transcript.cut(reply, text)
        self._speaking = False
        if self._response is not None and reply in (None, self._response.id):
            self._response, self._dropping = None, True
        if (line := self._upstream.connection) is not None and line.hello is not None:
            await _try(line.send(protocol.interrupt(self._names.get(reply or ""), heard, text)))

    # -- the connection --------------------------------------------------------------------------------------
    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[Line]:
        """A connection on which, if the agent knows of it, the hellos have been exchanged."""
        async with self._engine.dial() as line:
            with anyio.move_on_after(HELLO_SECONDS), suppress(ConnectionClosed):
                first = await line.socket.recv()
                line.first = None if await self._greeted(line, first) else first
            yield line

    async def _greeted(self, line: Line, first: str | bytes) -> bool:
        """Is the first message a hello? Then it is answered before anything else is sent."""
        with suppress(protocol.Malformed):
            if isinstance(first, str) and (message := protocol.parse(first))["type"] == "hello":
                await self._welcome(line, protocol.read_hello(message))
                return True
        return False

    async def _serve(self, line: Line) -> None:
        """Hear a connection to its end, which is always a loss: raises `VisavisError`."""
        with suppress(ConnectionClosed):
            flaws = 0
            async for message in line.messages():
                try:
                    await self._hear(line, message)
                    flaws = 0
                except protocol.Malformed as flaw:
                    flaws += 1
                    structlog.get_logger().warning("malformed message from the agent", reason=str(flaw))
                    if flaws == FLAWS:
                        await line.socket.close(1008, "too many malformed messages")
                        break
        reason = f"{line.socket.close_code} {line.socket.close_reason or ''}".strip()
        error = VisavisError(
            "AGENT_LOST",
            f"The connection to the agent at {self._engine.where} was lost ({reason}). Please say it again.",
        )
        if self._response is not None or self._asked:
            await self._tell(error)
        raise error

    async def _welcome(self, line: Line, hello: protocol.Hello) -> None:
        line.agree(hello)
        history = self._transcript.messages()
        brief = self._brief
        await _try(line.send(protocol.welcome(hello, brief.informed, history, brief.tools)))
        if self._mic is not None:
            await _try(line.send(protocol.mic_on(self._mic)))

    # -- from the agent --------------------------------------------------------------------------------------
    async def _hear(self, line: Line, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._sound(line, message)
        else:
            await self._understand(line, protocol.parse(message))

    async def _understand(self, line: Line, message: protocol.Message) -> None:
        match message["type"]:
            case "hello":
                await self._welcome(line, protocol.read_hello(message))
            case "response_start":
                await self._begin(line, protocol.text(message, "response_id", "session_id"))
            case "audio_delta" if self._current(message):
                words, phonemes = protocol.read_words(message), protocol.read_phonemes(message)
                await self._sound(line, protocol.read_pcm(message), words, phonemes)
            case "transcript_delta" if message.get("role") == "user":
                self._partial = (self._partial + protocol.text(message, "delta"))[-protocol.LONGEST_TEXT :]
                await self._emit(ev.UserPartial(self._partial.strip()))
            case "transcript_delta" if self._current(message):
                await self._words(line, protocol.text(message, "delta"))
            case "response_end" if self._current(message):
                await self._end(line, protocol.text(message, "transcript"))
            case "emotion" if self._current(message):
                await self._feel(line, *protocol.read_emotion(message))
            case "user_transcript":
                await self._user_said(protocol.text(message, "transcript").strip())
            case "user_speaking":
                speaking = protocol.flag(message, "speaking", default=True)
                if not speaking:
                    self._reached("speech_end")
                await self._emit(ev.BargeIn("duck" if speaking else "resume"))
            case "interrupted" if self._speaking:
                self._speaking, self._response, self._dropping = False, None, True
                await self._emit(ev.UserInterrupts())
            case "trigger_action":
                name, arguments = protocol.read_action(message)
                await self._emit(ev.Action(name, arguments))
            case "tool_call":
                await self._emit(protocol.read_call(message))
            case "error":
                await self._fail(*protocol.read_error(message))
            case other:
                structlog.get_logger().debug("nothing to do for the agent's message", type=other)

    def _current(self, message: protocol.Message) -> bool:
        """Is the message about the response that goes on, or may it begin one without announcing it?"""
        name = protocol.text(message, "response_id")
        if self._response is None:
            ended = message["type"] == "response_end"
            self._dropping = self._dropping and not ended
            return not self._dropping and not ended and not name
        return name in ("", self._response.name)

    async def _begin(self, line: Line, name: str) -> _Response:
        if self._response is not None:
            await self._end(line, "")
        self._count += 1
        response = _Response(f"remote-{self._count}", name, Resampler(line.rate, protocol.RATE))
        self._response, self._asked, self._speaking, self._dropping = response, False, True, False
        if name:
            self._names[response.id] = name
        while len(self._names) > NAMES:
            del self._names[next(iter(self._names))]
        for stage, at in tuple(self._ledger.items()):  # more may be reached meanwhile
            await self._emit(ev.Milestone(response.id, stage, at))
        self._ledger.clear()
        await self._emit(ev.ReplyStarted(response.id))
        return response

    async def _sound(
        self,
        line: Line,
        pcm: bytes,
        words: tuple[ev.Word, ...] = (),
        phonemes: tuple[ev.Phoneme, ...] | None = None,
    ) -> None:
        if self._response is None and self._dropping:
            return
        response = self._response or await self._begin(line, "")
        if response.worded:
            words = ()
        elif words:
            response.timed = True
            spoken = "".join(f"{word.text} " for word in words)
            response.room -= len(spoken)
            self._transcript.said(response.id, spoken)
        if pcm and not response.sounding:
            response.sounding = True
            await self._emit(ev.Milestone(response.id, "first_audio", _now()))
        pcm = response.voice(pcm)
        response.samples += len(pcm) // BYTES
        if response.room > 0 and (pcm or words or phonemes is not None):
            await self._emit(ev.ReplyAudio(response.id, pcm, words, phonemes))

    async def _feel(self, line: Line, name: ev.EmotionName, at: float | None) -> None:
        response = self._response or await self._begin(line, "")
        now = response.samples / protocol.RATE
        await self._emit(ev.Emotion(response.id, name, now if at is None else at))

    async def _words(self, line: Line, text: str) -> None:
        response = self._response or await self._begin(line, "")
        text = text[: response.room]
        if text and not response.timed:
            response.worded = True
            response.room -= len(text)
            self._transcript.said(response.id, text)
            await self._emit(ev.ReplyText(response.id, text))

    async def _end(self, line: Line, transcript: str) -> None:
        if (response := self._response) is None:
            return
        if not response.worded:
            await self._words(line, transcript)
        if tail := response.voice(b"", last=True):
            await self._emit(ev.ReplyAudio(response.id, tail))
        self._response = None
        await self._emit(ev.ReplyDone(response.id))

    async def _user_said(self, text: str) -> None:
        self._partial = ""
        self._asked = bool(text)
        self._ledger.setdefault("speech_end", _now())
        self._reached("end_of_turn")
        self._transcript.user(text)
        await self._emit(ev.UserSaid(text))

    async def _fail(self, code: str, message: str) -> None:
        failed, self._response = self._response, None
        self._asked, self._dropping = False, failed is not None
        await self._emit(ev.ReplyFailed(code, message, None if failed is None else failed.id))

    async def _tell(self, error: VisavisError) -> None:
        await self._fail(error.code, str(error))

    def _reached(self, stage: ev.Stage) -> None:
        self._ledger[stage] = _now()

    async def _emit(self, event: ev.FromAgent) -> None:
        await self._events_in.send(event)


async def _try(sending: Awaitable[None]) -> None:
    """Send; a connection that is lost meanwhile is noticed by whoever reads from it."""
    with suppress(ConnectionClosed):
        await sending


def _now() -> float:
    return asyncio.get_running_loop().time()
