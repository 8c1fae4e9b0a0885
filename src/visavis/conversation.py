"""The state machine of one talk: turns, pacing, interruption, and what was heard.

No I/O, no clock, no task: `feed(event, now)` returns what to do, in order, and `deadline` says when to feed
a `Tick` if nothing else happens first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from visavis import events as ev
from visavis import pacing
from visavis.audio import Media
from visavis.pacing import Policy
from visavis.turn import START_FRAMES, Turn, Words

_HAIR = 1e-6
"""Seconds that make no difference."""
MOST_SOURCES = 8
"""Of one turn."""
ENOUGH = 2.5
"""Seconds of sound beyond what was sent: more than a face is moved ahead."""


class Conversation:
    """One conversation; everything in flight carries its turn, and what belongs to a turn that is over falls
    on the floor."""

    def __init__(
        self, media: Media | None = None, policy: Policy | None = None, turns: int = 0, user_turns: int = 0
    ) -> None:
        """`turns`, `user_turns`: how many there were before, when an earlier conversation goes on."""
        self.media, self.policy = media or Media(), policy or Policy()
        self.state: ev.State = "idle"
        self.live = True
        """Replies that begin are played as they arrive; see `Turn.live`."""
        self._turn: Turn | None = None
        self._next: deque[Turn] = deque()  # replies that began while another was still being spoken
        self._turns, self._user_turns = turns, user_turns
        self._asked: float | None = None  # when the user's last words were complete
        self._owed: float | None = None  # since when the agent owes an answer
        self._calls: set[str] = set()  # tools that the user is waiting for
        self._ledgers: dict[str, dict[ev.Stage, float]] = {}
        self._cited: tuple[ev.Source, ...] = ()  # what the next reply draws on
        self._away: float | None = None  # since when the client is gone
        self._out: list[ev.Effect] = []
        self._group = 1  # frames that may leave together
        self.deadline: float | None = None
        """When to feed a `Tick`, if nothing else happens first."""

    # -- the whole interface -----------------------------------------------------------------------
    def feed(self, event: ev.Event, now: float) -> list[ev.Effect]:
        """Take one event at `now` (seconds, monotonic) and return its effects, to be performed in order."""
        if not (isinstance(event, ev.ReplyAudio) and self._stored(event, now)):
            self._take(event, now)
            self._advance(now)
            self.deadline = self._next_deadline()
        out, self._out, self._group = self._out, [], 1
        return out

    def _take(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.Tick(group):
                self._group = group
            case ev.UserAudio():
                self._out.append(self._with_playback(event, now))
            case ev.Animated():
                self._animated(event, now)
            case ev.ActionDone() | ev.Recast():
                self._out.append(event)
            case ev.ToolResult(call):
                self._cite(event.sources)
                self._out.append(event)
                self._tool_done(call, now)
            case ev.Played():
                self._played(event, now)
            case (
                ev.UserText() | ev.MicOn() | ev.MicOff() | ev.Interrupt() | ev.ClientLost() | ev.ClientBack()
            ):
                self._from_client(event, now)
            case _:
                self._from_agent(event, now)

    def _next_deadline(self) -> float | None:
        due = [] if self._owed is None or self._calls else [self._owed + self.policy.patience]
        if (turn := self._turn) is not None:
            if (at := pacing.next_due(turn, self.policy)) is not None:
                due.append(at)
            if turn.waiting is not None:
                if self._away is None:
                    due.append(turn.waiting + self.policy.patience)
            elif not turn.done and not self._calls:
                due.append(turn.touched + self.policy.patience)
            elif not turn.done and turn.live and (dry := turn.over()) is not None:
                due.append(dry + 2 * _HAIR)  # what there was is heard, and a tool still runs
        return min(due, default=None)

    @property
    def speaking(self) -> bool:
        """Is a turn being spoken?"""
        return self._turn is not None and self._turn.shown

    @property
    def spoken(self) -> Turn | None:
        """The reply that is being spoken, or is about to be."""
        return self._turn

    def go_on_with(self, turn: Turn, now: float) -> None:
        """Speak the rest of this reply of an earlier conversation as soon as there is a client."""
        turn.touched = turn.waiting = self._away = now
        self._turn = turn
        self.deadline = self._next_deadline()

    @property
    def next_turn(self) -> int:
        """The number of the reply that begins next."""
        return self._turns + 1

    @property
    def user_turns(self) -> int:
        """How many turns the user has had."""
        return self._user_turns

    @property
    def away(self) -> bool:
        """Is the client gone?"""
        return self._away is not None

    def wants(self, turn: int) -> bool:
        """Is this turn's face still needed?"""
        return self._turn is not None and self._turn.number == turn

    # -- what the client does ----------------------------------------------------------------------
    def _from_client(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.UserText(text, echo):
                self._stop(now)
                if echo:
                    self._user_turn(text)
                self._asked = self._owed = now
                self._enter("thinking")
                self._out.append(event)
            case ev.MicOn():
                self._out.append(event)
                if self.state == "idle":
                    self._enter("listening")
            case ev.MicOff():
                self._out.append(event)
                if self._turn is None:
                    self._owed = now
                    self._enter("thinking")
            case ev.Interrupt():
                self._stop(now)
            case ev.ClientLost():
                self._away = now
                if self._turn is not None and self._turn.waiting is None:
                    self._turn.waiting = now
            case ev.ClientBack():
                self._back(now)

    def _back(self, now: float) -> None:
        self._away = None
        for later in self._next:
            later.waiting = None
        if (turn := self._turn) is None:
            return
        first = turn.unheard(now)
        turn.waiting = None
        if turn.shown:
            turn.restart(first)
            self._out.append(ev.TurnStarted(turn.number, turn.words.known))
            words = turn.words.since(first / self.media.fps)
            self._out.extend(ev.WordSpoken(turn.number, word) for word in words)

    def _with_playback(self, event: ev.UserAudio, now: float) -> ev.UserAudio:
        turn = self._turn
        if turn is None or not turn.shown:
            return event
        return replace(event, reply=turn.reply, played=int(turn.heard(now) * self.media.rate))

    def _played(self, event: ev.Played, now: float) -> None:
        turn = self._turn
        if turn is None or turn.number != event.turn or not 0 <= event.frame < turn.sent:
            return
        if "played" not in turn.ledger:
            turn.ledger["played"] = now
            self._tell_ledger(turn)
        turn.report(event.frame, now)

    # -- what the agent does -------------------------------------------------------------------------
    def _from_agent(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.ReplyStarted(reply):
                self._begin(reply, now)
            case ev.ReplyAudio() | ev.ReplyText() | ev.Emotion() | ev.ReplyDone():
                if (turn := self._live(event.reply)) is not None:
                    turn.touched = now
                    self._grow(turn, event)
            case ev.ReplyFailed(code, message, failed):
                self._calls.clear()
                self._out.append(ev.Problem(code, message))
                self._give_up(self._live(failed), now)
            case ev.UserPartial():
                self._out.append(event)
            case ev.UserSaid(text, answered):
                if text:
                    self._user_turn(text)
                if answered:
                    return
                self._asked = now
                if self._turn is None:
                    if text:
                        self._owed = now
                    else:
                        self._expect_nothing()
                    self._enter("thinking" if text or self._calls else "listening")
            case ev.BargeIn(phase):
                self._barge_in(phase, now)
            case ev.UserInterrupts():
                self._stop(now)
            case ev.Action():
                self._out.append(event)
            case ev.ToolCall(call):
                self._out.append(event)
                if self._owed is not None or self._unfinished is not None:
                    self._calls.add(call)
                    if not self.speaking:
                        self._enter("thinking")
            case ev.Cited(sources):
                self._cite(sources)
            case ev.Milestone(reply, stage, at):
                turn = self._live(reply)
                ledger = turn.ledger if turn else self._ledgers.setdefault(reply, {})
                ledger.setdefault(stage, at)
                while len(self._ledgers) > 4:
                    del self._ledgers[next(iter(self._ledgers))]

    def _stored(self, event: ev.ReplyAudio, now: float) -> bool:
        """Is there so much sound before this piece that it changes nothing yet? Then it is only kept."""
        turn = self._turn
        if turn is None or turn.reply != event.reply or turn.phonemes is not None:
            return False
        if turn.samples / self.media.rate - turn.sent / self.media.fps <= ENOUGH:
            return False
        turn.touched = now
        self._grow(turn, event)
        return True

    def _begin(self, reply: str, now: float) -> None:
        if self._live(reply) is not None:
            return
        if self._turn is not None and not self._turn.done:
            self._stop(now)  # the agent has thought of something else to say
        self._turns += 1
        self._owed = None
        words = Words(self.policy.pace, self.media.rate)
        turn = Turn(self._turns, reply, self.media, words, touched=now, sources=self._cited, live=self.live)
        self._cited = ()
        turn.ledger.update(self._ledgers.pop(reply, {}))
        if self._asked is not None:
            turn.ledger.setdefault("speech_end", self._asked)
        if self._turn is None:
            self._take_up(turn)
        else:
            self._next.append(turn)

    def _take_up(self, turn: Turn) -> None:
        self._turn = turn
        turn.waiting = self._away

    def _grow(self, turn: Turn, event: ev.ReplyAudio | ev.ReplyText | ev.Emotion | ev.ReplyDone) -> None:
        match event:
            case ev.ReplyAudio(_, pcm, words, phonemes):
                turn.ledger.setdefault("first_audio", turn.touched)
                if turn.phonemes is None and phonemes is not None and turn.audio.end == 0:
                    turn.phonemes = []
                if turn.phonemes is not None:
                    turn.phonemes.extend(phonemes or ())
                if words:
                    turn.words.add_timed(words)
                elif phonemes is None and not turn.words.timed:
                    turn.words.add_sound(pcm)
                turn.audio.append(pcm)
                if (turn.samples - self.media.edge(turn.sent)) > self.policy.longest * self.media.rate:
                    self._out.append(ev.Problem("REPLY_TOO_LONG", "The reply is too long and was cut short."))
                    self._out.append(ev.CancelReply(turn.reply, turn.samples / self.media.rate, ""))
                    self._finish(turn)
            case ev.ReplyText(_, text):
                turn.ledger.setdefault("first_token", turn.touched)
                turn.words.add_text(text)
            case ev.Emotion():
                turn.emotions.append(event)
            case ev.ReplyDone():
                self._finish(turn)

    def _finish(self, turn: Turn) -> None:
        turn.done = True
        turn.words.finish(turn.samples / self.media.rate)

    def _tool_done(self, call: str, now: float) -> None:
        """The agent goes on, in the reply that it is giving or in another one."""
        if call not in self._calls:
            return  # the user has not waited for it
        self._calls.remove(call)
        if self._calls:
            return
        if (turn := self._unfinished) is not None:
            turn.touched = now
        else:
            self._owed = now

    def _barge_in(self, phase: ev.Phase, now: float) -> None:
        turn = self._turn
        if turn is None or not turn.shown:
            return
        if phase == "hold" and turn.waiting is None:
            turn.waiting = now
        elif phase == "resume" and turn.waiting is not None and self._away is None:
            self._go_on(turn, now)
        self._out.append(ev.BargedIn(turn.number, phase))

    def _go_on(self, turn: Turn, now: float) -> None:
        if turn.waiting is not None and turn.epoch is not None:
            turn.epoch += now - turn.waiting
        turn.waiting = None
        turn.touched = now

    def _animated(self, event: ev.Animated, now: float) -> None:
        turn = self._turn
        if turn is not None and turn.number == event.turn:
            turn.busy = False
            turn.ledger.setdefault("first_frame", now)
            turn.animated(event)

    # -- inside ----------------------------------------------------------------------------------------
    def _live(self, reply: str | None) -> Turn | None:
        for turn in (self._turn, *self._next):
            if turn is not None and turn.reply == reply:
                return turn
        return None

    @property
    def _unfinished(self) -> Turn | None:
        """The reply that the agent is giving."""
        turns = (turn for turn in (self._turn, *self._next) if turn is not None and not turn.done)
        return next(turns, None)

    def _enter(self, state: ev.State) -> None:
        if state != self.state:
            self.state = state
            self._out.append(ev.StateChanged(state))

    def _user_turn(self, text: str) -> None:
        self._user_turns += 1
        self._out.append(ev.UserTurn(self._user_turns, text))

    def _advance(self, now: float) -> None:
        if self._owed is not None and not self._calls and now >= self._owed + self.policy.patience:
            self._out.append(ev.Problem("AGENT_TIMEOUT", "No answer came in time. Please try again."))
            self._stop(now)
        while (turn := self._turn) is not None:
            self._watch(turn, now)
            if self._turn is turn:
                self._animate(turn, now)
                self._send(turn, now)
            if self._turn is turn:
                break

    def _watch(self, turn: Turn, now: float) -> None:
        """Nobody is waited for longer than the policy's patience."""
        if turn.waiting is not None:
            if self._away is None and now >= turn.waiting + self.policy.patience:
                self._go_on(turn, now)
                if turn.shown:
                    self._out.append(ev.BargedIn(turn.number, "resume"))
        elif not turn.done and not self._calls and now >= turn.touched + self.policy.patience:
            self._out.append(ev.Problem("AGENT_TIMEOUT", "The answer stopped coming."))
            self._give_up(turn, now)

    def _animate(self, turn: Turn, now: float) -> None:
        if (job := pacing.next_animation(turn, self.policy, now)) is not None:
            self._out.append(job)

    def _send(self, turn: Turn, now: float) -> None:
        """Send the frames that are due, on an absolute schedule, then end the turn when it was heard."""
        if turn.waiting is not None:
            return
        dry = turn.over()
        if turn.live and dry is not None and not turn.ended and now > dry + _HAIR:
            turn.ran_dry()  # it will buffer and begin again, so do we
            if self._calls:
                self._enter("thinking")
            else:
                turn.underruns += 1
        if (count := pacing.frames_due(turn, self.policy, now, self._group)) > 0:
            self._send_frames(turn, count, now)
        if turn.closing and not turn.busy and turn.sent == turn.ready:
            if not turn.ended:
                turn.ended = True
                if turn.epoch is None:
                    turn.epoch = now - turn.run / self.media.fps
                self._tell_words(turn, float("inf"))
                self._out.append(ev.AudioEnded(turn.number))
            over = turn.over()
            if over is not None and now >= over - _HAIR:
                self._end(turn, now, interrupted=False)

    def _send_frames(self, turn: Turn, count: int, now: float) -> None:
        self._enter("speaking")
        if not turn.shown:
            turn.shown = True
            turn.ledger["sent"] = now
            self._out.append(ev.TurnStarted(turn.number, turn.words.known))
            self._tell_sources(turn)
        first, end = turn.sent, turn.sent + count
        self._tell_words(turn, end / self.media.fps)
        pcm, weights, drawings = turn.pcm(first, end), turn.weights(first, end), turn.drawn(first, end)
        self._out.append(ev.Frames(turn.number, first, pcm, weights, drawings))
        turn.sent = end
        if turn.epoch is None and end >= turn.run + START_FRAMES:
            turn.epoch = now - turn.run / self.media.fps
            if more := pacing.frames_due(turn, self.policy, now):
                self._send_frames(turn, more, now)  # the first burst fills the client's buffer
        turn.forget(now)

    def _cite(self, sources: tuple[ev.Source, ...]) -> None:
        if not sources:
            return
        turn = self._unfinished
        known = self._cited if turn is None else turn.sources
        known += tuple(source for source in sources if source not in known)
        if turn is None:
            self._cited = known[:MOST_SOURCES]
            return
        turn.sources = known[:MOST_SOURCES]
        if turn.shown:
            self._tell_sources(turn)

    def _tell_sources(self, turn: Turn) -> None:
        if turn.sources:
            self._out.append(ev.TurnSources(turn.number, turn.sources))

    def _tell_words(self, turn: Turn, seconds: float) -> None:
        self._out.extend(ev.WordSpoken(turn.number, word) for word in turn.words.until(seconds))

    def _give_up(self, turn: Turn | None, now: float) -> None:
        """The agent failed: what it said so far is still spoken, what never began ends at once."""
        if turn is not None and turn.samples:
            self._finish(turn)
        elif turn is not None and turn is not self._turn:
            self._next.remove(turn)
        elif self._turn is turn:
            self._expect_nothing()
            if turn is None:
                self._enter("listening")
            else:
                self._end(turn, now, interrupted=False)

    def _stop(self, now: float) -> None:
        """End whatever is being said or prepared."""
        preparing = self._owed is not None or bool(self._calls)
        self._expect_nothing()
        self._cited = ()
        self._calls.clear()
        for turn in self._next:
            self._out.append(ev.CancelReply(turn.reply, 0.0, ""))
        self._next.clear()
        if self._turn is not None:
            self._end(self._turn, now, interrupted=True)
        elif preparing:
            self._out.append(ev.CancelReply(None, 0.0, ""))
            self._enter("listening")

    def _expect_nothing(self) -> None:
        """The reply that the user waits for will not begin, and no other one has the number that was its."""
        if self._owed is not None:
            self._owed = None
            self._turns += 1

    def _end(self, turn: Turn, now: float, interrupted: bool) -> None:
        received = turn.samples / self.media.rate
        heard = min(turn.heard(now), received) if interrupted else received
        text = turn.words.heard(heard if interrupted else float("inf"))
        self._turn = None
        if interrupted:
            self._out.append(ev.CancelReply(turn.reply, heard, text))
        elif not turn.live:  # no sound of the microphone tells the agent that all of it was heard
            self._out.append(ev.UserAudio(b"", turn.reply, turn.samples))
        if turn.shown:
            if "played" not in turn.ledger:
                self._tell_ledger(turn)
            self._out.append(ev.TurnEnded(turn.number, text, interrupted, heard, turn.underruns))
        if self._next:
            self._take_up(self._next.popleft())
        else:
            self._enter("listening" if self._owed is None and not self._calls else "thinking")

    def _tell_ledger(self, turn: Turn) -> None:
        begin = turn.ledger.get("speech_end")
        if begin is not None:
            ms = {stage: round((at - begin) * 1000) for stage, at in turn.ledger.items()}
            self._out.append(ev.TurnLedger(turn.number, ms))
