"""Lip-sync scores of predicted against measured curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import INDEX, Weights
from visavis.audio import to_float

FPS = 30
NAMES = ("gap", "round", "jaw")
"""What is compared: how far the lips are apart, how rounded they are, how far the jaw is open."""
LAGS = range(-4, 7)
"""Frames by which a system as a whole may be late (or early, below 0)."""
BLOCK = 15
"""Frames of one block of the bootstrap: half a second, longer than curves remember."""
ROUNDS = 1000
CLOSED, SPEECH, SMOOTH = 15, 25.0, 9
"""Percent of the frames of speech that count as closed; decibels below a clip's loud frames (their 95th
percentile) down to which there is speech; frames over which loudness is averaged for that."""
LEAST = 20
"""Frames of speech that a clip needs to tell something about closures."""

Curve = NDArray[np.float64]
"""float64[n] at `FPS`."""
Curves = Mapping[str, Curve]
"""Curves by their name in `NAMES`; `gap` is always there."""


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def curves_of(weights: Weights) -> dict[str, Curve]:
    """The curves of ARKit weights."""

    def mean(*names: str) -> Curve:
        result: Curve = weights[:, [INDEX[name] for name in names]].astype(np.float64).mean(1)
        return result

    jaw = mean("jawOpen")
    lips = mean("mouthLowerDownLeft", "mouthLowerDownRight") + mean("mouthUpperUpLeft", "mouthUpperUpRight")
    rolled = mean("mouthRollLower", "mouthRollUpper")
    gap = jaw - mean("mouthClose") + 0.5 * lips - 0.3 * rolled
    return {"gap": gap, "round": 2 * mean("mouthPucker", "mouthFunnel"), "jaw": jaw}


def loudness(pcm: bytes, frames: int, rate: int = 24_000, window: float = 0.06) -> Curve:
    """Root mean square of the sound around the middle of each frame."""
    power = np.concatenate([[0.0], np.cumsum(to_float(pcm).astype(np.float64) ** 2)])
    middle = ((np.arange(frames) + 0.5) / FPS * rate).astype(np.intp)
    half = int(window * rate / 2)
    first, end = (np.clip(middle + side, 0, len(power) - 1) for side in (-half, half))
    result: Curve = np.sqrt((power[end] - power[first]) / np.maximum(end - first, 1) + 1e-12)
    return result


def speaking(pcm: bytes, frames: int) -> NDArray[np.bool_]:
    """Which frames are speech."""
    level = 20 * np.log10(loudness(pcm, frames, window=0.1) + 1e-5)
    level = np.convolve(np.pad(level, SMOOTH // 2, "edge"), np.ones(SMOOTH) / SMOOTH, "valid")
    result: NDArray[np.bool_] = level > np.percentile(level, 95) - SPEECH
    return result


def correlation(a: Curve, b: Curve) -> float:
    """Pearson's r; 0 where one of the curves does not move."""
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def auc(score: Curve, positive: NDArray[np.bool_]) -> float:
    """The chance that a positive frame scores higher than another one; ties count half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    hits = int(positive.sum())
    misses = len(positive) - hits
    if not hits or not misses:
        return float("nan")
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def shifted(truth: Curve, told: Curve, lag: int) -> tuple[Curve, Curve]:
    """Both curves where they overlap when `told` is `lag` frames late."""
    count = max(0, min(len(truth), len(told)) - abs(lag))
    early, late = max(-lag, 0), max(lag, 0)
    return truth[early : early + count], told[late : late + count]


def best_lag(pairs: Sequence[tuple[Curve, Curve]]) -> int:
    """The one lag at which a system's gaps follow the measured ones best, on the mean over all clips."""

    def follows(lag: int) -> tuple[float, int]:
        return float(np.mean([correlation(*shifted(*pair, lag)) for pair in pairs])), -abs(lag)

    return max(LAGS, key=follows)


def correlated(pairs: Iterable[tuple[Curve, Curve]], lag: int, random: np.random.Generator) -> Score | None:
    """r over clips, each weighted by its length; None without clips."""
    cut = [shifted(*pair, lag) for pair in pairs]
    cut = [(truth, told) for truth, told in cut if len(truth) >= BLOCK]
    if not cut:
        return None
    value = _mean([(correlation(*pair), len(pair[0])) for pair in cut])
    blocks = np.concatenate([_products(_standard(truth), _standard(told)) for truth, told in cut])
    sums = blocks[random.integers(0, len(blocks), (ROUNDS, len(blocks)))].sum(1)
    n, a, b, aa, bb, ab = sums.T
    spread = (aa - a * a / n) * (bb - b * b / n)
    drawn = np.where(spread > 1e-9, (ab - a * b / n) / np.sqrt(np.maximum(spread, 1e-9)), 0.0)
    return _score(value, drawn)


def closures(
    clips: Iterable[tuple[Curve, Curve, NDArray[np.bool_]]], lag: int, random: np.random.Generator
) -> Score | None:
    """How well the predicted gap tells the closed frames (the lowest measured `CLOSED` percent) from the
    other frames of speech; 0.5 is chance. `clips`: measured gap, predicted gap, speech."""
    blocks: list[tuple[Curve, NDArray[np.bool_]]] = []
    values = []
    for truth, told, speech in clips:
        real, said = shifted(truth, told, lag)
        voiced, _ = shifted(speech.astype(np.float64), told, lag)
        real, said = real[voiced > 0.5], said[voiced > 0.5]
        if len(real) < LEAST:
            continue
        shut = real <= np.percentile(real, CLOSED)
        values.append((auc(-said, shut), len(real)))
        edges = range(BLOCK, len(real), BLOCK)
        blocks += zip(np.split(-_standard(said), edges), np.split(shut, edges), strict=True)
    if not values:
        return None
    drawn = []
    for _ in range(ROUNDS // 4):
        chosen = random.integers(0, len(blocks), len(blocks))
        score, shut = (np.concatenate([blocks[i][part] for i in chosen]) for part in (0, 1))
        drawn.append(auc(score, shut.astype(np.bool_)))
    return _score(_mean(values), np.array(drawn))


def _products(a: Curve, b: Curve) -> NDArray[np.float64]:
    """float64[blocks, 6]: count and sums of a, b, a*a, b*b, a*b in every block."""
    parts = np.column_stack([np.ones(len(a)), a, b, a * a, b * b, a * b])
    result: NDArray[np.float64] = np.add.reduceat(parts, np.arange(0, len(a), BLOCK))
    return result


def _standard(curve: Curve) -> Curve:
    result: Curve = (curve - curve.mean()) / (curve.std() + 1e-9)
    return result


def _mean(values: Sequence[tuple[float, int]]) -> float:
    found, weights = zip(*values, strict=True)
    return float(np.average(found, weights=weights))


def _score(value: float, drawn: Curve) -> Score:
    """The interval is as wide as that of the pooled blocks, around the value."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) - np.nanmean(drawn)
    return Score(value, value + float(low), value + float(high))
