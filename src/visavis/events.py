"""Everything that crosses a boundary, as frozen values.

Units: audio is mono PCM16 little-endian; times are seconds on one monotonic clock unless a name says
otherwise; weights are float32[n, 52] in 0..1 (see `arkit`). Whatever belongs to a turn carries its number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import Weights

State = Literal["idle", "listening", "thinking", "speaking"]
Phase = Literal["duck", "deep", "hold", "resume"]
"""How far a barge-in has got: voice heard, voice goes on, words heard (playback held), false alarm."""
Stage = Literal[
    "speech_end", "end_of_turn", "transcript", "first_token", "first_audio", "first_frame", "sent", "played"
]
"""The milestones of a turn, in order; together they are its latency ledger."""
EmotionName = Literal["neutral", "joy", "sadness", "surprise", "anger", "doubt"]
Drawing = Callable[[float], NDArray[np.uint8]]
"""The picture of one frame by an engine that draws itself, made when somebody looks: seconds since they began
to watch -> uint8[height, width, 3], RGB. It runs in the thread that draws, once for each view, or never."""


# -- timed parts of speech ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word with its punctuation, no spaces; seconds from the start of the reply's audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Phoneme:
    """One phoneme: IPA base symbol, or "sil"; seconds from the start of the reply's audio.

    `stress`: 0 none, 1 secondary, 2 primary (vowels only).
    """

    symbol: str
    start: float
    end: float
    stress: int = 0


# -- in: from the client -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class UserText:
    """A typed message. `echo`: the client expects to see it come back as the user's words."""

    text: str
    echo: bool = False


@dataclass(frozen=True, slots=True)
class MicOn:
    """The microphone is on; `rate` in Hz when the client announced one. Without `hands_free` a button is
    held: pauses end nothing, `MicOff` does."""

    rate: int | None = None
    hands_free: bool = True


@dataclass(frozen=True, slots=True)
class UserAudio:
    """Microphone audio. On its way to the agent it carries what the user was hearing at its last sample:
    the reply and how many samples of it (at the agent's output rate) had been played. Without sound it only
    tells that."""

    pcm: bytes
    reply: str | None = None
    played: int = 0


@dataclass(frozen=True, slots=True)
class MicOff:
    """The microphone is off: the utterance is complete, answer now."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The stop button."""


@dataclass(frozen=True, slots=True)
class Played:
    """The client reports the last frame of a turn that became audible."""

    turn: int
    frame: int


@dataclass(frozen=True, slots=True)
class ActionDone:
    """What came of an `Action` that has a `call`: its result, any JSON value, or why there is none."""

    call: str
    result: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered with `Pong` by the connection itself; a conversation never sees it."""


@dataclass(frozen=True, slots=True)
class ClientLost:
    """The connection dropped; the turn waits where it was."""


@dataclass(frozen=True, slots=True)
class ClientBack:
    """The client is connected again; the unheard rest of the turn is sent once more."""


# -- in: from the agent (reply ids are the agent's own) ------------------------------------------------
@dataclass(frozen=True, slots=True)
class ReplyStarted:
    reply: str


@dataclass(frozen=True, slots=True)
class ReplyText:
    """A piece of the reply's text whose time in the audio is unknown; pieces may be parts of words. Emotion
    tags in it (see `emotions`) become expressions and are not shown."""

    reply: str
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """Speech at the agent's output rate. `words` and `phonemes` when the synthesiser knows them (then no
    `ReplyText` is sent); their times count from the start of the reply's first audio."""

    reply: str
    pcm: bytes
    words: tuple[Word, ...] = ()
    phonemes: tuple[Phoneme, ...] | None = None


@dataclass(frozen=True, slots=True)
class Emotion:
    """From `at` on (seconds from the start of the reply's audio) the reply is spoken with this face, until
    it fades or another follows. It should be sent before the audio that it is for."""

    reply: str
    name: EmotionName
    at: float


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """All audio and text of the reply has been delivered."""

    reply: str


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The reply cannot go on, or could not begin. The turn ends, the session does not."""

    code: str
    message: str
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class UserPartial:
    """What the user seems to have said so far."""

    text: str


@dataclass(frozen=True, slots=True)
class UserSaid:
    """What the user said, once it is final; empty when nothing was understood and no reply will come.
    `answered`: its reply has begun already, because the agent answers sooner than it transcribes."""

    text: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The user's voice while the avatar speaks, not yet (or no longer) an interruption."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class UserInterrupts:
    """The user has taken the turn: the reply stops for good."""


@dataclass(frozen=True, slots=True)
class Action:
    """The agent asks the client to do something (`trigger_action`). With a `call` it waits for the client's
    `ActionDone` of the same."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    call: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The agent calls one of the tools in its `Brief`; a `ToolResult` of the same `call` follows, also after
    the reply that it is for was interrupted. `arguments` are as the model wrote them: an object if it does
    as it is told."""

    call: str
    name: str
    arguments: Any = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a piece of knowledge is from; `excerpt` is what was used of it."""

    title: str
    url: str = ""
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Cited:
    """What the reply that is being given draws on, or the next one when none is."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Milestone:
    """The agent reached a stage of answering at `at` (seconds, monotonic). Sent before its `ReplyStarted`
    or during the reply; it counts for the reply it names."""

    reply: str
    stage: Stage
    at: float


# -- in: from the animator and the clock ----------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Animated:
    """The face of the next `len(weights)` frames of a turn; `drawings` has one for each, or is empty."""

    turn: int
    weights: Weights
    last: bool = False
    drawings: tuple[Drawing, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but the time has come. `group`: frames that may leave together when the first is due."""

    group: int = 1


# -- out: to the client -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StateChanged:
    state: State


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """`text` is what is known of the reply by now: all of its first clause, when the agent is quick."""

    turn: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Frames:
    """`len(weights)` consecutive frames of one turn: what is heard and what is seen. `drawings`: those of an
    engine that draws itself, None where it has none; empty when it is the weights that are drawn."""

    turn: int
    first: int
    pcm: bytes
    weights: Weights
    drawings: tuple[Drawing | None, ...] = ()


@dataclass(frozen=True, slots=True)
class WordSpoken:
    """A whole word of the reply; its times are seconds from the start of the turn's audio."""

    turn: int
    word: Word


@dataclass(frozen=True, slots=True)
class AudioEnded:
    """The turn's last frame has been sent; it is still being heard."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over. `text` is what was heard of it, `heard` how much audio, in seconds; `underruns`: how
    often the player had nothing left to play because the agent or the face was late."""

    turn: int
    text: str
    interrupted: bool
    heard: float
    underruns: int = 0


@dataclass(frozen=True, slots=True)
class UserTurn:
    """The user's complete words, to be shown. `turn` counts the user's turns."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class BargedIn:
    """A `BargeIn` during this turn: the client ducks, holds or resumes its playback."""

    turn: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class TurnSources:
    """What the turn draws on; all of it, each time something is added."""

    turn: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class TurnLedger:
    """Milliseconds from the end of the user's speech (or the arrival of the text) to each stage reached."""

    turn: int
    ms: Mapping[Stage, int]


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to `Ping`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person should know about a failure: a stable code and a sentence to act on."""

    code: str
    message: str


# -- out: commands to the shell -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Animate:
    """Move the face for these samples. `phonemes` that became known, in seconds from the turn's start, or
    None when the turn's speech carries none; `due` is when the first of its frames should leave; `emotions`
    that became known."""

    turn: int
    pcm: bytes
    phonemes: tuple[Phoneme, ...] | None
    last: bool
    due: float
    emotions: tuple[Emotion, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a `ToolCall` came to: `output` is text or JSON, or a sentence for the model when it `failed`."""

    call: str
    output: str
    failed: bool = False
    sources: tuple[Source, ...] = ()
    """Where `output` is from."""


@dataclass(frozen=True, slots=True)
class Recast:
    """Another avatar: an agent that has a voice for it speaks with that from the next reply on."""

    avatar: str


@dataclass(frozen=True, slots=True)
class CancelReply:
    """The reply was cut off: `heard` seconds of it were heard, which said `text`. Without a `reply`, drop
    whatever is being prepared."""

    reply: str | None
    heard: float
    text: str


FromShell = ClientLost | ClientBack | Animated | ToolResult | Recast | Tick
ToAgent = UserText | MicOn | UserAudio | MicOff | CancelReply | ToolResult | Recast
FromAgent = (
    ReplyStarted
    | ReplyText
    | ReplyAudio
    | Emotion
    | ReplyDone
    | ReplyFailed
    | UserPartial
    | UserSaid
    | BargeIn
    | UserInterrupts
    | Action
    | ToolCall
    | Cited
    | Milestone
)
FromClient = UserText | MicOn | UserAudio | MicOff | Interrupt | Played | ActionDone | Ping
ToClient = (
    StateChanged
    | TurnStarted
    | Frames
    | WordSpoken
    | AudioEnded
    | TurnEnded
    | UserTurn
    | UserPartial
    | BargedIn
    | Action
    | TurnSources
    | TurnLedger
    | Pong
    | Problem
)
Event = FromClient | FromAgent | FromShell
Effect = ToClient | ToAgent | Animate | ToolCall | ActionDone
