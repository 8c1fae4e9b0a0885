"""What a viewer notices first, counted where the phonemes of speech are known.

Lips meet for p, b, m, and for no other consonant; rounded vowels are rounded; open vowels are open; the mouth
is shut 150 ms into a pause; it opens when the speaker begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bench.lipsync.scores import FPS, Curve, curves_of
from visavis.arkit import Weights
from visavis.events import Phoneme
from visavis.faces.viseme_table import VOWEL
from visavis.faces.visemes import curves, rows_of

BILABIAL = frozenset("pbm")
PARTED = frozenset("tdnkɡglrɾɹ")
"""Consonants for which lips stay apart, `ALONE` seconds away from those for which they meet."""
ROUNDED = frozenset("uoʊwy")
OPEN = frozenset("aɑæ")
_SHUTTING = BILABIAL | frozenset("fvwβɸɱʋszʃʒɕʑ")
ROUNDING = frozenset("yɔoʊuøœwɥ")
"""Vowels with any of these do not tell how lips look unrounded."""
CLOSED_PART = 0.35
"""Lips are closed below this part of the median opening of the utterance's vowels."""
ALONE = 0.08
ROUNDER = 0.04
"""Pucker and funnel of a rounded vowel above the median of unrounded ones."""
SHUT, SHUT_AFTER, PAUSE = 0.03, 0.15, 0.30
"""jawOpen of a shut mouth, seconds into a pause until it must be shut, seconds of the shortest pause."""
OPENING = 0.06
"""Least jawOpen of an open vowel."""
BEFORE, AFTER = 0.02, 0.01
"""Seconds around a phoneme that count as its own."""
ONSET = 0.5
"""Part of the first vowel's opening at which a mouth that was shut has begun to speak."""


@dataclass
class Counts:
    """Hits and misses of each gate, and the skews of onsets."""

    closed: list[bool] = field(default_factory=list)
    parted: list[bool] = field(default_factory=list)
    rounded: list[bool] = field(default_factory=list)
    opened: list[bool] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)
    skews: list[float] = field(default_factory=list)
    """Frames by which a mouth begins to open later than one drawn from the phonemes."""

    def add(self, other: Counts) -> None:
        for mine, theirs in (
            (self.closed, other.closed),
            (self.parted, other.parted),
            (self.rounded, other.rounded),
            (self.opened, other.opened),
            (self.silent, other.silent),
        ):
            mine += theirs
        self.skews += other.skews

    @property
    def skew(self) -> float:
        """The median skew in frames."""
        return float(np.median(self.skews)) if self.skews else 0.0


def count(phonemes: Iterable[Phoneme], weights: Weights) -> Counts:
    """The gates of one utterance: its phonemes and its face at `FPS`."""
    phones = [p for p in phonemes if p.end > p.start]
    shapes, exact = curves_of(weights), curves_of(curves(phones, len(weights), FPS))
    gap, rounding, jaw = shapes["gap"], shapes["round"], shapes["jaw"]
    found = Counts()
    vowels = [p for p in phones if _vowel(p) and len(gap[_frames(p, gap)])]
    if len(vowels) < 3:
        return found
    opening = float(np.median([gap[_frames(p, gap)].max() for p in vowels]))
    plain = [rounding[_frames(p, gap)].mean() for p in vowels if not set(p.symbol) & ROUNDING]
    unrounded = float(np.median(plain)) if plain else 0.0
    usual = float(np.mean(np.concatenate([jaw[_frames(p, jaw)] for p in phones if p.symbol != "sil"])))
    meeting = [p for p in phones if set(p.symbol) & _SHUTTING or p.symbol == "sil"]
    for phone in phones:
        here, long = _frames(phone, gap, BEFORE, AFTER), phone.end - phone.start
        if not len(gap[here]):
            continue
        if phone.symbol in BILABIAL and long >= 0.03:
            found.closed.append(bool(gap[here].min() < CLOSED_PART * opening))
        elif phone.symbol in PARTED and long >= 0.03 and _alone(phone, meeting):
            found.parted.append(bool(gap[_frames(phone, gap)].min() >= CLOSED_PART * opening))
        elif phone.symbol in ROUNDED and long >= 0.05:
            found.rounded.append(bool(rounding[here].max() > unrounded + ROUNDER))
        elif phone.symbol in OPEN and long >= 0.07:
            found.opened.append(bool(jaw[here].max() > max(usual, OPENING)))
        elif phone.symbol == "sil" and long >= PAUSE:
            rest = jaw[_frames(phone, jaw, -SHUT_AFTER, -2 * BEFORE)]
            if len(rest):
                found.silent.append(bool(rest.mean() < SHUT))
    found.skews = _skews(phones, gap, exact["gap"])
    return found


def _skews(phones: list[Phoneme], gap: Curve, exact: Curve) -> list[float]:
    """After every pause: when the mouth opens, against when it should."""
    skews = []
    for before, phone in pairwise(phones):
        if before.symbol == "sil" != phone.symbol and before.end - before.start >= PAUSE:
            vowel = next((p for p in phones if p.start >= phone.start and _vowel(p)), None)
            start = max(0, int((phone.start - PAUSE) * FPS))
            end = 0 if vowel is None else round(vowel.end * FPS) + 2
            if start < end <= len(gap):
                skews.append(_opens(gap[start:end]) - _opens(exact[start:end]))
    return skews


def _opens(gap: Curve) -> float:
    """Where (in frames, between frames too) a curve first rises past the middle between its least value
    and its greatest."""
    least = int(np.argmin(gap[: max(1, int(np.argmax(gap)))]))
    level = gap[least] + ONSET * (gap.max() - gap[least])
    at = least + int(np.argmax(gap[least:] >= level))
    if at == 0 or gap[at] == gap[at - 1]:
        return float(at)
    return at - float((gap[at] - level) / (gap[at] - gap[at - 1]))


def _alone(phone: Phoneme, others: Iterable[Phoneme]) -> bool:
    return all(other.end + ALONE < phone.start or phone.end + ALONE < other.start for other in others)


def _vowel(phone: Phoneme) -> bool:
    return any(VOWEL[row] for row in rows_of(phone.symbol))


def _frames(phone: Phoneme, curve: Curve, before: float = 0.0, after: float = 0.0) -> slice:
    """The frames of a phoneme, `before` and `after` seconds longer; at least one while there are frames."""
    first = max(0, int((phone.start - before) * FPS))
    return slice(first, min(len(curve), max(first + 1, int(np.ceil((phone.end + after) * FPS)))))
