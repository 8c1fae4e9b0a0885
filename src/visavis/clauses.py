"""Cutting a stream of text into clauses that can be spoken while the rest is still being written.

The first clause is short, so that speech begins soon; later ones are whole sentences where possible, because
a synthesiser speaks a whole sentence more naturally. How the text was split into pieces does not matter.
"""

from __future__ import annotations

import re

FIRST_WORDS = 3
"""Words from which the first clause may end at a comma."""
CONJUNCTION_WORDS = 5
"""Words from which it may end before a conjunction."""
FIRST_MOST_WORDS = 12
"""Words after which it ends anyway."""
LATER_CHARACTERS = 60
"""Characters from which a later clause may end at a comma."""
LATER_MOST_CHARACTERS = 180
"""Characters after which it ends at the next space."""

_WORD = re.compile(r"\S+(?=\s)")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*$")
_PAUSE = re.compile(r"[,;:—–][\"'”’)\]*_]*$")
_CONJUNCTIONS = frozenset(
    "and but or so because which while although though when if where unless until".split()
)
_NEVER_LAST = frozenset("dr mr mrs ms prof st mt vs fig e.g i.e cf approx gen sen rev capt".split())
"""Abbreviations that something always follows."""
_SELDOM_LAST = frozenset("no etc a.m p.m u.s u.k inc ltd co jr sr al ph.d".split())
"""Abbreviations (and "no", as in no. 5) that end a sentence only when a capital letter follows."""

_LINE_MARKUP = re.compile(r"^\s*(?:#{1,6}|[-*•>])\s+")
_MARKUP = re.compile(r"\*+|`+|~~|(?<!\w)_+|_+(?!\w)")
_PICTURES = re.compile("[\u200d\u20e3\u2190-\u2bff\ufe00-\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f]")


def speakable(clause: str) -> str:
    """`clause` without markdown and emoji, single spaces; empty when nothing in it can be said."""
    plain = _PICTURES.sub("", _MARKUP.sub("", _LINE_MARKUP.sub("", clause)))
    return " ".join(plain.split()) if any(map(str.isalnum, plain)) else ""


class ClauseCutter:
    """Collects pieces of one reply and hands out its clauses, each as soon as it is sure to be complete."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, piece: str) -> list[str]:
        """The clauses that `piece` completes, speakable and not empty."""
        self._text += piece
        clauses: list[str] = []
        while (end := self._end()) is not None:
            self._take(end, clauses)
        return clauses

    def close(self) -> list[str]:
        """What is left when the text is complete."""
        return self.feed("\n")

    def _take(self, end: int, clauses: list[str]) -> None:
        clause = speakable(self._text[:end])
        self._text = self._text[end:].lstrip()
        if clause:
            clauses.append(clause)
            self._first = False

    def _end(self) -> int | None:
        """Where the next clause ends; None while that cannot be told."""
        for count, word in enumerate(_WORD.finditer(self._text), start=1):
            rest = self._text[word.end() :]
            following = rest.lstrip()
            if "\n" in rest[: len(rest) - len(following)]:
                return word.end()
            ends = _ends_sentence(word.group(), count, following)
            if ends is None and not following:
                return None
            if ends or (self._first and _ends_first(word.group(), count, following)):
                return word.end()
            if self._first and count >= CONJUNCTION_WORDS and not re.search(r"\s", following):
                return None  # the next word may still become a conjunction
            if not self._first and _ends_later(word.group(), word.end()):
                return word.end()
        return None


def _ends_sentence(word: str, count: int, following: str) -> bool | None:
    """Whether the `count`-th word of a clause is the last of a sentence; None: `following` must tell."""
    mark = _SENTENCE_END.search(word)
    if mark is None:
        return False
    if not mark.group().startswith(".") or mark.group().startswith(".."):
        return True
    stem = word[: mark.start()].lstrip("\"'“‘([*_")
    if stem.lower() in _NEVER_LAST or (len(stem) == 1 and stem.isupper() and stem != "I"):
        return False
    if count == 1 and stem.isdigit():
        return False  # the number of a list item
    if stem.lower() in _SELDOM_LAST:
        return following[:1].isupper() if following else None
    return True


def _ends_first(word: str, count: int, following: str) -> bool:
    if count >= FIRST_MOST_WORDS or (count >= FIRST_WORDS and _PAUSE.search(word)):
        return True
    upcoming = re.match(r"\S+(?=\s)", following)
    return count >= CONJUNCTION_WORDS and upcoming is not None and upcoming.group() in _CONJUNCTIONS


def _ends_later(word: str, length: int) -> bool:
    return length >= LATER_MOST_CHARACTERS or (length >= LATER_CHARACTERS and bool(_PAUSE.search(word)))
