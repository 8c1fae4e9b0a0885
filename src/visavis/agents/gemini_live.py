"""Google's Gemini Live.

Gemini cannot be told to forget the part of a reply that was not heard. So when the user cuts a reply off, the
session is replaced by a fresh one that is given the conversation *as it was heard*; what the user is saying
meanwhile is kept and follows. The same restores a conversation whose connection was lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
from websockets.exceptions import ConnectionClosed

from visavis import emotions
from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.transcript import Transcript
from visavis.agents.upstream import Upstream
from visavis.audio import BYTES, to_float
from visavis.errors import ConfigurationError, ExtraMissing, VisavisError
from visavis.settings import Settings

try:
    from visavis.agents.gemini_line import INPUT_RATE, OUTPUT_RATE, Dialler, Line
except ModuleNotFoundError as missing:
    raise ExtraMissing("Gemini Live needs Google's SDK", "gemini") from missing

if TYPE_CHECKING:
    from google.genai import types

BACKLOG = 64
"""Events that may wait for the session; the provider is read more slowly when it sends more."""
REPLAYED = 1.0
"""Seconds of the microphone before an interruption that a fresh session hears again: the user was speaking
before Gemini noticed it."""
UNSENT = 10.0
"""Seconds of the microphone that are kept while there is no connection."""
LOUD = 0.01
"""Root mean square from which the microphone may have heard a voice (-40 dB)."""
LONGEST_TEXT = 4_000
"""Characters of what the user says at once."""
QUIET = 4.0
"""Seconds after which a switched-off microphone counts as having heard nothing that Gemini understood."""


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without a key."""
    if not settings.gemini.key.get_secret_value():
        raise ConfigurationError("Gemini Live needs a key: set GEMINI_API_KEY.")


def load(settings: Settings) -> GeminiEngine:
    """Gemini Live; nothing is sent before a conversation begins. Raises as `check` does."""
    check(settings)
    return GeminiEngine(settings)


class GeminiEngine:
    """One client of the SDK; each conversation has sessions of its own."""

    input_rate, output_rate = INPUT_RATE, OUTPUT_RATE

    def __init__(self, settings: Settings) -> None:
        self.settings, self.assistant = settings.gemini, settings.assistant
        self.dialler = Dialler(settings.gemini)
        self.problem = ""

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[GeminiAgent]:
        with closing(GeminiAgent(self, brief)) as agent:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(agent.run)
                yield agent
                tasks.cancel_scope.cancel()

    def status(self) -> dict[str, Any]:
        problems = [self.problem] if self.problem else []
        return {"name": "gemini", "models": [self.settings.model], "problems": problems}


class GeminiAgent:
    """One conversation, across as many sessions as it takes."""

    def __init__(self, engine: GeminiEngine, brief: Brief) -> None:
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
        self._line: Line | None = None
        self._scope = anyio.CancelScope()
        self._handle: str | None = None  # where a session can be resumed that knows all that was said
        self._outdated = False  # the session that is being opened does not know all that was said
        self._leaving = False  # the server has announced that it closes the connection
        self._reply: str | None = None  # the reply that is being sent
        self._calls: dict[str, str] = {}  # the functions that this session waits for, and their names
        self._count = 0
        self._asked = False  # the user waits for an answer
        self._speaking = False  # the last reply may still be heard
        self._dropping = False  # what comes belongs to a reply that was cut off
        self._open = False  # the turn of the last reply has not ended
        self._heard = ""  # what the user seems to be saying
        self._recent = _Sound(REPLAYED)
        self._unsent = _Sound(UNSENT)
        self._interrupted = False  # by voice: what the microphone hears now belongs to the next question
        self._voiced = False  # since the microphone was switched on, or the last question
        self._quiet: asyncio.TimerHandle | None = None
        self._ledger: dict[ev.Stage, float] = {}

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._events.__aiter__()

    async def run(self) -> None:
        """Keep a session until the conversation is over."""
        await self._upstream.run()

    def close(self) -> None:
        """Let go of the events that nobody will read."""
        self._settle()
        self._events_in.close()
        self._events.close()

    # -- to Gemini -------------------------------------------------------------------------------------------
    async def send(self, event: ev.ToAgent) -> None:
        match event:
            case ev.UserAudio(pcm):
                await self._listen(pcm)
            case ev.CancelReply(reply, _, text):
                await self._cancel(reply, text)
            case ev.ToolResult():
                # An interruption cancels what a turn has called; a session that is told of it ends.
                name = self._calls.pop(event.call, None)
                if self._line is not None and name is not None:
                    await _try(self._line.send_result(name, event))
            case ev.UserText() | ev.MicOn() | ev.MicOff():
                try:
                    await self._ask(event, await self._upstream.get())
                except VisavisError as error:
                    await self._tell(error)

    async def _ask(self, event: ev.UserText | ev.MicOn | ev.MicOff, line: Line) -> None:
        match event:
            case ev.UserText(text):
                self._ledger.clear()
                self._asked, self._speaking, self._handle = True, False, None
                self._transcript.user(text)
                await _try(line.send_text(text))
            case ev.MicOn():
                self._voiced = False
            case ev.MicOff():
                self._reached("speech_end")
                await _try(line.end_audio())
                if self._voiced or self._heard:
                    self._asked = True
                    if not self._heard:
                        self._settle()
                        later = asyncio.get_running_loop().call_later
                        self._quiet = later(QUIET, self._nothing_said)
                else:
                    await self._emit(ev.UserSaid(""))

    async def _listen(self, pcm: bytes) -> None:
        if not pcm:
            return
        samples = to_float(pcm[: len(pcm) // BYTES * BYTES])
        if samples.size and np.sqrt(np.mean(samples**2)) > LOUD:
            self._voiced, self._handle = True, None
        if self._line is None:
            self._unsent.append(pcm)
        else:
            self._recent.append(pcm)
            await _try(self._line.send_audio(pcm))

    async def _cancel(self, reply: str | None, heard: str) -> None:
        """The user heard only `heard` of a reply; without a reply, wants no answer any more."""
        self._speaking = False
        if reply is not None:
            unfinished = self._reply == reply
            said = self._transcript.cut(reply, heard)
            if unfinished or emotions.read(said)[0] != heard.split():
                self._replace()
            return
        if self._asked or self._reply is not None:
            self._asked = False
            self._settle()
            self._replace()
        if self._heard:
            await self._user_said()
            await self._emit(ev.UserSaid(""))  # nobody waits for an answer

    def _replace(self) -> None:
        """Go on in a fresh session that knows what was said and heard."""
        self._handle, self._reply, self._dropping = None, None, False
        if self._interrupted:
            self._unsent.prepend(self._recent)
            self._heard = ""  # it will be understood again
        self._interrupted, self._outdated = False, True
        self._leave()

    def _leave(self) -> None:
        self._line = None
        self._upstream.drop()
        self._scope.cancel()

    # -- the session -----------------------------------------------------------------------------------------
    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[Line]:
        """A session that knows the conversation."""
        engine, handle, made = self._engine, self._handle, False
        self._outdated = False
        try:
            async with engine.dialler.dial(self._brief, handle, self._transcript.messages()) as line:
                if self._outdated:
                    raise VisavisError("GEMINI_LOST", "The conversation has changed meanwhile.")
                engine.problem, made = "", True
                yield line
        except VisavisError as error:
            if not made:
                self._handle = None  # perhaps it has expired: the next attempt tells the conversation anew
            engine.problem = str(error)
            raise

    async def _serve(self, line: Line) -> None:
        """Hear a session until it is to be replaced; raises `VisavisError` when it is lost."""
        self._leaving = self._dropping = self._open = False
        self._calls.clear()
        self._recent = _Sound(REPLAYED)
        with anyio.CancelScope() as self._scope:
            try:
                while pcm := self._unsent.take():
                    await _try(line.send_audio(pcm))
                self._line = line
                async for message in line.messages():
                    await self._hear(message)
            except VisavisError as error:
                if self._reply is not None or self._asked:
                    await self._tell(error)
                elif self._leaving:
                    return  # it was announced
                raise
            finally:
                self._line = None

    # -- from Gemini -----------------------------------------------------------------------------------------
    async def _hear(self, message: types.LiveServerMessage) -> None:
        if (update := message.session_resumption_update) is not None:
            self._handle = update.new_handle if update.resumable and update.new_handle else self._handle
        if message.go_away is not None:
            self._leaving = True
        if (content := message.server_content) is not None:
            await self._understand(content)
        if message.tool_call is not None:
            await self._called(message.tool_call.function_calls or [])
        for call in (cancelled.ids or ()) if (cancelled := message.tool_call_cancellation) else ():
            self._calls.pop(call, None)
        if self._leaving and self._handle is not None and self._reply is None and not self._asked:
            self._leave()  # the next session goes on where this one was; without a handle it is told

    async def _understand(self, content: types.LiveServerContent) -> None:
        if (interim := content.interim_input_transcription) is not None and interim.text:
            await self._emit(ev.UserPartial((self._heard + interim.text).strip()))
        if (said := content.input_transcription) is not None and said.text:
            self._settle()
            self._heard = (self._heard + said.text)[-LONGEST_TEXT:]
            await self._emit(ev.UserPartial(self._heard.strip()))
        if content.interrupted:
            await self._stopped()
        elif not self._dropping:
            await self._reply_with(content)
        if content.generation_complete or content.turn_complete:
            await self._complete(content)

    async def _reply_with(self, content: types.LiveServerContent) -> None:
        """The next sound and text of a reply; one message may hold several pieces."""
        parts = (content.model_turn.parts if content.model_turn else None) or []
        sounds = [part.inline_data.data for part in parts if part.inline_data and part.inline_data.data]
        words = content.output_transcription.text if content.output_transcription else None
        if not sounds and not words:
            return
        late = self._reply is None and self._open and not sounds
        reply = f"gemini-{self._count}" if late else self._reply or await self._begin()
        if words:
            self._transcript.said(reply, words)
            await self._emit(ev.ReplyText(reply, words))
        for pcm in sounds:
            await self._emit(ev.ReplyAudio(reply, pcm))

    async def _begin(self) -> str:
        await self._user_said()
        self._settle()
        self._count += 1
        self._reply = reply = f"gemini-{self._count}"
        self._asked, self._speaking, self._open, self._handle = False, True, True, None
        self._interrupted = self._voiced = False
        self._reached("first_audio")
        for stage, at in tuple(self._ledger.items()):  # more may be reached meanwhile
            await self._emit(ev.Milestone(reply, stage, at))
        self._ledger.clear()
        await self._emit(ev.ReplyStarted(reply))
        return reply

    async def _called(self, calls: list[types.FunctionCall]) -> None:
        await self._user_said()
        self._settle()
        self._asked, self._handle = True, None
        for call in calls:
            if call.id and call.name:
                self._calls[call.id] = call.name
                await self._emit(ev.ToolCall(call.id, call.name, call.args or {}))

    async def _stopped(self) -> None:
        """Gemini has heard the user speak and says no more."""
        self._reply, self._dropping = None, True
        if self._speaking:
            self._speaking, self._interrupted = False, True
            await self._emit(ev.UserInterrupts())

    async def _complete(self, content: types.LiveServerContent) -> None:
        """The reply has been sent, or (at the end of a turn) there is none."""
        if (reply := self._reply) is not None:
            self._reply = None
            await self._user_said(before=reply)  # its transcript may come late
            await self._emit(ev.ReplyDone(reply))
        if content.turn_complete and not (self._open or self._calls) and (self._asked or self._heard):
            # Gemini may choose not to answer; nobody waits for it then.
            await self._user_said()
            await self._emit(ev.UserSaid(""))
            self._asked = False
        if content.turn_complete:
            self._open = self._dropping = False

    async def _user_said(self, before: str = "") -> None:
        if text := self._heard.strip():
            self._heard = ""
            self._ledger.setdefault("speech_end", _now())
            self._reached("end_of_turn")
            self._transcript.user(text, before)
            await self._emit(ev.UserSaid(text, answered=bool(before)))

    def _nothing_said(self) -> None:
        """The microphone is off, and Gemini has understood nothing."""
        self._asked = False
        with suppress(anyio.WouldBlock):
            self._events_in.send_nowait(ev.UserSaid(""))

    def _settle(self) -> None:
        """There is something to wait for."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    async def _tell(self, error: VisavisError) -> None:
        self._settle()
        failed, self._reply, self._asked = self._reply, None, False
        await self._emit(ev.ReplyFailed(error.code, str(error), failed))

    def _reached(self, stage: ev.Stage) -> None:
        self._ledger[stage] = _now()

    async def _emit(self, event: ev.FromAgent) -> None:
        await self._events_in.send(event)


class _Sound:
    """The last `seconds` of the microphone."""

    def __init__(self, seconds: float) -> None:
        self._limit = round(seconds * INPUT_RATE) * BYTES
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def append(self, pcm: bytes) -> None:
        """The next piece; the oldest are forgotten."""
        self._pieces.append(pcm)
        self._size += len(pcm)
        while self._size > self._limit:
            self._size -= len(self._pieces.popleft())

    def prepend(self, other: _Sound) -> None:
        """Put what `other` holds before what is here."""
        self._pieces.extendleft(reversed(other._pieces))
        self._size += other._size

    def take(self) -> bytes:
        """The oldest piece, which is then forgotten; empty when there is none."""
        pcm = self._pieces.popleft() if self._pieces else b""
        self._size -= len(pcm)
        return pcm


async def _try(sending: Awaitable[None]) -> None:
    """Send; a connection that is lost meanwhile is noticed by whoever reads from it."""
    with suppress(ConnectionClosed):
        await sending


def _now() -> float:
    return asyncio.get_running_loop().time()
