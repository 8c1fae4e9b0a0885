"""An answer in the words of a passage, for a model too small to put it into its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.knowledge.chunks import sentences

LEAD = 0.1
"""How much nearer to the question one item of a list must be, to be said alone."""
LONGEST = 240
"""Characters of several sentences that are said together."""
_ENDS = tuple(".!?…。！？:;,")


def quote(question: str, passage: str, embed: Callable[[str], NDArray[np.float32]]) -> str:
    """The sentence of `passage` that is nearest to `question`, or the list that answers it. Blocking."""
    lines = passage.split("\n")
    parts = [(number, part) for number, line in enumerate(lines) for part in sentences(line)]
    if not parts:
        return ""
    asked = embed(question)
    scores = [float(embed(part) @ asked) for _, part in parts]
    best = int(np.argmax(scores))
    listed = _list_around(parts, best)
    others = max((scores[at] for at in listed if at != best), default=-1.0)
    if len(listed) == 1 or scores[best] >= others + LEAD:
        return _closed(parts[best][1])
    return _joined([parts[at][1] for at in listed])


def _list_around(parts: Sequence[tuple[int, str]], best: int) -> range:
    """The lines without an end of a sentence, such as the items of a list, that `best` stands among."""
    first = end = best
    while first > 0 and _item(parts, first - 1) and _item(parts, best):
        first -= 1
    while end + 1 < len(parts) and _item(parts, end + 1) and _item(parts, best):
        end += 1
    return range(first, end + 1)


def _item(parts: Sequence[tuple[int, str]], at: int) -> bool:
    number, part = parts[at]
    alone = sum(line == number for line, _ in parts) == 1
    return alone and not part.endswith(_ENDS)


def _joined(parts: Sequence[str]) -> str:
    said = _closed(parts[0])
    for part in parts[1:]:
        if len(said) + len(part) > LONGEST:
            break
        said = f"{said} {_closed(part)}"
    return said


def _closed(part: str) -> str:
    return part if part.endswith((".", "!", "?", "…")) else f"{part.rstrip(':;,')}."
