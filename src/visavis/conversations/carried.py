"""A conversation on its way to another server: what it takes to go on there in the middle of a reply."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from visavis import events as ev
from visavis.agents import Brief
from visavis.arkit import COUNT
from visavis.audio import BYTES, Media
from visavis.conversation import Conversation
from visavis.conversations import Entry
from visavis.events import Source, Word
from visavis.stages import Message
from visavis.turn import Span, Turn, Words


@dataclass(frozen=True, slots=True)
class Begun:
    """What a session was begun with. `token` is hashed; `talk` is of the api dialect alone."""

    id: str
    token: str
    dialect: str
    owner: str
    keep: float
    """Seconds in which it can be gone on with when its server has died."""
    media: Media = field(default_factory=Media)
    instructions: str = ""
    voice: str = ""
    language: str = ""
    avatar: str = ""
    talk: dict[str, Any] = field(default_factory=dict)

    def packed(self) -> bytes:
        return _pack(asdict(self))

    @classmethod
    def unpacked(cls, data: bytes) -> Begun:
        values = json.loads(data)
        return cls(**{**values, "media": Media(**values["media"])})


@dataclass(frozen=True, slots=True)
class Spoken:
    """The reply that is being spoken: `frame` is the first that was not heard, `since` the position in bytes
    of the first sound that is kept of it."""

    turn: int
    frame: int
    since: int
    shown: bool
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a conversation is. `asked`: its last entry is a question that waits for an answer."""

    turns: int = 0
    user_turns: int = 0
    asked: bool = False
    spoken: Spoken | None = None

    def packed(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def unpacked(cls, data: bytes) -> Standing:
        values = orjson.loads(data)
        if (spoken := values["spoken"]) is not None:
            sources = tuple(Source(**source) for source in spoken["sources"])
            values["spoken"] = Spoken(**{**spoken, "sources": sources})
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Carried:
    """All of it. `words` and `sound` are those of the reply that is being spoken."""

    begun: Begun
    standing: Standing
    entries: tuple[Entry, ...]
    words: tuple[Word, ...] = ()
    sound: bytes = b""

    @property
    def question(self) -> str:
        """What is to be asked again, because nobody has answered it."""
        return self.entries[-1].text if self.standing.asked and self.entries else ""

    @property
    def said(self) -> tuple[Entry, ...]:
        """The turns that are over."""
        return self.entries[:-1] if self.question else self.entries

    @property
    def history(self) -> tuple[Message, ...]:
        """What its agent knows: also all of the reply that goes on."""
        said = [Message(entry.role, entry.text) for entry in self.said if entry.text]
        if self.words:
            said.append(Message("assistant", " ".join(word.text for word in self.words)))
        return tuple(said)

    @property
    def user_turns(self) -> int:
        """How many the user has had, but for the one that is to be asked again."""
        return self.standing.user_turns - bool(self.question)

    @property
    def told(self) -> tuple[ev.ToClient, ...]:
        """What the client knows of the reply that goes on."""
        spoken = self.standing.spoken
        if spoken is None or not spoken.shown:
            return ()
        known = [word for word in self.words if word.start < spoken.frame / self.begun.media.fps]
        words = [ev.WordSpoken(spoken.turn, word) for word in known]
        return (ev.TurnStarted(spoken.turn), *words)

    def brief(self, usual: Brief) -> Brief:
        """`usual` with what this one was told instead."""
        begun = self.begun
        return replace(
            usual,
            instructions=begun.instructions,
            voice=begun.voice,
            language=begun.language,
            avatar=begun.avatar,
        )

    def conversation(self, now: float) -> Conversation:
        """It, waiting for its client at `now`."""
        standing, media = self.standing, self.begun.media
        conversation = Conversation(media, None, standing.turns, self.user_turns)
        if (spoken := standing.spoken) is not None:
            conversation.go_on_with(_turn(spoken, media, self.words, self.sound, conversation), now)
        return conversation


def _turn(
    spoken: Spoken, media: Media, words: Iterable[Word], sound: bytes, conversation: Conversation
) -> Turn:
    """The rest of a reply; nothing more comes of it."""
    frame, begin = spoken.frame, spoken.frame / media.fps
    known = Words(conversation.policy.pace, media.rate)
    known.told = [word for word in words if word.start < begin]
    known.add_timed(tuple(word for word in words if word.start >= begin))
    audio = Span(spoken.since)
    audio.append(sound)
    reply = f"carried {spoken.turn}"  # which no agent has a reply of
    turn = Turn(spoken.turn, reply, media, known, 0.0, audio=audio, face=Span(frame * COUNT * 4))
    turn.done, turn.shown, turn.sources = True, spoken.shown, spoken.sources
    turn.asked = turn.ready = turn.sent = turn.run = frame
    return turn


class Copy:
    """What others have to know of a conversation that goes on here, and what of it they do not know yet."""

    def __init__(self, begun: Begun, conversation: Conversation, entries: Iterable[Entry] = ()) -> None:
        self.begun, self._conversation = begun, conversation
        self.entries: deque[Entry] = deque(entries, RECALLED)
        self.news: list[Entry] = []
        """Entries that were not told."""
        self._user_turns = conversation.user_turns
        self._of = 0
        """The turn that the sound is of."""
        self._since = self._until = 0
        self._pieces: deque[int] = deque()
        self._words: tuple[int, int, int] | None = None

    def add(self, entry: Entry) -> None:
        """A turn is over."""
        entry = replace(entry, words=(), actions=())
        self.entries.append(entry)
        self.news.append(entry)
        if entry.role == "user":
            self._user_turns = entry.turn

    def forget(self) -> None:
        """The others know nothing any more."""
        self.news = list(self.entries)
        self._of, self._words = 0, None

    def changes(self, now: float) -> Changes:
        """What is new; from now on they know it."""
        spoken, dropped, pieces, words = None, 0, list[bytes](), None
        turn = self._conversation.spoken
        if turn is not None and turn.live:
            dropped = self._let_go(turn, now)
            frame = max(turn.unheard(now), turn.media.covering(self._since // BYTES))
            pieces = self._take(turn, turn.media.edge(frame) * BYTES)
            spoken = Spoken(turn.number, frame, self._since, turn.shown, turn.sources)
            if (known := (turn.number, turn.samples, len(turn.words))) != self._words:
                self._words = known
                all = turn.words.all(turn.samples / turn.media.rate)
                words = orjson.dumps([[word.text, word.start, word.end] for word in all])
        elif self._of:
            self._of, dropped = 0, ALL
            self._pieces.clear()
        news, self.news = self.news, []
        standing = Standing(*self._numbers(spoken), self._waits, spoken)
        return Changes(standing.packed(), [pack(entry) for entry in news], dropped, pieces, words)

    def _numbers(self, spoken: Spoken | None) -> tuple[int, int]:
        turns = self._conversation.next_turn - 1 if spoken is None else spoken.turn
        return turns, self._user_turns

    @property
    def _waits(self) -> bool:
        conversation = self._conversation
        waits = conversation.state == "thinking" and conversation.spoken is None
        return waits and bool(self.entries) and self.entries[-1].role == "user"

    def _let_go(self, turn: Turn, now: float) -> int:
        """How many pieces at the beginning are not needed any more."""
        begin = turn.media.edge(turn.unheard(now)) * BYTES
        if turn.number != self._of:
            self._of, self._since, self._until = turn.number, begin, begin
            self._pieces.clear()
            return ALL
        dropped = 0
        while self._pieces and self._since + self._pieces[0] <= begin:
            self._since += self._pieces.popleft()
            dropped += 1
        if not self._pieces:
            self._since = self._until = max(begin, self._until)
        return dropped

    def _take(self, turn: Turn, begin: int) -> list[bytes]:
        """The sound that came since, as far as it is kept."""
        end = min(turn.audio.end, begin + int(AHEAD * turn.media.rate) * BYTES)
        piece = turn.media.rate * BYTES
        pieces = [turn.audio.get(at, min(at + piece, end)) for at in range(self._until, end, piece)]
        self._pieces.extend(map(len, pieces))
        self._until = max(end, self._until)
        return pieces


@dataclass(frozen=True, slots=True)
class Changes:
    """What others are to be told: `dropped` pieces of sound are not needed any more, `ALL` or so many from
    the beginning; `words` are None when they are as before."""

    standing: bytes
    entries: list[bytes]
    dropped: int
    pieces: list[bytes]
    words: bytes | None


ALL = -1
RECALLED = 200
"""Turns of a conversation that go with it."""
AHEAD = 30.0
"""Seconds of a reply that are kept beyond what was heard."""


def pack(entry: Entry) -> bytes:
    return _pack(asdict(entry))


def unpack(data: bytes) -> Entry:
    values = json.loads(data)
    sources = tuple(Source(**source) for source in values["sources"])
    return Entry(**{**values, "words": (), "sources": sources, "actions": ()})


def _pack(values: dict[str, Any]) -> bytes:
    """Also what callers may put in JSON and few can take: numbers without end, half characters."""
    return json.dumps(values).encode()
