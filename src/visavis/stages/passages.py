"""Text as a neural voice takes it: symbols word by word, in passages of one breath. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from visavis.stages.ipa import PAUSES

_CLAUSE_ENDS = frozenset(".,!?;:—…")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """The symbols of one spoken word, and the index of the written word it belongs to."""

    symbols: str
    owner: int
    melted: bool = False
    """Spoken without a space between it and the word before, as in "inthe"."""


def breaths(words: list[SpokenWord], longest: int) -> Iterator[list[SpokenWord]]:
    """Pieces of at most `longest` symbols, cut after a comma or the like where there is one."""
    words = [replace(word, symbols=word.symbols[: longest - 1]) for word in words if word.symbols]
    while words:
        size, fits, clause = 0, 0, 0
        for word in words:
            size += len(word.symbols) + 1
            if size > longest:
                break
            fits += 1
            clause = fits if word.symbols[-1] in _CLAUSE_ENDS else clause
        cut = fits if fits == len(words) else clause or fits
        if any(set(word.symbols) - PAUSES for word in words[:cut]):
            yield words[:cut]
        words = words[cut:]


def spelled(passage: list[SpokenWord]) -> tuple[list[str], list[int]]:
    """The symbols of a passage with spaces between words, and the written word that each belongs to.

    They stand between "<s>" and "</s>", which belong to none (-1).
    """
    symbols, owners = ["<s>"], [-1]
    for number, word in enumerate(passage):
        text = f" {word.symbols}" if number and not word.melted else word.symbols
        symbols += text
        owners += [word.owner] * len(text)
    return [*symbols, "</s>"], [*owners, -1]
