"""Finds the passages that a question is about: by meaning, and by the words that they share."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.knowledge.chunks import Chunk, sentences

Vectors = NDArray[np.float32]
"""float32[n, d], each row of length 1."""
Embed = Callable[[str], NDArray[np.float32]]

WORDS = 0.3
"""What sharing all words of the question is worth, beside the cosine of the nearest sentence."""
SURE, SURE_ABROAD = 0.36, 0.6
"""Score from which a passage has to do with a question, in English and in languages that the encoder knows
little of, whose sentences all look alike to it. Chosen on tests/data/knowledge and a Polish set."""
BEHIND = 0.25
"""How much worse than the best one a passage may be."""
SHORT = 2
"""Words of more than two letters up to which a question may be about what was said before."""
BEFORE = 0.5
"""What a passage's score for what was said before is worth then."""
_WORD = re.compile(r"\w+")
_MARKS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae"})


@dataclass(frozen=True, slots=True)
class Found:
    chunk: Chunk
    score: float


class Index:
    """The passages of a library. Calls are thread-safe and cost an embedding for each text."""

    def __init__(self, chunks: Sequence[Chunk], vectors: Vectors, embed: Embed, sure: float = SURE) -> None:
        """`vectors`: one row for each of `units(chunks)`, in their order."""
        self._chunks, self._vectors, self._embed, self._sure = chunks, vectors, embed, sure
        counts = [len(_sentences(chunk)) for chunk in chunks]
        self._firsts = np.concatenate(([0], np.cumsum(counts)))[:-1].astype(np.intp)
        self._stems = [stems(f"{chunk.heading} {chunk.text}") for chunk in chunks]
        self._known_by = Counter(stem for bag in self._stems for stem in bag)

    def search(self, question: str, most: int, before: Sequence[str] = ()) -> list[Found]:
        """The passages that `question` is about, best first; empty when it is about something else.

        `before`: what the same person said before it, oldest first; a short question may go on with that.
        """
        if not self._chunks:
            return []
        scores = self._scores(question, before if question.rstrip().endswith("?") else ())
        best = np.argsort(-scores, kind="stable")[:most]
        least = max(self._sure, float(scores[best[0]]) - BEHIND)
        return [Found(self._chunks[i], float(scores[i])) for i in best if scores[i] >= least]

    def _scores(self, said: str, before: Sequence[str]) -> NDArray[np.float64]:
        """How much each passage has to do with what was said."""
        words = stems(said)
        cosines = np.maximum.reduceat(self._vectors @ self._embed(said), self._firsts)
        scores = cosines + WORDS * self._shared(words)
        if before and len(words) <= SHORT:
            scores += BEFORE * self._scores(before[-1], before[:-1])
        return scores

    def _shared(self, asked: set[str]) -> NDArray[np.float64]:
        """How many of the question's words each passage has, 0..1, rare words counting more (BM25's idf)."""
        total = len(self._chunks)
        weights = {
            stem: math.log(1 + (total - known + 0.5) / (known + 0.5))
            for stem in asked
            for known in [self._known_by[stem]]
        }
        whole = sum(weights.values()) or 1.0
        return np.array([sum(weights[stem] for stem in asked & bag) / whole for bag in self._stems])


def units(chunks: Sequence[Chunk]) -> Iterator[str]:
    """What is embedded: every sentence below its heading."""
    for chunk in chunks:
        heading = chunk.heading.rpartition(": ")[2]
        for sentence in _sentences(chunk):
            yield f"{heading}: {sentence}"


def stems(text: str) -> set[str]:
    """The words of a text, roughly without accents and endings; of the shortest ones only numbers."""
    plain = unicodedata.normalize("NFKD", text.lower().translate(_MARKS))
    folded = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return {_stem(word) for word in _WORD.findall(folded) if len(word) > 2 or word.isdigit()}


def _stem(word: str) -> str:
    return word[:5] if len(word) > 5 else word[:-1] if len(word) > 3 else word


def _sentences(chunk: Chunk) -> list[str]:
    return [sentence for line in chunk.text.split("\n") for sentence in sentences(line)]
