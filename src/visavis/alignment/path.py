"""The cheapest way to lay a recording over the same words said by somebody else: dynamic time warping.

Both are columns of features at the same rate. What is said is a chain of states, a column of speech each,
with a silence that may last any time (or none) before, between and after its words. Every column of the
recording is in one state: the same as the one before it, the next, or one or two further on. Only states near
the best one are looked at, and what is long past is settled, so that memory does not explode. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.float32]
"""float32[n, features]."""

STAY, SKIP, LEAP = 0.5, 0.5, 1.8
"""What it costs to hear a column of speech for longer, to leave one out, and to leave out two."""
WINDOW = 2_400
"""States that are looked at: the recording may be 20 seconds ahead of the text or behind it, and more where
its speed is that of the text."""
SETTLED = 3_600
"""Columns after which the past is settled: a minute."""
_NEVER = np.float32(1e9)


class Path(NamedTuple):
    """States intp[heard], the one in which each column was heard, and what they cost in all."""

    states: NDArray[np.intp]
    cost: float


def best_path(heard: Columns, said: Columns, silent: NDArray[np.bool_], silence: NDArray[np.float32]) -> Path:
    """The path of `heard` through the states `said`, the first and the last of which are silences.

    `silent`: bool[said], which states are silences; `silence`: float32[heard], what it costs to hear each
    column in one. Elsewhere a column costs the Euclidean distance.
    """
    count = len(said)
    width = min(WINDOW, count)
    stay = np.where(silent, np.float32(0), np.float32(STAY))
    skip = np.where(silent, np.float32(0), np.float32(SKIP))
    leap = np.full(count, _NEVER)
    leap[2:] = skip[:-2] + skip[1:-1] + np.float32(LEAP - 2 * SKIP)
    hop = np.full(count, _NEVER)
    hop[1:] = skip[:-1]
    square = np.einsum("ij,ij->i", said, said)
    first = 0
    cost = np.full(width + 3, _NEVER)  # three more before the window; it begins just before the first state
    cost[2] = 0.0
    states = np.zeros(len(heard), np.intp)
    moves: list[NDArray[np.uint8]] = []
    firsts: list[int] = []
    done, total = 0, 0.0
    for index, column in enumerate(heard):
        best = first + int(cost[3:].argmin()) if index else 0
        shift = min(max(best - width // 2 - first, 0), count - width - first)
        if shift:
            first += shift
            cost = np.concatenate([np.full(3, _NEVER), cost[3 + shift :], np.full(shift, _NEVER)])
        window = slice(first, first + width)
        ways = np.stack(
            [cost[3:] + stay[window], cost[2:-1], cost[1:-2] + hop[window], cost[:-3] + leap[window]]
        )
        move = ways.argmin(0).astype(np.uint8)
        here = square[window] - 2 * (said[window] @ column) + column @ column
        here = np.where(silent[window], silence[index], np.sqrt(np.maximum(here, 0)))
        reached = np.take_along_axis(ways, move[None], 0)[0] + here
        least = float(reached.min())
        total += least
        reached -= least  # so that float32 is enough however long it takes
        cost = np.concatenate([np.full(3, _NEVER), np.minimum(reached, _NEVER)])
        moves.append(move)
        firsts.append(first)
        if len(moves) == 2 * SETTLED:
            found = _trace(first + int(cost[3:].argmin()), moves, firsts)
            states[done : done + SETTLED] = found[:SETTLED]
            done += SETTLED
            del moves[:SETTLED], firsts[:SETTLED]
    in_sight = first + width == count  # then the path ends at the end
    last = count - 2 + int(cost[-2:].argmin()) if in_sight else first + int(cost[3:].argmin())
    states[done:] = _trace(last, moves, firsts)
    return Path(np.maximum.accumulate(states), total + float(cost[3 + last - first]))


def _trace(state: int, moves: list[NDArray[np.uint8]], firsts: list[int]) -> NDArray[np.intp]:
    """The states that led to `state`, the last one's."""
    found = np.empty(len(moves), np.intp)
    for index in range(len(moves) - 1, -1, -1):
        found[index] = state
        state -= int(moves[index][state - firsts[index]])
    return found
