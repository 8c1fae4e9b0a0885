"""Prepared replies, chosen by meaning.

What the user says is compared, as a vector, with the phrasings of every entry of the bank. The nearest entry
answers when it is near enough; otherwise there is no prepared reply. Everything about the past is read from
the messages themselves, so one `Replies` serves all conversations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from visavis.emotions import read
from visavis.events import ToolCall
from visavis.spoken_clock import english_clock
from visavis.stages import Message

Vector = NDArray[np.float32]
"""float32[d] of length 1."""
Embed = Callable[[str], Vector]
Clock = Callable[[datetime], dict[str, str]]
"""The local time -> what replies may hold of it: `time`, `date`, `weekday`."""

FOLLOW_UP = 0.1
"""What an entry gains when the avatar's last reply is one that it follows."""
_LEAST_PHRASINGS = 3
_MOST_WORDS = 20
"""Whoever says more is telling something, which calls for the language model."""
_SHORTEST_HEARD = 12
"""Characters of a cut-off reply from which it is recognised."""
_GREETING = re.compile(
    r"^(hello|hi|hey|cześć|hej|witaj|dzień dobry|dobry wieczór)( there| \w+(?=[,.!]))?\b[,.! ]+"
    r"(?=\S+ \S+ \S)",
    re.IGNORECASE,
)
"""In front of a question of at least three words."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How near is near enough, chosen on the `tuning` parts of tests/data/paraphrases*.yaml.

    Precision first: a wrong prepared reply is worse than the language model's.
    """

    sure: float = 0.66
    """Score from which an entry answers in any case (score: see `Replies._scores`)."""
    likely: float = 0.52
    """Score from which it answers when it leads the next entry by `lead`."""
    lead: float = 0.06
    weights: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of an entry's nearest, second and third phrasing: one chance resemblance is not enough."""


MEANING = Matching()
"""For sentence embeddings."""
SPELLING = Matching(sure=0.6, likely=0.4, lead=0.08, weights=(0.8, 0.1, 0.1))
"""For vectors of letters."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that people say. `replies` is empty when the language model should answer it; `after` names
    the entries whose replies it may follow, empty for any. Without `says` it is never chosen. `uses` is the
    tool that goes with its replies."""

    id: str
    says: tuple[str, ...]
    replies: tuple[str, ...]
    after: frozenset[str]
    uses: str = ""


def read_bank(text: str) -> tuple[Entry, ...]:
    """The entries of a bank in YAML; its format is explained at the top of data/replies.yaml.

    Raises `ValueError` naming the entry that is not well-formed.
    """
    items: list[dict[str, Any]] = yaml.safe_load(text)
    replies = {item["id"]: item["reply"] for item in items if "reply" in item}
    bank = tuple(
        Entry(
            item["id"],
            tuple(item["says"]),
            tuple(replies.get(item.get("as", item["id"]), ())),
            frozenset(item.get("after", ())),
            item.get("uses", ""),
        )
        for item in items
    )
    known = {entry.id for entry in bank}
    if len(known) != len(bank):
        raise ValueError("Two entries of the reply bank have the same id.")
    for entry in bank:
        _check(entry, known)
    return bank


def _check(entry: Entry, known: set[str]) -> None:
    where = f"The entry {entry.id!r} of the reply bank"
    if 0 < len(entry.says) < _LEAST_PHRASINGS:
        raise ValueError(f"{where} needs at least {_LEAST_PHRASINGS} phrasings in `says`.")
    if not all(isinstance(text, str) for text in entry.says + entry.replies):
        raise ValueError(f"{where} holds something that is not text; put yes, no and numbers in quotes.")
    if not entry.after <= known:
        raise ValueError(f"{where} follows entries that do not exist: {sorted(entry.after - known)}.")


def normalise(text: str) -> str:
    """`text` as it is compared: lower case, straight apostrophes, no punctuation, no emotion tags, single
    spaces."""
    words = " ".join(read(text)[0]).lower().replace("’", "'")
    return " ".join(re.sub(r"[^\w' ]+", " ", words).split())


def embed_bank(bank: Sequence[Entry], embed: Embed) -> NDArray[np.float32]:
    """The vectors of all phrasings in the order of the bank, float32[n, d]."""
    return np.stack([embed(normalise(phrase)) for entry in bank for phrase in entry.says])


class Replies:
    """A bank with its vectors. Calls are thread-safe and cost one embedding."""

    def __init__(
        self,
        bank: Sequence[Entry],
        vectors: NDArray[np.float32],
        embed: Embed,
        seed: int = 0,
        matching: Matching = MEANING,
        clock: Clock = english_clock,
    ) -> None:
        self._bank = bank
        self._vectors = vectors
        self.embed = embed
        self._seed = seed
        self._matching = matching
        self._weights = np.array(matching.weights, np.float32)
        self._clock = clock
        self._rows = _rows(bank)
        self._exact: dict[str, list[Entry]] = {}
        self._said: dict[str, tuple[Entry, str]] = {}
        for entry in bank:
            for phrase in entry.says:
                self._exact.setdefault(normalise(phrase), []).append(entry)
            for reply in entry.replies:
                self._said.setdefault(normalise(reply), (entry, reply))

    def choose(self, messages: Sequence[Message], now: datetime, tools: Collection[str] = ()) -> str | None:
        """The reply to the last message; None when none fits, or it goes with a tool that is not there.

        `now` is the local time.
        """
        spoken = _spoken(messages)
        last = self._recognise(spoken[-1]) if spoken else None
        entry = self.match(messages[-1].text, last[0].id if last else None)
        if entry is None or not entry.replies or (entry.uses and entry.uses not in tools):
            return None
        reply = self._next(entry, spoken)
        if "{again}" not in reply:
            return reply.format(**self._clock(now)) if "{" in reply else reply
        return last[1] if last else spoken[-1] if spoken else None

    def calls(self, reply: str) -> list[ToolCall]:
        """The tool that goes with a reply, if one does."""
        source = self._recognise(reply)
        return [ToolCall("", source[0].uses)] if source is not None and source[0].uses else []

    def instead(self, id: str, messages: Sequence[Message]) -> str:
        """The next reply of the entry `id`, whatever was said."""
        return self._next(next(entry for entry in self._bank if entry.id == id), _spoken(messages))

    def match(self, text: str, last: str | None = None) -> Entry | None:
        """The entry that `text` means; `last` is the entry that the avatar's last reply came from."""
        plain = normalise(text)
        if not plain or len(plain.split()) > _MOST_WORDS:
            return None
        if (question := _GREETING.sub("", text)) != text:  # "Hello, who are you?" wants to know who
            entry = self._nearest(normalise(question), last)
            if entry is not None and entry.replies:
                return entry
        if (entry := self._nearest(plain, last)) is not None:
            return entry
        # "Hello! What is your name?": when every sentence is known, the last one gets the answer.
        sentences = [part for part in map(normalise, re.split(r"[.!?]+\s", text)) if part]
        matches = [self._nearest(sentence, last) for sentence in sentences] if len(sentences) > 1 else []
        return matches[-1] if matches and all(match and match.replies for match in matches) else None

    def _nearest(self, plain: str, last: str | None) -> Entry | None:
        exact = [entry for entry in self._exact.get(plain, ()) if not entry.after or last in entry.after]
        if exact:
            return max(exact, key=lambda entry: len(entry.after))
        scores = self._scores(plain, last)
        best, second = np.argsort(scores)[::-1][:2]
        lead = scores[best] - scores[second]
        wanted = self._matching
        sure = scores[best] >= wanted.sure or (scores[best] >= wanted.likely and lead >= wanted.lead)
        return self._bank[best] if sure else None

    def _scores(self, plain: str, last: str | None) -> NDArray[np.float32]:
        """Per entry, the weighted cosines of its three nearest phrasings; -1 when it cannot follow."""
        cosines = np.append(self._vectors @ self.embed(plain), np.float32(-1.0))
        nearest = np.sort(cosines[self._rows], axis=1)[:, ::-1][:, : len(self._weights)]
        scores: NDArray[np.float32] = nearest @ self._weights
        for index, entry in enumerate(self._bank):
            if entry.after:
                scores[index] = scores[index] + FOLLOW_UP if last in entry.after else -1.0
        return scores

    def _recognise(self, spoken: str) -> tuple[Entry, str] | None:
        """The entry and the full reply that `spoken`, perhaps cut off, came from."""
        plain = normalise(spoken)
        if plain in self._said or len(plain) < _SHORTEST_HEARD:
            return self._said.get(plain)
        return next((source for reply, source in self._said.items() if reply.startswith(plain)), None)

    def _next(self, entry: Entry, spoken: Sequence[str]) -> str:
        """The alternative that was not said yet, or was said longest ago."""
        said = [source[1] for text in spoken if (source := self._recognise(text))]
        latest = {reply: position for position, reply in enumerate(said)}
        start = self._seed % len(entry.replies)
        turns = entry.replies[start:] + entry.replies[:start]
        return min(turns, key=lambda reply: latest.get(reply, -1))


def _rows(bank: Sequence[Entry]) -> NDArray[np.intp]:
    """int[entries, most phrasings]: the vectors of each entry; the rest points one past the last vector."""
    counts = [len(entry.says) for entry in bank]
    rows = np.full((len(bank), max(counts)), sum(counts), dtype=np.intp)
    first = 0
    for index, count in enumerate(counts):
        rows[index, :count] = np.arange(first, first + count)
        first += count
    return rows


def _spoken(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages if message.role == "assistant"]
