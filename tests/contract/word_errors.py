"""The word error rate's numerator."""

from __future__ import annotations

import re


def words(text: str) -> list[str]:
    """The words of `text` without case and punctuation."""
    return re.sub(r"[^\w' ]", " ", text.lower().replace("’", "'")).split()


def word_errors(reference: str, hypothesis: str) -> int:
    """Fewest words to insert, delete or replace to turn one into the other (Levenshtein 1966)."""
    expected, found = words(reference), words(hypothesis)
    row = list(range(len(found) + 1))
    for number, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], number
        for column, other in enumerate(found, 1):
            replaced = diagonal + (word != other)
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, replaced)
    return row[-1]
