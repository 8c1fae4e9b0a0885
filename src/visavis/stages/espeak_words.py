"""Text of any language in phonemes, word by word, with espeak-ng's pronunciation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby

from visavis.stages.espeak_library import Library
from visavis.stages.ipa import STRESS
from visavis.stages.passages import SpokenWord, breaths
from visavis.stages.spoken_text import LONGEST_WORD

LONGEST_CLAUSE = 200
"""Characters that are pronounced at once, about; a clause without commas is cut there."""
_UNSPOKEN = frozenset(("So", "Sk", "Cc", "Cf", "Cs", "Co", "Cn"))
_MARKS = {
    "。": ".",
    "．": ".",
    "、": ",",
    "，": ",",
    "؟": "?",
    "？": "?",
    "！": "!",
    "।": ".",
    "：": ":",
    "；": ";",
}
_ENDS = frozenset(".!?…")
_MARK = re.compile(r"([.,!?…:;—。．、，؟？！।：；])[\"'”’»)\]*_]*$")


def pronounceable(text: str) -> str:
    """`text` in which signs that are not spoken, such as emoji and Markdown, are blank.

    Every character stays where it is.
    """
    return "".join(" " if _is_unspoken(character) else character for character in text)


def _is_unspoken(character: str) -> bool:
    return character in "*_`~#|<>" or unicodedata.category(character) in _UNSPOKEN


class EspeakWords:
    """The pronunciation of one of espeak-ng's voices; calls may run on several threads.

    `spell` makes the alphabet of a network of espeak-ng's tied IPA, one character a symbol.
    """

    def __init__(self, library: Library, voice: str, spell: Callable[[str], str], longest: int) -> None:
        self._library, self._voice, self._spell, self._longest = library, voice, spell, longest

    def passages(self, text: str) -> Iterator[list[SpokenWord]]:
        """What to say in one breath each: sentences, cut where they have more than `longest` symbols."""
        sentence: list[SpokenWord] = []
        first = 0
        for clause in _clauses(text.split()):
            mark = _mark(clause[-1])
            words = self._pronounce([pronounceable(word[:LONGEST_WORD]) for word in clause], first)
            if words:
                words[-1] = SpokenWord(words[-1].symbols + mark, words[-1].owner)
            sentence += words
            first += len(clause)
            if mark in _ENDS:
                yield from breaths(sentence, self._longest)
                sentence = []
        yield from breaths(sentence, self._longest)

    def _pronounce(self, clause: Sequence[str], first: int) -> list[SpokenWord]:
        """The words of a clause as they sound in it; the first one is number `first` of the text."""
        together, *alone = map(self._spell, self._library.ipa([" ".join(clause), *clause], self._voice))
        words: list[SpokenWord] = []
        spaced = True
        for owner, part in groupby(zip(together, owners(alone, together), strict=True), lambda part: part[1]):
            text = "".join(symbol for symbol, _ in part)
            if symbols := text.strip():
                words.append(SpokenWord(symbols, first + owner, not spaced and text[0] != " "))
            spaced = text.endswith(" ")
        return words


def owners(alone: Sequence[str], together: str) -> list[int]:
    """For each symbol of a clause the index of the word it belongs to, from how each word sounds alone.

    In a clause words lose their stress and melt into each other ("in the" is one). Indices never decrease; a
    stress mark and a space belong to what comes after.
    """
    expected: list[tuple[str, int]] = []
    for index, word in enumerate(alone):
        expected += ((symbol, index) for symbol in f" {word}" if symbol not in STRESS)
    heard = [symbol for symbol in f" {together}" if symbol not in STRESS]
    found: list[int] = []
    matcher = SequenceMatcher(None, [symbol for symbol, _ in expected], heard, autojunk=False)
    for _, begin, end, start, stop in matcher.get_opcodes():
        for number in range(stop - start):
            if begin < end:
                found.append(expected[begin + number * (end - begin) // (stop - start)][1])
            else:  # nothing of it was expected: it belongs to what comes before
                found.append(expected[max(begin - 1, 0)][1] if expected else 0)
    after = iter(reversed(found))
    owner = found[-1]
    result: list[int] = []
    for symbol in reversed(together):
        owner = owner if symbol in STRESS else next(after)
        result.append(owner)
    return result[::-1]


def _clauses(words: Sequence[str]) -> Iterator[list[str]]:
    """The words up to a comma or the like, or to `LONGEST_CLAUSE` characters."""
    clause: list[str] = []
    for word in words:
        clause.append(word)
        if _mark(word) or sum(map(len, clause)) > LONGEST_CLAUSE:
            yield clause
            clause = []
    if clause:
        yield clause


def _mark(word: str) -> str:
    """The mark at the end of a word; none after a number, for in some languages "3." is "third"."""
    match = _MARK.search(word)
    if not match or (match[1] == "." and word[: match.start()].isdigit()):
        return ""
    return _MARKS.get(match[1], match[1])
