"""Written words made speakable, and spoken words found again in what was written. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import accumulate

LONGEST_WORD = 80
"""Characters of a word that are read; what is longer was not written to be spoken."""
_LONG_NUMBER = re.compile(r"\d[\d,.]{14,}")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]"
)
_MARKS = re.compile(r"[\[\]{}*_`~]")
_LINK = re.compile(r"\]\([^)\s]*\)")
_OPENING = "([{<\"'“‘*_`~"
_CLOSING = ")]}>\"'”’*_`~.,;:!?…"
_SCHEME = re.compile(r"^(?:(?:https?|ftp)://|www\.)", re.IGNORECASE)
_DOTTED = re.compile(r"^[\w+-]{2,}(?:\.[\w-]+)*\.[a-z][a-z0-9-]+(?:[/:?#].*)?$")
_MAIL = re.compile(r"^[\w.%+-]+@[\w-]+(?:\.[\w-]+)+$")
_VERSION = re.compile(r"^v?\d+(?:\.\d+){2,}$")
_PHONE = re.compile(r"^\+?\d{1,3}-\d{3}-\d{3}-\d{4}$")
_WORDS = {"e.g": "for example", "i.e": "that is", "24/7": "twenty-four seven", "c#": "C sharp"}
_SYMBOLS = {".": " dot ", "@": " at ", "/": " slash ", "-": " dash ", "_": " underscore ", ":": " colon "}


def speakable(word: str) -> str:
    """`word` (no spaces) as words a reader of plain English can say; empty when it has no sound.

    Addresses are spelled out, emoji and markdown marks dropped. Numbers, money, times, units and the usual
    abbreviations are left to the synthesiser's own rules, which read them in context.
    """
    word = _LINK.sub("", _EMOJI.sub("", word[:LONGEST_WORD]))
    if not any(map(str.isalnum, word)):
        return _MARKS.sub("", word.strip("#*|"))
    core = word.lstrip(_OPENING).rstrip(_CLOSING)
    opening, _, closing = word.partition(core)
    if core.lower() in _WORDS:
        return _WORDS[core.lower()] + closing.removeprefix(".")
    return _MARKS.sub("", opening) + _core(core) + _MARKS.sub("", closing)


def _core(word: str) -> str:
    if _SCHEME.match(word) or _MAIL.match(word) or _DOTTED.match(word):
        return _spell_address(_SCHEME.sub("", _SCHEME.sub("", word)))
    if _VERSION.match(word):
        return word.removeprefix("v").replace(".", " point ")
    if _PHONE.match(word):
        return ", ".join(" ".join(group) for group in word.lstrip("+").split("-"))
    return _LONG_NUMBER.sub(_digits, re.sub(r"[\[\]]", "", word))


def _digits(number: re.Match[str]) -> str:
    return " ".join(re.findall(r"\d", number[0]))


def _spell_address(address: str) -> str:
    address = re.split(r"[?#]", address)[0].rstrip("/")
    spoken = "".join(_SYMBOLS.get(character, character) for character in address)
    return " ".join(re.sub(r"[^\w\s]", " ", spoken).split())


def align(written: Sequence[str], spoken: Sequence[str], expand: Callable[[str], int]) -> list[int]:
    """For each spoken word the index of the written word it belongs to; indices never decrease.

    Words that are equal on both sides anchor the alignment. Between anchors the spoken words are shared out
    in the ratio of `expand`, the number of words a written word makes when it is spoken alone, so that
    "7:30 pm" owns "seven thirty P.M." as "7:30" and "pm".
    """
    owners: list[int] = []
    matcher = SequenceMatcher(None, written, spoken, autojunk=False)
    for kind, first, end, start, stop in matcher.get_opcodes():
        if kind == "equal":
            owners += range(first, end)
        elif first == end:  # "$3 billion" -> "3 billion dollars": what was put in belongs to the word before
            owners += [max(first - 1, 0)] * (stop - start)
        else:
            owners += _share(first, [expand(word) for word in written[first:end]], stop - start)
    return owners


def _share(first: int, weights: list[int], count: int) -> list[int]:
    """`count` items dealt to the words from `first` on, in order and in the ratio of `weights`."""
    if not any(weights):
        weights = [1] * len(weights)
    total = sum(weights)
    ends = [round(count * part / total) for part in accumulate(weights)]
    return [first + next(i for i, end in enumerate(ends) if item < end) for item in range(count)]
