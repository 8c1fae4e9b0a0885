"""Texts as vectors of their letters: near each other when they are written alike, in any alphabet.

No model is needed. Endings and misheard letters change little, which suits languages that inflect and
recognisers that err; synonyms are not known to be alike.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SIZES = (2, 3, 4)
"""Letters of a piece."""


class NGrams:
    """Text -> float32[n] of length 1: its pieces of words, those that few phrases have weighing most."""

    def __init__(self, phrases: Iterable[str]) -> None:
        """`phrases`: all that texts will be compared with; what else occurs in a text only dilutes it."""
        pieces = [set(_pieces(phrase)) for phrase in phrases]
        found = Counter(piece for each in pieces for piece in each)
        self._weights = {piece: math.log(1 + len(pieces) / count) for piece, count in found.items()}
        self._places = {piece: place for place, piece in enumerate(found)}
        self._unknown = math.log(1 + len(pieces))

    def __call__(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(len(self._places) + 1, np.float32)
        unknown = 0.0
        for piece in set(_pieces(text)):
            if piece in self._places:
                vector[self._places[piece]] = self._weights[piece]
            else:
                unknown += self._unknown**2
        vector[-1] = math.sqrt(unknown)
        length = float(np.linalg.norm(vector))
        return vector / np.float32(length) if length else vector


def _pieces(text: str) -> Iterable[str]:
    """The pieces of every word, which begins and ends with a space; without accents."""
    for word in plain(text).split():
        padded = f" {word} "
        for size in SIZES:
            yield from (padded[at : at + size] for at in range(len(padded) - size + 1))


def plain(text: str) -> str:
    """`text` in lower case without accents."""
    letters = unicodedata.normalize("NFD", text.lower().replace("ł", "l"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
