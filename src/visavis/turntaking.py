"""Whose turn it is: barge-in and end of turn as pure state machines.

Frame probabilities and answers go in, decisions come out; positions are samples of microphone audio at
`LISTEN_RATE`, the end of what was heard so far. No clock, no model, no I/O: same input, same decisions.
The thresholds were measured on 938 recorded and synthetic clips with Silero VAD, Smart Turn 3.2 and
Moonshine; change them only with a measurement. What counts as a word of listening, a command or an open end
depends on the language (see `languages`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from visavis.languages import ENGLISH, turn_words, words
from visavis.stages import LISTEN_RATE, VAD_FRAME, Transcript

Meaning = Literal["none", "backchannel", "content"]
"""No words at all, a sign of listening ("mm-hm", "right"), or something said."""


# -- words -------------------------------------------------------------------------------------------------
def meaning(text: str, language: str = ENGLISH) -> Meaning:
    """What somebody who says `text` while the other speaks wants: nothing, to listen on, or the turn."""
    said, lists = words(text, language), turn_words(language)
    if not said:
        return "none"
    if lists.commands.intersection(said):
        return "content"
    if lists.backchannels.issuperset(said):
        return "backchannel"
    if len(said) <= 2 and (lists.backchannels | lists.hummed).issuperset(said):
        return "backchannel"
    return "content"


def is_open(text: str, language: str = ENGLISH) -> bool:
    """Whether `text` stops in the middle of a sentence: on a conjunction, an article, a filler, a comma."""
    said, written, lists = words(text, language), text.rstrip(), turn_words(language)
    if not said or said[-1] not in lists.open_words:
        return bool(said) and written.endswith((",", "、", "，", "-", "...", "…"))
    if written.endswith(("?", "!", "？", "！")):
        return said[-1] in lists.never_last
    ended = written.endswith((".", "。")) and not written.endswith("...")
    return not (ended and said[-1] in lists.may_end)


# -- voice -------------------------------------------------------------------------------------------------
VOICE_ON = 0.5
VOICE_STAYS = 0.35
"""Probabilities from which a frame is voice: to begin, and to go on after a frame or two."""


def samples(seconds: float) -> int:
    """Seconds -> samples of microphone audio."""
    return round(seconds * LISTEN_RATE)


ENOUGH_VOICE = samples(0.096)
"""Voice that is more than a click."""
PAUSE = samples(0.192)
"""Silence that closes a stretch of voice."""


class Voice:
    """A stretch of voice: where it began, where it was last heard, how much of it there was."""

    def __init__(self, heard: int) -> None:
        self.heard = heard
        """The end of the last frame."""
        self.onset: int | None = None
        self.last = heard
        """The end of the last frame of voice."""
        self.voiced = 0
        """Samples of voice since `onset`."""

    @property
    def age(self) -> int:
        return 0 if self.onset is None else self.heard - self.onset

    @property
    def quiet(self) -> int:
        return self.heard - self.last

    def frame(self, probability: float, user: bool) -> bool:
        """Whether the next frame is voice. The threshold is lower within two frames of voice."""
        self.heard += VAD_FRAME
        going_on = self.onset is not None and self.quiet <= 2 * VAD_FRAME
        if not user or probability <= (VOICE_STAYS if going_on else VOICE_ON):
            return False
        if self.onset is None:
            self.onset = self.heard - VAD_FRAME
        self.last = self.heard
        self.voiced += VAD_FRAME
        return True

    def reset(self) -> None:
        self.onset, self.voiced = None, 0


# -- barge-in ------------------------------------------------------------------------------------------------
class Barge(Enum):
    """What to do about a voice while the avatar speaks."""

    DUCK = "duck"
    DEEP = "deep"
    HOLD = "hold"
    """Pause playback; the reply is kept."""
    RESUME = "resume"
    """A false alarm: play on at full loudness."""
    COMMIT = "commit"
    """The user has the turn; the reply is over. Always after `HOLD`, never followed by anything."""


@dataclass(frozen=True, slots=True)
class AskWords:
    """Transcribe the voice from sample `onset` to sample `until`. `final`: the voice has ended."""

    onset: int
    until: int
    final: bool


BargeAction = Barge | AskWords

DEEP_DUCK = samples(0.192)
LOOKS = tuple(samples(age) for age in (0.192, 0.256, 0.320, 0.448, 0.640, 0.800, 1.024, 1.6, 2.4))
"""Ages of the voice at which its words are asked for."""
LOOK_RARELY = samples(0.8)
"""The distance of the looks after these, and after `EMPTY_LOOKS` answers without a word."""
EMPTY_LOOKS = 3
ONE_WORD = samples(0.6)
"""A single ordinary word counts from this age of the voice on."""
COMMIT_AGE = samples(0.96)
"""A held reply is over when the voice still goes on at this age."""
SURE = -0.7
SURE_FINAL = -0.9
"""Mean log-probability from which words are believed: while the voice goes on, and when it has ended."""


class BargeInPolicy:
    """Does this voice mean to interrupt? Duck on voice, hold on words, decide when the voice ends.

    One policy serves one reply, from sample `heard` on. At most one `AskWords` is unanswered at a time.
    `language` is what words are in whose transcript does not tell.
    """

    def __init__(self, heard: int = 0, language: str = ENGLISH) -> None:
        self.voice = Voice(heard)
        self._language = language
        self.phase: Literal["listen", "duck", "deep", "hold", "commit"] = "listen"
        self._asked = 0
        self._empty = 0
        self._next_look = LOOKS[0]
        self._waiting: AskWords | None = None
        self._closed = False

    def frame(self, probability: float, user: bool = True) -> list[BargeAction]:
        """The next frame's voice probability; `user`: it is not the echo of the avatar's own voice."""
        if self.phase == "commit":
            return []
        self.voice.frame(probability, user)
        if self.voice.onset is None:
            return []
        actions: list[BargeAction] = []
        if self.phase == "listen" and self.voice.voiced >= ENOUGH_VOICE:
            self.phase = "duck"
            actions.append(Barge.DUCK)
        if self.phase == "duck" and self.voice.voiced >= DEEP_DUCK:
            self.phase = "deep"
            actions.append(Barge.DEEP)
        if self.phase == "hold" and self.voice.age >= COMMIT_AGE and self.voice.quiet < PAUSE:
            self.phase = "commit"
            actions.append(Barge.COMMIT)
        return actions + self._look()

    def heard(self, ask: AskWords, transcript: Transcript) -> list[BargeAction]:
        """The answer to `ask`; one about a voice that is over changes nothing."""
        if ask is not self._waiting:
            return []
        self._waiting = None
        meant = meaning(transcript.text, transcript.language or self._language)
        self._empty = self._empty + 1 if meant == "none" else 0
        final = ask.final and self.voice.last <= ask.until
        if self.phase == "hold" and final:
            return self._commit() if meant == "content" else self._resume()
        if self.phase in ("duck", "deep"):
            if self._convinces(transcript, final):
                self.phase = "hold"
                return [Barge.HOLD, *(self._commit() if final else [])]
            if final:
                return self._resume()
        return self._look() if self._closed else []

    def close(self) -> list[BargeAction]:
        """The microphone is off: the voice has ended, whatever it was."""
        self._closed = True
        return self._look()

    def _look(self) -> list[BargeAction]:
        """Ask for words when it is time, and no answer is outstanding."""
        ended = self._closed or self.voice.quiet >= PAUSE
        if self.phase == "listen":
            if ended:
                self._forget()
            return []
        if self.phase == "commit" or self._waiting or self.voice.onset is None:
            return []
        if not ended:
            pausing = self.voice.quiet > 2 * VAD_FRAME  # the voice goes on, or the last look comes soon
            if self.phase == "hold" or pausing or self.voice.age < self._next_look:
                return []
            self._asked += 1
            rarely = self._empty >= EMPTY_LOOKS or self._asked >= len(LOOKS)
            self._next_look = self.voice.age + LOOK_RARELY if rarely else LOOKS[self._asked]
        self._waiting = AskWords(self.voice.onset, self.voice.heard, final=ended)
        return [self._waiting]

    def _convinces(self, transcript: Transcript, final: bool) -> bool:
        """Whether these words are surely more than a backchannel. Stray letters are not words.

        In a language without word lists nobody knows a backchannel: a voice must be longer than one is.
        """
        language = transcript.language or self._language
        lists = turn_words(language)
        said = [
            word
            for word in words(transcript.text, language)
            if len(word) > 1 or word in ("i", "a") or not word.isascii()
        ]
        long = self.voice.voiced >= ONE_WORD if not lists.known else final or self.voice.age >= ONE_WORD
        enough = len(said) >= (1 if long else 2) and (long or lists.known)
        return (
            meaning(transcript.text, language) == "content"
            and transcript.confidence >= (SURE_FINAL if final else SURE)
            and (enough or bool(lists.commands.intersection(said)))
        )

    def _commit(self) -> list[BargeAction]:
        self.phase = "commit"
        return [Barge.COMMIT]

    def _resume(self) -> list[BargeAction]:
        self._forget()
        return [Barge.RESUME]

    def _forget(self) -> None:
        self.voice.reset()
        self.phase, self._asked, self._empty, self._next_look = "listen", 0, 0, LOOKS[0]


# -- end of turn ---------------------------------------------------------------------------------------------
class Turn(Enum):
    """What to do about a pause of the user."""

    BEGIN = "begin"
    """Begin to answer in silence: the turn is probably over."""
    TAKE_BACK = "take back"
    """The user goes on: drop what was begun. Only after `BEGIN`."""
    END = "end"
    """The turn is over: answer aloud. Never followed by anything."""


@dataclass(frozen=True, slots=True)
class AskTurn:
    """Ask the turn model about, and transcribe, everything up to sample `until`."""

    until: int


TurnAction = Turn | AskTurn

BEGIN_FROM = 0.5
"""The probability from which an answer is begun in silence."""
WAITS = ((0.95, samples(0.6)), (0.7, samples(0.8)), (0.3, samples(1.1)), (0.0, samples(1.6)))
"""Silence that ends the turn, by the turn model's probability."""
SOONEST = WAITS[0][1]
"""The least of them."""
WAIT_OPEN = samples(1.5)
"""Silence that ends a turn whose words stop in the middle of a sentence."""
WAIT_LONGEST = samples(1.6)
"""Silence that ends the turn whatever the answers, and whether they have come or not."""


class EndOfTurnPolicy:
    """Has the user finished? The turn model is asked once in each pause, as early as it can be right
    (asked later it takes every pause for the end); until `END` everything can be taken back.

    One policy serves one turn, from sample `heard` on.
    """

    def __init__(self, heard: int = 0, language: str = ENGLISH) -> None:
        self.voice = Voice(heard)
        self.hands_free = True
        """Silence ends the turn; otherwise somebody says when it is over."""
        self._language = language
        self._ended = False
        self._begun = False
        self._pause: AskTurn | None = None
        self._probability: float | None = None
        self._text: str | None = None

    @classmethod
    def continuing(cls, voice: Voice, language: str = ENGLISH) -> EndOfTurnPolicy:
        """The turn that the voice of a barge-in has begun."""
        policy = cls(voice.heard, language)
        policy.voice = voice
        return policy

    def frame(self, probability: float, user: bool = True) -> list[TurnAction]:
        """The next frame's voice probability; `user`: it is not the echo of the avatar's own voice."""
        if self._ended:
            return []
        if self.voice.frame(probability, user):
            return self._goes_on()
        if self.voice.onset is None or self.voice.quiet < PAUSE:
            return []
        if self.voice.voiced < ENOUGH_VOICE:
            self.voice.reset()
            return []
        if self._pause is None:
            self._pause = AskTurn(self.voice.heard)
            return [self._pause]
        return self._end_when_due()

    def probability(self, ask: AskTurn, value: float) -> list[TurnAction]:
        """The turn model's answer (0..1) to `ask`; one about an earlier pause changes nothing."""
        if self._ended or ask is not self._pause:
            return []
        self._probability = value
        return self._begin_when_sure()

    def transcript(self, ask: AskTurn, text: str, language: str | None = None) -> list[TurnAction]:
        """The words up to `ask`; those of an earlier pause change nothing."""
        if self._ended or ask is not self._pause:
            return []
        self._text, self._language = text, language or self._language
        return self._begin_when_sure()

    @property
    def wait(self) -> int:
        """Samples of silence that end the turn, as far as is known."""
        if self._probability is None or self._text is None:
            return WAIT_LONGEST
        wait = next(silence for least, silence in WAITS if self._probability >= least)
        return max(wait, WAIT_OPEN) if is_open(self._text, self._language) else wait

    def _goes_on(self) -> list[TurnAction]:
        begun, self._begun = self._begun, False
        self._pause = self._probability = self._text = None
        return [Turn.TAKE_BACK] if begun else []

    def _begin_when_sure(self) -> list[TurnAction]:
        begin: list[TurnAction] = []
        if (
            self._probability is not None
            and self._probability >= BEGIN_FROM
            and self._text
            and not self._begun
        ):
            self._begun = True
            begin.append(Turn.BEGIN)
        return begin + self._end_when_due()

    def _end_when_due(self) -> list[TurnAction]:
        if not self.hands_free or self.voice.quiet < self.wait:
            return []
        self._ended = True
        return [Turn.END]
