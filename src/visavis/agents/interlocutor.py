"""One conversation of the embedded agent: who has the turn, and what is said.

Everything here happens on the event loop's thread. Questions to models are tasks that carry the turn, the
barge-in or the reply they belong to; answers to one that is over fall on the floor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from itertools import count
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup

from visavis import events as ev
from visavis.agents import Library
from visavis.agents.listening import PREROLL, Listening, joined
from visavis.agents.microphone import LONGEST, Microphone
from visavis.agents.parts import Stages
from visavis.agents.reply import LONGEST_TEXT, Reply
from visavis.echo import is_echo_text
from visavis.errors import VisavisError
from visavis.languages import ENGLISH
from visavis.memory import Memory
from visavis.stages import LISTEN_RATE, Message, Samples, Transcript
from visavis.tools import Tool
from visavis.turntaking import (
    SOONEST,
    AskTurn,
    AskWords,
    Barge,
    BargeAction,
    BargeInPolicy,
    Turn,
    TurnAction,
    samples,
)

OUTBOX = 1024
"""Events that may wait to be taken from an agent; a session that takes none for so long is broken."""
WORDS_FROM = samples(0.16)
"""How much before the onset of a barge-in its words are listened for."""
WORDS_OF = samples(6.0)
"""The longest voice of which words are asked for while the avatar speaks."""
CAPTION_WITHIN = 1.0
"""Seconds in which words are shown that are still being said."""
GOES_ON = samples(1.0)
"""A user who goes on this soon after the first sound of the reply had not finished: both are one turn."""
SHOWS_WITHIN = 1.0
"""Seconds from a reply's first sound until the session reports it as being heard."""
Question = Callable[[Listening, AskTurn, Samples], Coroutine[Any, Any, None]]
"""About the user's turn; the audio is all of it."""
_log = structlog.get_logger()


class Interlocutor:
    """The agent of one session. `tasks` bounds everything it starts.

    `language` is what it speaks until the ears tell another one that its voice speaks too; None: the English
    for which the stages were set up. The ears listen for `hears`, None is what they were set up for. `cast`
    gives the stages with the voice of an avatar.
    """

    def __init__(
        self,
        stages: Stages,
        memory: Memory,
        tasks: TaskGroup,
        language: str | None = None,
        hears: str | None = None,
        tools: Sequence[Tool] = (),
        library: Library | None = None,
        cast: Callable[[str], Awaitable[Stages]] | None = None,
    ) -> None:
        self._stages, self._memory, self._tasks = stages, memory, tasks
        self._language, self._hears, self._tools, self._library = language, hears, tools, library
        self._outbox, self._events = anyio.create_memory_object_stream[ev.FromAgent](OUTBOX)
        self._ids = count(1)
        self._microphone = Microphone(stages.vad, stages.meters["vad"])
        self._on = False
        self._hands_free = True
        self._deaf = False
        """Voice activity has failed; until the microphone is switched on again nothing is heard."""
        self._turn = Listening(0, language=self._spoken)
        self._reply: Reply | None = None
        """The committed reply that is being prepared or heard."""
        self._barge = BargeInPolicy(language=self._spoken)
        self._played = 0
        """Samples of `_reply` that the user had heard at the last report."""
        self._first_heard: int | None = None
        """Where in the microphone's audio the user began to hear `_reply`."""
        self._last: Reply | None = None
        """The latest committed reply, until its exchange goes into the memory."""
        self._cast, self._avatar = cast or stages.cast_as, ""

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._events

    def close(self) -> None:
        self._outbox.close()
        self._events.close()

    async def send(self, event: ev.ToAgent) -> None:
        """Take what the user did; never waits."""
        match event:
            case ev.UserAudio():
                self._hear(event)
            case ev.MicOn():
                self._microphone_on(event.hands_free)
            case ev.MicOff():
                self._microphone_off()
            case ev.UserText(text):
                self._read(text)
            case ev.CancelReply():
                self._cancel(event)
            case ev.ToolResult():
                if self._last is not None:
                    self._last.returned(event)
            case ev.Recast(avatar):
                self._avatar = avatar
                self._tasks.start_soon(self._recast, avatar)

    async def _recast(self, avatar: str) -> None:
        """Have the voice of an avatar from the next reply on."""
        try:
            stages = await self._cast(avatar)
        except Exception:
            _log.exception("there is no voice for the avatar", avatar=avatar)
            return
        if avatar == self._avatar:
            self._stages = stages

    # -- what the user does ----------------------------------------------------------------------------
    def _hear(self, event: ev.UserAudio) -> None:
        if self._deaf:
            return
        self._on = self._on or bool(event.pcm)
        playing = self._follow(event)
        learn = self._barge.phase == "listen"  # a ducked avatar is quieter than what is known to be played
        try:
            for probability, user in self._microphone.frames(event.pcm, playing, learn):
                self._frame(probability, user)
        except Exception:
            _log.exception("the microphone failed")
            self._deaf = True
            self._emit(
                ev.ReplyFailed("AGENT_FAILED", "Your voice cannot be understood just now; please type.")
            )
            self._drop_turn()

    def _microphone_on(self, hands_free: bool) -> None:
        self._on, self._deaf, self._hands_free = True, False, hands_free
        self._microphone.reset()
        self._barge = BargeInPolicy(self._microphone.heard, self._spoken)
        if not self._turn.closing:
            self._drop_turn()

    def _microphone_off(self) -> None:
        for probability, user in self._microphone.flush():
            self._frame(probability, user)
        self._on = False
        if self._reply is None:
            self._finish(self._turn)
        elif actions := self._barge.close():
            self._barge_actions(self._barge, actions)
        elif self._reply.started:
            self._emit(ev.UserSaid(""))

    def _read(self, text: str) -> None:
        self._drop_turn()
        if self._reply is not None:
            self._stop_reply()
        if not text.strip():
            self._emit(ev.UserSaid(""))
            return
        self._commit(self._answer(text, spoken=False))

    def _cancel(self, event: ev.CancelReply) -> None:
        if event.reply is None:
            if self._turn.closing:
                self._drop_turn()
            if self._reply is not None and self._first_heard is None:
                self._stop_reply()
        elif self._last is not None and self._last.id == event.reply:
            self._last.stop()
            self._last.cut = event.text
            if self._reply is self._last:
                self._reply_is_over()

    # -- frames ----------------------------------------------------------------------------------------
    def _follow(self, event: ev.UserAudio) -> bytes | None:
        """Note what is being heard; return the sound of it during this audio, None when nothing is played."""
        length = len(event.pcm) // 2
        reply, last = self._reply, self._last
        if reply is None and last is not None and last.id == event.reply and not last.stopped:
            self._follow_reply(last)  # it was shown later than expected
            reply = last
        if reply is None:
            return None
        if event.reply is None:
            if self._first_heard is not None or reply.sounding() > SHOWS_WITHIN:
                self._reply_is_over()
            return None
        if event.reply != reply.id or event.played <= 0:
            return None
        if self._first_heard is None:
            since = event.played * LISTEN_RATE // self._stages.tts.rate
            self._first_heard = self._microphone.heard + max(0, length - since)
        held, self._played = event.played == self._played, event.played
        return bytes(len(event.pcm)) if held else reply.playing(event.played, length)

    def _frame(self, probability: float, user: bool) -> None:
        if self._reply is not None:
            self._barge_actions(self._barge, self._barge.frame(probability, user))
        elif not self._turn.closing:
            self._listen(self._turn, probability, user)
        since = self._turn.begin if self._reply is None else self._barge.voice.onset
        now = self._microphone.heard
        self._microphone.forget(now - PREROLL if since is None else min(since, now) - PREROLL)

    def _listen(self, turn: Listening, probability: float, user: bool) -> None:
        known = turn.known
        actions = turn.policy.frame(probability, user)
        turn.give_up_stale()
        self._turn_actions(turn, actions)
        if turn is not self._turn or turn.begin is None:
            return
        now = self._microphone.heard
        if known and not turn.known:
            turn.settle()
        if now - turn.begin >= LONGEST - 2 * PREROLL:
            self._finish(turn)
        elif turn.wants_partial(now) and self._stages.workers.idle:
            turn.partial_at(now)
            self._tasks.start_soon(self._ask_partial, turn, now, self._words_of(turn, now))

    def _words_of(self, turn: Listening, until: int) -> Samples:
        begin = until if turn.begin is None else turn.begin
        return self._microphone.audio(begin - PREROLL, until)

    # -- the user's turn -------------------------------------------------------------------------------
    def _turn_actions(self, turn: Listening, actions: list[TurnAction]) -> None:
        for action in actions:
            if turn is not self._turn:
                return
            match action:
                case AskTurn():
                    self._ask(turn, action, self._ask_end, self._ask_text)
                case Turn.BEGIN:
                    turn.draft = self._answer(turn.words, spoken=True, heard=turn.language)
                case Turn.TAKE_BACK:
                    turn.drop_draft()
                case Turn.END:
                    self._finish(turn)

    def _ask(self, turn: Listening, ask: AskTurn, *questions: Question) -> None:
        """Put the questions about `turn`, until they are given up."""
        audio, scope = self._words_of(turn, ask.until), turn.ask(ask)

        async def put() -> None:
            with scope:
                async with anyio.create_task_group() as tasks:
                    for question in questions:
                        tasks.start_soon(question, turn, ask, audio)

        self._tasks.start_soon(put)

    async def _ask_end(self, turn: Listening, ask: AskTurn, audio: Samples) -> None:
        probability = await self._stages.finished(audio, self._turn_ends(turn))
        if turn is self._turn:
            self._turn_actions(turn, turn.policy.probability(ask, probability))

    async def _ask_text(self, turn: Listening, ask: AskTurn, audio: Samples) -> None:
        try:
            transcript = await self._stages.transcribe(audio, self._hears, self._turn_ends(turn))
        except Exception as error:
            self._not_understood(turn, ask, error)
            return
        if turn is not self._turn or not turn.is_about(ask):
            return
        turn.understood(ask, transcript, self._now())
        if turn.closing:
            self._conclude(turn)
            return
        self._caption(turn, turn.words)
        self._turn_actions(turn, turn.policy.transcript(ask, turn.text or "", turn.language))

    def _turn_ends(self, turn: Listening) -> float:
        """When the turn is over at the soonest, by the loop's clock."""
        left = 0 if turn.closing else SOONEST - turn.policy.voice.quiet
        return self._now() + left / LISTEN_RATE

    async def _ask_partial(self, turn: Listening, until: int, audio: Samples) -> None:
        began = self._now()
        transcript = await self._stages.glimpse(audio, self._hears, self._now() + CAPTION_WITHIN)
        turn.partial_took(samples(self._now() - began))
        if turn is self._turn and not turn.closing and until > turn.text_until:
            self._caption(turn, joined(turn.before, transcript.text)[:LONGEST_TEXT])

    def _caption(self, turn: Listening, text: str) -> None:
        if text and text != turn.caption:
            turn.caption = text
            self._emit(ev.UserPartial(text))

    def _finish(self, turn: Listening) -> None:
        """The turn is over; answer as soon as its words are known."""
        if turn.closing:
            return
        turn.close(self._now())
        if turn.known or turn.begin is None:
            self._conclude(turn)
        elif turn.asked is None or not turn.is_about(turn.asked):
            self._ask(turn, AskTurn(self._microphone.heard), self._ask_text)

    def _conclude(self, turn: Listening) -> None:
        """The turn is over and its words are known."""
        text, draft = turn.words, turn.draft
        turn.draft = None
        self._drop_turn()
        self._emit(ev.UserSaid(text))
        if not text:
            return
        reply = draft or self._answer(text, spoken=True, heard=turn.language)
        for stage, at in turn.milestones():
            self._emit(ev.Milestone(reply.id, stage, at))
        self._commit(reply)

    def _not_understood(self, turn: Listening, ask: AskTurn, error: Exception) -> None:
        """The recogniser failed: a turn that is over, or ends here, cannot be answered."""
        _log.error("the recogniser failed", exc_info=error)
        if turn is not self._turn or not turn.is_about(ask):
            return
        code = error.code if isinstance(error, VisavisError) else "AGENT_FAILED"
        message = str(error) if isinstance(error, VisavisError) else "Your words could not be understood."
        self._drop_turn()
        self._emit(ev.ReplyFailed(code, message))

    def _listen_to(self, turn: Listening) -> None:
        self._turn = turn
        turn.policy.hands_free = self._hands_free

    def _drop_turn(self) -> None:
        """Forget what the user has said since the last turn, and listen anew."""
        self._turn.drop()
        self._listen_to(Listening(self._microphone.heard, language=self._spoken))

    # -- the avatar's turn -----------------------------------------------------------------------------
    def _answer(self, question: str, spoken: bool, heard: str | None = None) -> Reply:
        """Begin to answer in silence, in the language that was `heard` if the voice speaks it."""
        question = question.strip()[:LONGEST_TEXT]
        if heard in self._stages.tts.languages:
            self._language = heard
        self._remember()
        reply = Reply(
            f"r{next(self._ids)}",
            question,
            spoken,
            self._stages,
            self._language,
            self._tools,
            self._library,
            self._stages.excuse,
        )
        messages = [*self._memory.messages(self._language), Message("user", question, self._language)]
        self._tasks.start_soon(self._run, reply, messages)
        return reply

    async def _run(self, reply: Reply, messages: list[Message]) -> None:
        await reply.run(messages)
        self._over_if_silent(reply)

    def _commit(self, reply: Reply) -> None:
        """Say it aloud."""
        self._last = reply
        self._follow_reply(reply)
        reply.commit(self._emit)
        self._over_if_silent(reply)

    def _follow_reply(self, reply: Reply) -> None:
        self._drop_turn()
        self._reply, self._played, self._first_heard = reply, 0, None
        self._barge = BargeInPolicy(self._microphone.heard, self._spoken)

    def _over_if_silent(self, reply: Reply) -> None:
        """A reply that failed, or says nothing, is over; what it has said already is still heard."""
        if reply is self._reply and (reply.failed or reply.done) and not reply.started:
            self._reply_is_over()

    def _stop_reply(self) -> None:
        assert self._reply is not None
        self._reply.stop()
        self._reply_is_over()

    def _reply_is_over(self) -> None:
        """Listen again; a voice that has begun meanwhile is the beginning of the user's turn."""
        self._drop_turn()
        self._reply = None
        if self._barge.voice.onset is not None:
            self._listen_to(Listening.continuing(self._barge, self._spoken))

    def _remember(self) -> None:
        """Put the last exchange into the memory, as it was heard."""
        if self._last is None:
            return
        self._memory.user(self._last.question)
        if self._last.remembered:
            self._memory.assistant(self._last.remembered)
        self._last = None

    # -- both at once ----------------------------------------------------------------------------------
    def _barge_actions(self, barge: BargeInPolicy, actions: list[BargeAction]) -> None:
        for action in actions:
            if self._reply is None or barge is not self._barge:
                return
            match action:
                case AskWords(onset, until):
                    audio = self._microphone.audio(max(onset - WORDS_FROM, until - WORDS_OF), until)
                    self._tasks.start_soon(self._ask_words, barge, action, audio)
                case Barge.COMMIT:
                    self._give_turn(barge, self._reply)
                case Barge.DUCK | Barge.DEEP | Barge.HOLD | Barge.RESUME:
                    self._emit(ev.BargeIn(action.value))
                    if action is Barge.HOLD and self._goes_on(barge, self._reply):
                        self._give_turn(barge, self._reply)

    async def _ask_words(self, barge: BargeInPolicy, ask: AskWords, audio: Samples) -> None:
        transcript = await self._stages.glimpse(audio, self._hears, self._now())
        if barge is not self._barge or self._reply is None:
            return
        if is_echo_text(transcript.text, self._reply.recent(self._played)):
            transcript = Transcript("", 0.0)
        self._barge_actions(barge, barge.heard(ask, transcript))

    def _goes_on(self, barge: BargeInPolicy, reply: Reply) -> bool:
        """Whether this voice continues the question that is being answered too early."""
        onset = barge.voice.onset
        early = self._first_heard is None or onset is None or onset <= self._first_heard + GOES_ON
        return reply.spoken and early

    def _give_turn(self, barge: BargeInPolicy, reply: Reply) -> None:
        """The user has the turn: the reply is over, its interruption is the beginning of a question."""
        before = ""
        if self._goes_on(barge, reply):
            before = reply.question
            self._last = None  # the exchange has not taken place
        self._stop_reply()
        self._turn.before = before
        if self._on or reply.started:
            self._emit(ev.UserInterrupts())
        if not self._on:
            self._finish(self._turn)

    # -- out -------------------------------------------------------------------------------------------
    def _emit(self, event: ev.FromAgent) -> None:
        try:
            self._outbox.send_nowait(event)
        except anyio.WouldBlock:
            raise VisavisError("AGENT_OVERLOADED", "Nobody takes the agent's answers.") from None

    @property
    def _spoken(self) -> str:
        """The language that is probably spoken."""
        return self._language or ENGLISH

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
