"""One turn of the user, while it lasts."""

from __future__ import annotations

from collections.abc import Iterator

import anyio

from visavis import events as ev
from visavis.agents.reply import LONGEST_TEXT, Reply
from visavis.languages import ENGLISH
from visavis.stages import LISTEN_RATE, Transcript
from visavis.turntaking import PAUSE, AskTurn, BargeInPolicy, EndOfTurnPolicy, samples

PREROLL = samples(0.3)
"""Transcribed before the onset of a voice: voice activity notices soft beginnings late."""
PARTIAL_EVERY = samples(0.5)
PARTIAL_SHARE = 4
"""How many times as long as the last caption took the next one waits: under load they become rare."""
PARTIAL_LONGEST = samples(15.0)
"""Captions grow until here; transcribing more again and again costs too much."""
SETTLED = samples(12.0)
"""Words before a pause this late are settled: what follows is transcribed by itself."""


def joined(before: str, text: str) -> str:
    return f"{before} {text}".strip()


class Listening:
    """Positions are samples of the microphone; see `Microphone`."""

    def __init__(self, heard: int, policy: EndOfTurnPolicy | None = None, language: str = ENGLISH) -> None:
        """`language`: what is probably spoken."""
        self.policy = policy or EndOfTurnPolicy(heard, language)
        self.before = ""
        """Words of this turn that are settled."""
        self.asked: AskTurn | None = None
        """The latest question about this turn."""
        self.asking = anyio.CancelScope()
        """What waits for its answers."""
        self.text: str | None = None
        """The words after `before`, up to `text_until`."""
        self.text_until = -1
        self.language: str | None = None
        """What was spoken, when the recogniser told."""
        self.caption = ""
        """What was shown last."""
        self.draft: Reply | None = None
        """The answer that has been begun in silence."""
        self.closing = False
        """The turn is over; its words are awaited."""
        self._settled_until: int | None = None
        self._partial_after = heard + PARTIAL_EVERY
        self._milestones: dict[ev.Stage, float] = {}

    @classmethod
    def continuing(cls, barge: BargeInPolicy, language: str = ENGLISH) -> Listening:
        """The turn that a voice has begun while the avatar spoke."""
        return cls(barge.voice.heard, EndOfTurnPolicy.continuing(barge.voice, language))

    @property
    def begin(self) -> int | None:
        """Where the words that are not settled begin; None while nothing was said."""
        return self.policy.voice.onset if self._settled_until is None else self._settled_until

    @property
    def known(self) -> bool:
        """Whether `text` is all that was said."""
        return self.text is not None and self.policy.voice.last <= self.text_until

    @property
    def words(self) -> str:
        return joined(self.before, self.text or "")[:LONGEST_TEXT]

    def is_about(self, ask: AskTurn) -> bool:
        """Whether `ask` is about all that was said."""
        return self.policy.voice.last <= ask.until

    def ask(self, ask: AskTurn) -> anyio.CancelScope:
        """`ask` is the latest question now; its answers are awaited in the scope."""
        self.asking.cancel()
        self.asked, self.asking = ask, anyio.CancelScope()
        return self.asking

    def give_up_stale(self) -> None:
        """Nobody wants to know any more what was asked before the user went on."""
        if self.asked is not None and not self.is_about(self.asked):
            self.asking.cancel()

    def understood(self, ask: AskTurn, transcript: Transcript, now: float) -> None:
        self.text, self.text_until = transcript.text[:LONGEST_TEXT], ask.until
        self.language = transcript.language or self.language
        self._milestones["transcript"] = now

    def settle(self) -> None:
        """The user goes on after a pause whose words are known: after long enough they stay as they are."""
        if self.begin is not None and self.text_until - self.begin >= SETTLED:
            self.before = self.words
            self._settled_until = self.text_until - PAUSE + PREROLL  # nothing is transcribed twice
        self.text = None

    def wants_partial(self, heard: int) -> bool:
        return (
            self.begin is not None
            and not self.policy.voice.quiet  # after a pause all the words are asked for, at once
            and heard >= self._partial_after
            and heard - self.begin <= PARTIAL_LONGEST
        )

    def partial_at(self, heard: int) -> None:
        self._partial_after = heard + PARTIAL_EVERY

    def partial_took(self, length: int) -> None:
        """The caption that was asked for last took so many samples of time."""
        self._partial_after += max(0, PARTIAL_SHARE * length - PARTIAL_EVERY)

    def close(self, now: float) -> None:
        self.closing = True
        self._milestones["speech_end"] = now - self.policy.voice.quiet / LISTEN_RATE
        self._milestones["end_of_turn"] = now

    def milestones(self) -> Iterator[tuple[ev.Stage, float]]:
        """Those reached, in the order of their names."""
        order: tuple[ev.Stage, ...] = ("speech_end", "end_of_turn", "transcript")
        return ((stage, self._milestones[stage]) for stage in order if stage in self._milestones)

    def drop(self) -> None:
        """Nothing of this turn is wanted any more."""
        self.asking.cancel()
        self.drop_draft()

    def drop_draft(self) -> None:
        if self.draft is not None:
            self.draft.stop()
            self.draft = None
