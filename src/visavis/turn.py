"""One reply of the avatar while it is being spoken: its sound, its face, its words, its schedule."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf

import numpy as np

from visavis.arkit import COUNT, Weights, neutral
from visavis.audio import BYTES, Media
from visavis.emotions import read
from visavis.events import Animated, Drawing, Emotion, EmotionName, Phoneme, Source, Stage, Word
from visavis.voiced import VoicedTime

START_FRAMES = 3
"""Frames a player buffers before it starts to play, at the beginning and after it ran dry."""

PAUSING = ".,;:!?…"
"""Marks behind which speakers pause."""
REPORT_GAP = 0.5
"""Seconds that a client may have played beyond its last report (it reports about every 0.1 s)."""
KEPT, UNREPORTED = 5.0, 30.0
"""Seconds of what was heard, as far as is known, that are kept; and for a client that has reported, and then
does no more: its line may be dead."""
SHOWN = 1.0
"""Seconds of pictures that are kept of what was heard."""
FAR_BEHIND, USUAL_LAG = 1.0, 0.4
"""Seconds: a client this far behind is waited for, until it is as far behind as networks make it."""


class Span:
    """A growing byte string whose beginning may be forgotten; positions count from its very first byte."""

    def __init__(self, begin: int = 0) -> None:
        """`begin`: how much is forgotten already."""
        self._bytes, self._begin = bytearray(), begin

    @property
    def end(self) -> int:
        return self._begin + len(self._bytes)

    def append(self, data: bytes) -> None:
        self._bytes += data

    def get(self, start: int, end: int) -> bytes:
        with memoryview(self._bytes) as known:
            return bytes(known[start - self._begin : end - self._begin])

    def forget(self, before: int) -> None:
        """Drop what lies before a position (cheap: a bytearray is shortened at its front in place)."""
        if before > self._begin:
            del self._bytes[: before - self._begin]
            self._begin = before


def length(word: str) -> int:
    """How long a word takes to say: its letters, 2 for being a word, 3 before a pause, which lengthens it.

    With the embedded voice, ten texts and times known exactly, the words heard at a moment are then more than
    one off in 0.9 of 100 moments; with letters alone in 3.6, and with pauses counted as speech in 8.
    """
    return sum(map(str.isalnum, word)) + 2 + 3 * (word[-1] in PAUSING)


class Words:
    """The words of a turn, told when the frames that carry them are sent.

    Words with times are told at their times. Pieces of text without times are collected into whole words
    and spread over the voice in the audio, not over its pauses: at a usual rate of speech while the reply
    goes on, evenly over what is left once its length is known. Emotion tags between them are not words.
    """

    def __init__(self, pace: float, rate: int = 24_000) -> None:
        self.told: list[Word] = []
        self.timed = False
        """Words come with times: nobody has to listen when they are said."""
        self._timed: deque[Word] = deque()
        self._untimed: deque[str] = deque()
        self._partial = ""
        self._rate = pace  # `length`s in a second of voice
        self._voice = VoicedTime(rate)
        self._clock = 0.0  # seconds of voice; where the next word without a time begins
        self._written = self._spoken = 0  # `length`s of words without times: known, and told
        self._emotions: deque[tuple[EmotionName, int]] = deque()  # and the `length`s known before each

    @property
    def known(self) -> str:
        """All text there is so far, told or not."""
        words = [word.text for word in (*self.told, *self._timed)]
        return " ".join([*words, *self._untimed, *([self._partial] if self._partial else [])])

    def __len__(self) -> int:
        return len(self.told) + len(self._timed) + len(self._untimed)

    def add_timed(self, words: tuple[Word, ...]) -> None:
        self.timed = True
        self._timed.extend(words)

    def add_sound(self, pcm: bytes) -> None:
        """Sound whose words have no times."""
        self._voice.add(pcm)

    def add_text(self, piece: str) -> None:
        text = self._partial + piece
        words = text.split()
        self._partial = words.pop() if words and not text[-1].isspace() else ""
        for word in words:
            self._add(word)

    def _add(self, word: str) -> None:
        words, emotions = read(word)
        for index, text in enumerate([*words, ""]):
            if index in emotions:
                self._emotions.append((emotions[index], self._written))
            if text:
                self._untimed.append(text)
                self._written += length(text)

    def finish(self, seconds: float) -> None:
        """The reply is complete and `seconds` long."""
        if self._partial:
            self._add(self._partial)
            self._partial = ""
        left = self._written - self._spoken
        voice = self._voice.at(seconds) - self._clock
        if left and voice > 0:
            self._rate = left / voice

    def until(self, seconds: float) -> list[Word]:
        """The words not told yet that begin before `seconds`; they are told now."""
        new = []
        while self._timed and self._timed[0].start < seconds:
            new.append(self._timed.popleft())
        while self._untimed and self._voice.begin(self._clock) < seconds:
            text = self._untimed.popleft()
            begin = self._voice.begin(self._clock)
            self._clock += length(text) / self._rate
            self._spoken += length(text)
            new.append(Word(text, begin, self._voice.end(self._clock)))
        self.told += new
        return new

    def emotions_until(self, seconds: float) -> list[tuple[EmotionName, float]]:
        """The emotions not taken yet whose next word is expected before `seconds`, and when that is."""
        found: list[tuple[EmotionName, float]] = []
        while self._emotions:
            name, before = self._emotions[0]
            at = self._voice.begin(self._clock + (before - self._spoken) / self._rate)
            if at >= seconds:
                break
            found.append((name, at))
            self._emotions.popleft()
        return found

    def all(self, seconds: float) -> list[Word]:
        """All there are by now of a reply of `seconds`: those whose times are not known yet lie evenly in
        what is left of it."""
        words = [*self.told, *self._timed]
        left = [*self._untimed, *([self._partial] if self._partial else [])]
        begin = words[-1].end if words else 0.0
        share = max(0.0, seconds - begin) / max(1, sum(map(length, left)))
        for text in left:
            words.append(Word(text, begin, begin := begin + length(text) * share))
        return words

    def since(self, seconds: float) -> list[Word]:
        """The words told already that end after `seconds`."""
        return [word for word in self.told if word.end > seconds]

    def heard(self, seconds: float) -> str:
        """What was said in the first `seconds`: whole words only."""
        return " ".join(word.text for word in self.told if word.end <= seconds + 1e-6)


@dataclass(slots=True)
class Turn:
    """All counts are in frames unless a name says otherwise; `None` times are times that have not come."""

    number: int
    reply: str
    media: Media
    words: Words
    touched: float
    """When the agent last sent something for it."""
    live: bool = True
    """It is played as it arrives. Otherwise somebody takes all of it at once, and what was sent is heard."""
    audio: Span = field(default_factory=Span)
    face: Span = field(default_factory=Span)
    drawings: dict[int, Drawing] = field(default_factory=dict)
    """By frame, in their order."""
    phonemes: list[Phoneme] | None = None
    """Those not handed to the animator yet; None when the speech carries none."""
    emotions: list[Emotion] = field(default_factory=list)
    """Those with times that were not handed to the animator yet."""
    done: bool = False
    """The agent has sent everything."""
    shown: bool = False
    """The client knows of this turn."""
    closing: bool = False
    """The animator was told that nothing more comes."""
    ended: bool = False
    """The last frame was sent."""
    busy: bool = False
    """An `Animate` is outstanding."""
    asked: int = 0
    ready: int = 0
    sent: int = 0
    run: int = 0
    """First frame of the present run of playback (a run begins at 0 and after every gap)."""
    epoch: float | None = None
    """When frame 0 would have been heard, had the present run begun there."""
    lag: float = 0.0
    """Seconds by which the client's reported position is behind the schedule."""
    gone: int = 0
    """Frames that are not kept any more."""
    reported: tuple[int, float] | None = None
    """The last frame that the client reported as audible, and when it did."""
    waiting: float | None = None
    """Since when playback has been held, or the client gone."""
    ledger: dict[Stage, float] = field(default_factory=dict)
    underruns: int = 0
    """How often the player ran dry."""
    sources: tuple[Source, ...] = ()

    @property
    def samples(self) -> int:
        """Samples received from the agent."""
        return self.audio.end // BYTES

    @property
    def length(self) -> int:
        """Frames known so far: whole ones while the reply goes on, all (at least one) when it is done."""
        if self.done:
            return max(1, self.media.covering(self.samples))
        return self.media.whole(self.samples)

    def pcm(self, first: int, end: int) -> bytes:
        """The samples of frames first..end; silence completes the last one."""
        a, b = self.media.edge(first) * BYTES, self.media.edge(end) * BYTES
        data = self.audio.get(a, b)
        return data + bytes(b - a - len(data))

    def weights(self, first: int, end: int) -> Weights:
        row = COUNT * 4
        return np.frombuffer(self.face.get(first * row, end * row), np.float32).reshape(-1, COUNT)

    def drawn(self, first: int, end: int) -> tuple[Drawing | None, ...]:
        """The drawings of frames first..end; nothing at all when there is none."""
        if not self.drawings:
            return ()
        found = tuple(self.drawings.get(frame) for frame in range(first, end))
        return found if any(found) else ()

    def take_emotions(self, end: int) -> tuple[Emotion, ...]:
        """What the animator, asked for the frames before `end`, should know of emotions and was not told."""
        written = self.words.emotions_until(end / self.media.fps)
        taken = (*self.emotions, *(Emotion(self.reply, name, at) for name, at in written))
        self.emotions.clear()
        return taken

    def animated(self, event: Animated) -> None:
        """Take the animator's frames; a face that answers too little or too much is made to fit."""
        room = self.asked - self.ready
        rows = event.weights[:room]
        self.drawings.update(enumerate(event.drawings[: len(rows)], self.ready))
        if event.last and len(rows) < room:
            rows = np.concatenate((rows, neutral(room - len(rows))))
        self.face.append(np.ascontiguousarray(rows, np.float32).tobytes())
        self.ready += len(rows)

    def heard(self, now: float) -> float:
        """Seconds of this turn that have been heard."""
        fps = self.media.fps
        if not self.live:
            return self.sent / fps
        if self.epoch is None:
            return self.run / fps
        at = now if self.waiting is None else self.waiting
        position = at - self.epoch - self.lag
        if self.reported is not None:
            # A client that reports its position has heard no more than it could since.
            frame, when = self.reported
            position = min(position, (frame + 1) / fps + min(max(at - when, 0.0), REPORT_GAP))
        return min(max(position, self.run / fps), self.sent / fps)

    def report(self, frame: int, now: float) -> None:
        """The client says that `frame` has just become audible."""
        if not self.live:
            return
        self.reported = (frame, now)
        if self.epoch is not None and self.waiting is None:
            lag = now - self.epoch - (frame + 0.5) / self.media.fps
            if lag > FAR_BEHIND:  # it rewound or stalled: the schedule waits for it
                self.epoch += lag - USUAL_LAG
                lag = USUAL_LAG
            self.lag = max(0.0, lag)

    def restart(self, frame: int) -> None:
        """Playback begins anew at `frame`: at the start, after the player ran dry, after a reconnection."""
        self.sent, self.run, self.epoch, self.ended = frame, frame, None, False
        self.lag, self.reported = 0.0, None

    def ran_dry(self) -> None:
        """The player, as far as is known, has nothing left; what it has reported stays true."""
        reported = self.reported
        self.restart(self.sent)
        self.reported = reported

    def unheard(self, now: float) -> int:
        """The first frame that a client which comes back has not heard, of those that are kept."""
        if self.reported is not None:
            return max(self.reported[0] + 1, self.gone)
        return max(int(self.heard(now) * self.media.fps + 1e-6), self.gone)

    def over(self) -> float | None:
        """When the last frame sent will have been heard."""
        if not self.live:
            return -inf
        return None if self.epoch is None else self.epoch + self.lag + self.sent / self.media.fps

    def forget(self, now: float) -> None:
        """Let go of what nobody will ask for once more, and of pictures, which are large, sooner."""
        heard = self.heard(now)
        shown = int((heard - SHOWN) * self.media.fps)
        for known in tuple(takewhile(lambda known: known < shown, self.drawings)):
            del self.drawings[known]
        frame = int((heard - KEPT) * self.media.fps)
        if self.reported is not None:
            frame = max(frame - round(UNREPORTED * self.media.fps), min(frame, self.reported[0] + 1))
        if frame > self.gone:
            self.gone = frame
            self.audio.forget(min(self.media.edge(frame) * BYTES, self.audio.end))
            self.face.forget(frame * COUNT * 4)
