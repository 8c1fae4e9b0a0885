"""Phonemes to face curves: the dominance model of coarticulation.

After Cohen and Massaro, "Modeling Coarticulation in Synthetic Visual Speech" (1993): every phoneme pulls
each articulator towards its own target with a strength that fades before and after it, and what is seen is
the mean of the targets weighted by these dominances. Jaw, lips and rounding have dominances of their own, so
lips round long before their vowel while the jaw still belongs to the consonant. Lips that must meet (p, b,
m) are not left to an average: their closure is drawn on top.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, Weights
from visavis.events import Phoneme
from visavis.faces.viseme_table import (
    AMPLITUDES,
    BILABIAL,
    CALIBRATION,
    CHANNELS,
    FADES_AFTER,
    FADES_BEFORE,
    LEADS,
    SILENCE,
    SYMBOLS,
    TARGETS,
    VOWEL,
)

Curve = NDArray[np.float64]

COLUMNS = 4
"""Instants per frame at which dominances are evaluated before they are averaged into the frame."""
REACH = 0.6
"""Seconds beyond which a phoneme's dominance is nothing (< 1e-6)."""
SMOOTH = 0.018
"""Standard deviation in seconds of the smoothing of dominances."""
SEAM = 0.07
"""Seconds in which a face drawn before the next phonemes were known joins the one drawn with them."""
REST = 1.6
"""Dominance of a long silence over each articulator."""
STRESS = np.array([0.94, 1.0, 1.08])
"""Vowel opening by stress."""
CLOSURE_EDGE, CLOSURE_HALF, CLOSURE_LEAD = 0.020, 0.018, 0.015
"""Lips meet: seconds in which they come together, least half-length, and how far ahead of the sound."""

_CHANNEL = {name: index for index, name in enumerate(CHANNELS)}
_GAIN, _EXPONENT = np.array([CALIBRATION[name] for name in CHANNELS]).T
_OPENINGS = [_CHANNEL["lower"], _CHANNEL["upper"]]
_ROUNDED = [_CHANNEL["funnel"], _CHANNEL["stretch"]]
_SOURCE = np.array([_CHANNEL[name] for name, shapes in CHANNELS.items() for _ in shapes])
_SHAPES = np.array([INDEX[shape] for shapes in CHANNELS.values() for shape in shapes])
# Blocks of neighbouring channels that share an articulator (0 jaw, 1 lips, 2 rounding); loudness and stress
# scale the first two blocks in full and the others by half.
_BLOCKS = ((0, slice(0, 1), True), (1, slice(1, 3), True), (1, slice(3, 9), False), (2, slice(9, 11), False))


class VisemeTrack:
    """The face of one turn, drawn frame by frame while its phonemes become known.

    After the last known phoneme the mouth is assumed to rest. Frames do not depend on how they are grouped
    as long as the same phonemes are known `REACH` seconds ahead.
    """

    def __init__(self, fps: int) -> None:
        self._fps = fps
        self._starts, self._ends, self._loads = np.array([-1.0]), np.array([0.0]), np.ones(1)
        self._rows = np.array([SILENCE])
        self._known = 0.0
        self._frame = 0
        self._drawn = np.zeros(len(CHANNELS))
        self._loudness = 1.0
        column = np.arange(-COLUMNS, 2 * COLUMNS)[:, None] - np.arange(COLUMNS)
        kernel = np.exp(-0.5 * (column / (SMOOTH * COLUMNS * fps)) ** 2).sum(1)
        self._kernel = kernel / kernel.sum()

    def add(self, phonemes: Iterable[Phoneme]) -> None:
        """Phonemes in the order of time, in seconds from the turn's start; a gap is a silence."""
        found: list[tuple[float, float, int, float]] = []
        for start, end, row, stress in _parts(phonemes):
            if start > self._known:
                found.append((self._known, start, SILENCE, 1.0))
            start = max(start, self._known)
            if end > start:
                found.append((start, end, row, stress))
                self._known = end
        if found:
            starts, ends, rows, loads = zip(*found, strict=True)
            self._starts = np.append(self._starts, starts)
            self._ends = np.append(self._ends, ends)
            self._rows = np.append(self._rows, rows)
            self._loads = np.append(self._loads, loads)

    def draw(self, loudness: Curve) -> Weights:
        """The next `len(loudness)` frames; `loudness` scales the opening of vowels, 1 is a normal voice."""
        count = len(loudness)
        if not count:
            return np.zeros((0, COUNT), np.float32)
        first = self._frame - 1  # one frame again, to join this piece to the last
        columns = np.arange(COLUMNS * (first - 1), COLUMNS * (first + count + 2))
        times = (columns + 0.5) / (COLUMNS * self._fps)
        self._forget(times[0] - REACH)
        starts, ends, rows, loads = self._around(times)
        dominance = _dominance(times, starts, ends, rows)
        windows = np.lib.stride_tricks.sliding_window_view(dominance, 3 * COLUMNS, axis=0)[::COLUMNS]
        level = np.append(self._loudness, loudness)
        values = _blend(windows @ self._kernel, rows, loads * level[:, None])
        values += (self._drawn - values[0]) * np.exp(-np.arange(count + 1) / (SEAM * self._fps))[:, None]
        self._drawn, self._loudness = values[-1], level[-1]
        self._frame += count
        own = slice(2 * COLUMNS, -COLUMNS)
        return _weights(values[1:], _closure(times[own], starts, ends, rows).reshape(count, COLUMNS).max(1))

    def _forget(self, before: float) -> None:
        gone = int(np.searchsorted(self._ends, before))
        if gone:
            self._starts, self._ends = self._starts[gone:], self._ends[gone:]
            self._rows, self._loads = self._rows[gone:], self._loads[gone:]

    def _around(self, times: Curve) -> tuple[Curve, Curve, NDArray[np.intp], Curve]:
        stop = int(np.searchsorted(self._starts, times[-1] + REACH))
        return (
            np.append(self._starts[:stop], self._known),
            np.append(self._ends[:stop], max(self._known, times[-1]) + 1.0),
            np.append(self._rows[:stop], SILENCE),
            np.append(self._loads[:stop], 1.0),
        )


def curves(phonemes: Iterable[Phoneme], frames: int, fps: int = 30, loudness: Curve | None = None) -> Weights:
    """The face of a whole utterance: float32[frames, 52]."""
    track = VisemeTrack(fps)
    track.add(phonemes)
    return track.draw(np.ones(frames) if loudness is None else loudness)


def _parts(phonemes: Iterable[Phoneme]) -> Iterator[tuple[float, float, int, float]]:
    """Start, end, row of the table and opening of each phoneme; a diphthong or affricate is its parts."""
    for phoneme in phonemes:
        if not (math.isfinite(phoneme.start) and math.isfinite(phoneme.end)):
            continue
        rows = rows_of(phoneme.symbol) or [SILENCE]
        length = (phoneme.end - phoneme.start) / len(rows)
        for index, row in enumerate(rows):
            start = phoneme.start + index * length
            load = float(STRESS[min(max(phoneme.stress, 0), 2)]) if VOWEL[row] else 1.0
            yield start, start + length, row, load


def rows_of(symbol: str) -> list[int]:
    """The rows of the viseme table that an IPA symbol is made of; none for "sil" and unknown signs."""
    if symbol == "sil":
        return []
    signs = unicodedata.normalize("NFC", symbol)
    plain = (sign if sign in SYMBOLS else unicodedata.normalize("NFD", sign)[0] for sign in signs)
    return [SYMBOLS[sign] for sign in plain if sign in SYMBOLS]


def _dominance(times: Curve, starts: Curve, ends: Curve, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """float64[times, phonemes, 3]: how strongly each phoneme holds jaw, lips and rounding."""
    length = ends - starts
    offset = times[:, None] - ((starts + ends) / 2 - LEADS[rows])
    outside = np.maximum(np.abs(offset) - length / 2, 0.0)[:, :, None]
    away = outside / np.where(offset[:, :, None] < 0, FADES_BEFORE[rows], FADES_AFTER[rows])
    strength = AMPLITUDES[rows]
    silent = rows == SILENCE
    strength[silent] = np.minimum(REST, 0.25 + 5 * length[silent])[:, None]
    result: NDArray[np.float64] = strength * np.exp(-away * np.sqrt(away))
    return result


def _blend(dominance: NDArray[np.float64], rows: NDArray[np.intp], level: NDArray[np.float64]) -> Curve:
    """float64[frames, channels] from dominances [frames, phonemes, 3] and loudness [frames, phonemes]."""
    whole = np.where(VOWEL[rows], level, 1.0)
    targets, total = TARGETS[rows], dominance.sum(1) + 1e-3
    values = np.empty((len(dominance), len(CHANNELS)))
    for articulator, channels, full in _BLOCKS:
        pull = dominance[:, :, articulator] * (whole if full else (1 + whole) / 2)
        values[:, channels] = pull @ targets[:, channels] / total[:, articulator, None]
    return values


def _closure(times: Curve, starts: Curve, ends: Curve, rows: NDArray[np.intp]) -> Curve:
    """float64[times] in 0..1: how far the lips are pressed together for p, b, m."""
    lips = BILABIAL[rows]
    if not lips.any():
        return np.zeros(len(times))
    start, end = starts[lips], ends[lips]
    half = np.maximum(CLOSURE_HALF, (end - start) / 2 - 0.012)
    beyond = np.abs(times[:, None] - ((start + end) / 2 - CLOSURE_LEAD)) - half
    result: Curve = np.exp(-((np.maximum(beyond, 0.0) / CLOSURE_EDGE) ** 2)).max(1)
    return result


def _weights(values: Curve, closed: Curve) -> Weights:
    """Calibrated ARKit weights of channel values [frames, channels] and lip closure [frames]."""
    values = _GAIN * np.clip(values, 0.0, 1.2) ** _EXPONENT
    values[:, _OPENINGS] *= (1 - closed)[:, None]
    values[:, _ROUNDED] *= (1 - 0.7 * closed)[:, None]
    values[:, 0] *= 1 - 0.35 * closed
    result = np.zeros((len(values), COUNT), np.float32)
    result[:, _SHAPES] = np.clip(values[:, _SOURCE], 0.0, 1.0)
    result[:, INDEX["mouthClose"]] = result[:, INDEX["jawOpen"]] * closed
    return result
