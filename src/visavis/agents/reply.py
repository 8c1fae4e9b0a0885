"""One answer: the language model streams, clause by clause the voice follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import repeat

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from visavis import events as ev
from visavis.agents import Library
from visavis.agents.parts import Excuse, Speaking
from visavis.audio import BYTES, Resampler
from visavis.clauses import ClauseCutter
from visavis.echo import SPOKEN_AGO
from visavis.emotions import read
from visavis.errors import VisavisError
from visavis.languages import ENGLISH, NO_ANSWER
from visavis.needed import need
from visavis.stages import LISTEN_RATE, Message, Speech, StreamedTextToSpeech
from visavis.stages.looked_up import said_before, told
from visavis.tools import Tool
from visavis.workers import Workers

LONGEST_TEXT = 4000
"""Characters of a question or of an answer."""
ROUNDS = 5
"""How often in one answer the model may call tools, any number at a time."""
LOOK_AHEAD = 10.0
"""Seconds of speech made before they are needed, at most; an interruption throws them away."""
FAILED = "Something went wrong while answering. Please try again."

Emit = Callable[[ev.FromAgent], None]


class Reply:
    """The answer to one message of the user. Until `commit` nothing of it comes out; after `stop` nothing
    more does."""

    def __init__(
        self,
        id: str,
        question: str,
        spoken: bool,
        stages: Speaking,
        language: str | None = None,
        tools: Sequence[Tool] = (),
        library: Library | None = None,
        excuse: Excuse | None = None,
    ) -> None:
        """`language` is what it is to be in, when the voice speaks it; None is the voice's own."""
        self.id = id
        self.question = question
        self.spoken = spoken
        """The question was asked by voice."""
        self.said = ""
        """The text whose sound has been made."""
        self.started = False
        """There is sound."""
        self.done = False
        """All of it has been made."""
        self.cut: str | None = None
        """What was heard of it, when it was cut off."""
        self.stopped = False
        self.failed = False
        self._model, self._voice, self._workers = stages.llm, stages.tts, stages.workers
        self._meters, self._kept = stages.meters, stages.said
        self._library = library
        self._sources: tuple[ev.Source, ...] = ()
        self._language = language if language in stages.tts.languages else None
        self._scope = anyio.CancelScope()
        self._tools = tools
        self._calls = 0
        self._waiting: dict[str, asyncio.Future[ev.ToolResult]] = {}
        self._held: list[ev.FromAgent] = []
        self._emit: Emit = self._held.append
        self._committed = anyio.Event()
        self._excuse, self._excused = excuse, ""
        self._asked = 0.0
        self._thought = False
        """The model has begun to write."""
        self._answered = False
        """There is sound of the answer itself."""
        self._cited = False
        self._room = LONGEST_TEXT
        self._length = 0
        self._sounds_since: float | None = None
        self._words: list[ev.Word] = []
        self._next_emotion: ev.EmotionName | None = None  # of the next word, which is not written yet
        self._listener = Resampler(stages.tts.rate, LISTEN_RATE)
        self._heard_as = bytearray()

    # -- for the agent -------------------------------------------------------------------------------------
    def commit(self, emit: Emit) -> None:
        """From now on everything goes to `emit`, first what has been made already."""
        self._emit = emit
        self._committed.set()
        if self.started:
            self._sounds_since = _now()
        for event in self._held:
            emit(event)
        self._held.clear()

    def returned(self, result: ev.ToolResult) -> None:
        """A tool that the model has called returned."""
        if (waiting := self._waiting.pop(result.call, None)) is not None and not waiting.done():
            waiting.set_result(result)

    def stop(self) -> None:
        """End it: the model is closed, the voice says no further clause."""
        self.stopped = True
        if not self.done and self.cut is None:
            self.cut = ""  # until somebody knows what was heard
        self._emit = _nobody
        self._scope.cancel()

    @property
    def remembered(self) -> str:
        """Its text, as the user knows it."""
        text = self.said if self.cut is None else self.cut
        return "" if self._excused.startswith(text) else text.removeprefix(self._excused).strip()

    def sounding(self) -> float:
        """Seconds since its first sound was sent; negative before that."""
        return -1.0 if self._sounds_since is None else _now() - self._sounds_since

    def playing(self, played: int, count: int) -> bytes:
        """PCM16 at `LISTEN_RATE`: the `count` samples that end where `played` samples of it were heard."""
        end = played * LISTEN_RATE // self._voice.rate * BYTES
        start = end - count * BYTES
        known = bytes(self._heard_as[max(0, start) : max(0, end)])
        before = min(count * BYTES, max(0, -start))
        return bytes(before) + known + bytes(count * BYTES - before - len(known))

    def recent(self, played: int) -> str:
        """What it said in the seconds before sample `played`; an echo of it may still be heard."""
        now = played / self._voice.rate
        if not self._words:
            return self.said
        return " ".join(
            word.text for word in self._words if now - SPOKEN_AGO <= word.end and word.start <= now
        )

    # -- the work --------------------------------------------------------------------------------------------
    async def run(self, messages: Sequence[Message]) -> None:
        """Answer `messages`; never raises."""
        self._asked = _now()
        need(self._asked)
        with self._scope:
            try:
                clauses, text = anyio.create_memory_object_stream[str](LONGEST_TEXT)
                async with clauses, text, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._think, messages, clauses)
                    tasks.start_soon(self._ask_for_patience)
                    await self._speak(text)
                    tasks.cancel_scope.cancel()
            except Exception as error:
                self._fail(error)

    async def _think(self, messages: Sequence[Message], clauses: MemoryObjectSendStream[str]) -> None:
        """Let the model write, and write on with what the tools that it calls return; `clauses` is closed
        only when the answer is complete."""
        messages = await self._informed(messages)
        for tools in (*repeat(self._tools, ROUNDS), ()):
            text, calls = await self._write(messages, tools, clauses)
            if not calls:
                break
            results = await self._use(calls)
            language = messages[-1].language
            said = [Message("tool", result.output, language, call=result.call) for result in results]
            messages = [*messages, Message("assistant", text, calls=calls), *said]
        clauses.close()

    async def _write(
        self, messages: Sequence[Message], tools: Sequence[Tool], clauses: MemoryObjectSendStream[str]
    ) -> tuple[str, tuple[ev.ToolCall, ...]]:
        """Cut what the model writes into clauses; returns it, and the calls of `tools` that came with it."""
        cutter, text, calls = ClauseCutter(), "", list[ev.ToolCall]()
        pieces = self._meters["llm"].to_first(self._model.reply(messages, tools))
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, ev.ToolCall):
                    self._calls += 1
                    # The ids of some servers are empty, or the same in every answer.
                    calls.append(replace(piece, call=f"{self.id}-{self._calls}"))
                    continue
                if piece and not self._thought:
                    self._thought = True
                    self._reached("first_token")
                piece = piece[: self._room]
                for clause in cutter.feed(piece):
                    clauses.send_nowait(clause)
                text += piece
                self._room -= len(piece)
                if self._room <= 0:
                    break
        for clause in cutter.close():
            clauses.send_nowait(clause)
        return text, tuple(calls) if tools else ()

    async def _use(self, calls: Sequence[ev.ToolCall]) -> list[ev.ToolResult]:
        """What the tools return; the session sees to it that each of them does in time."""
        loop = asyncio.get_running_loop()
        returning = [self._waiting.setdefault(call.call, loop.create_future()) for call in calls]
        for call in calls:
            self._emit(call)
        return [await result for result in returning]

    async def _informed(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages with what can be looked up for the last one."""
        if self._library is None:
            return messages
        before = said_before(messages)
        self._sources = await self._workers.run(self._library.search, self.question, before, due=self._asked)
        return told(messages, self._sources)

    async def _speak(self, clauses: MemoryObjectReceiveStream[str]) -> None:
        """Speak the clauses in order, never far ahead of their being heard."""
        async for clause in clauses:
            await anyio.sleep(max(0.0, self._ahead() - LOOK_AHEAD))
            await self._say(clause)
        if not self._answered and self._calls:
            self.done = True
            self._emit(ev.UserSaid(""))  # a tool did all that there was to do
            return
        if not self._answered:
            await self._say(NO_ANSWER.get(self._language or ENGLISH, NO_ANSWER[ENGLISH]))
        if not self._answered:
            raise VisavisError("VOICE_SILENT", "The voice made no sound; try another one (`stages.tts`).")
        self.done = True
        self._emit(ev.ReplyDone(self.id))

    async def _ask_for_patience(self) -> None:
        """Say that it takes a moment, if the answer is late or is sure to be."""
        if self._excuse is None or not (phrase := self._excuse.phrase(self._language or ENGLISH)):
            return
        await self._committed.wait()
        if self._delay() <= self._excuse.after:
            await anyio.sleep(self._excuse.after)
        if self.started:
            return
        ears = Resampler(self._voice.rate, LISTEN_RATE)
        async with aclosing(self._spoken(phrase, ears)) as pieces:
            said = [(speech, heard_as) async for speech, heard_as in pieces if speech.pcm]
        if self.started or not said:
            return  # the answer has come meanwhile
        said[-1] = said[-1][0], said[-1][1] + ears(b"", last=True)
        self._excused = phrase
        self._excuse.count += 1
        for index, (speech, heard_as) in enumerate(said):
            text = "" if index else phrase
            self._hand_out(speech, heard_as, text, text.split(), {})

    def _delay(self) -> float:
        """Seconds until its first sound can be begun, as far as is known of those who wait before it."""
        thinking: Workers | None = getattr(self._model, "workers", None)
        delay = self._workers.delay(self._due())
        return delay + (thinking.delay(self._asked) if thinking is not None and not self._thought else 0.0)

    def _due(self) -> float:
        """When its next sound is needed."""
        return _now() + self._ahead() if self._answered else self._asked

    async def _say(self, clause: str) -> None:
        written, emotions = read(clause)
        if self._next_emotion is not None:
            emotions.setdefault(0, self._next_emotion)
        self._next_emotion = emotions.pop(len(written), None)
        text = " ".join(written)
        need(self._due())
        async with aclosing(self._spoken(text, self._listener)) as pieces:
            async for speech, heard_as in pieces:
                if speech.pcm:
                    self._answered = True
                    self._hand_out(speech, heard_as, text, written, emotions)
                    text, emotions = "", {}

    async def _spoken(self, text: str, ears: Resampler) -> AsyncGenerator[tuple[Speech, bytes], None]:
        """The pieces of a clause, each also as the microphone would hear it."""
        clause = text, self._language
        if (kept := self._kept.find(clause)) is not None:
            for speech in kept:
                yield speech, ears(speech.pcm)
            return
        made: list[Speech] = []
        async with aclosing(self._made(text, ears)) as pieces:
            async for speech, heard_as in pieces:
                made.append(speech)
                yield speech, heard_as
        self._kept.keep(clause, tuple(made))

    async def _made(self, text: str, ears: Resampler) -> AsyncGenerator[tuple[Speech, bytes], None]:
        """The pieces of a clause as the voice makes them."""
        if not isinstance(self._voice, StreamedTextToSpeech):
            yield await self._workers.run(self._synthesise, text, ears, due=self._due())
            return
        stream = self._meters["tts"].to_first(self._voice.stream(text, self._language))
        async with aclosing(stream) as pieces:
            async for speech in pieces:
                yield speech, ears(speech.pcm)

    def _hand_out(
        self,
        speech: Speech,
        heard_as: bytes,
        text: str,
        written: Sequence[str],
        emotions: Mapping[int, ev.EmotionName],
    ) -> None:
        """Send the next piece; `text` and `emotions` of its clause come with the first one."""
        if not self.started:
            self.started = True
            self._reached("first_audio")
            self._emit(ev.ReplyStarted(self.id))
            if self._committed.is_set():
                self._sounds_since = _now()
        if self._sources and self._answered and not self._cited:
            self._cited = True
            self._emit(ev.Cited(self._sources))
        shift = self._length / self._voice.rate
        for index, name in emotions.items():
            at = shift + _start(speech, index, len(written), self._voice.rate)
            self._emit(ev.Emotion(self.id, name, at))
        words = tuple(replace(w, start=w.start + shift, end=w.end + shift) for w in speech.words)
        phonemes = speech.phonemes and tuple(
            replace(p, start=p.start + shift, end=p.end + shift) for p in speech.phonemes
        )
        if text and not words:
            self._emit(ev.ReplyText(self.id, text + " "))
        self._emit(ev.ReplyAudio(self.id, speech.pcm, words, phonemes))
        self.said = f"{self.said} {text}".strip()
        self._words += words
        self._heard_as += heard_as
        self._length += len(speech.pcm) // BYTES

    def _synthesise(self, clause: str, ears: Resampler) -> tuple[Speech, bytes]:
        speech = self._meters["tts"].timed(self._voice)(clause, self._language)
        return speech, ears(speech.pcm)

    def _ahead(self) -> float:
        """Seconds of speech that have been made and not been heard."""
        return self._length / self._voice.rate - max(0.0, self.sounding())

    def _reached(self, stage: ev.Stage) -> None:
        self._emit(ev.Milestone(self.id, stage, _now()))

    def _fail(self, error: Exception) -> None:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        self.failed = True
        log = structlog.get_logger()
        code, message = "AGENT_FAILED", FAILED
        if isinstance(cause, VisavisError):
            code, message = cause.code, str(cause)
            log.warning("the reply failed", code=code, reason=message)
        else:
            log.error("the reply failed", exc_info=cause)
        self._emit(ev.ReplyFailed(code, message, self.id if self.started else None))


def _start(speech: Speech, index: int, words: int, rate: int) -> float:
    """Seconds at which a word begins, by its index of `words`; a guess when the voice did not tell."""
    if index < len(speech.words):
        return speech.words[index].start
    return len(speech.pcm) / BYTES / rate * index / words


def _nobody(event: ev.FromAgent) -> None:
    """Nobody wants to hear it any more."""


def _now() -> float:
    return asyncio.get_running_loop().time()
