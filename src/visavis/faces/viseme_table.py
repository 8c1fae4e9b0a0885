"""What every phoneme does with the mouth: targets and strengths of the dominance model (see `visemes`).

Targets are on the model's own scale, 0..1; `CALIBRATION` turns them into ARKit weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The order matters: jaw; lips; rounding.
CHANNELS: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen",),
    "lower": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "upper": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "stretch": ("mouthStretchLeft", "mouthStretchRight"),
    "roll_lower": ("mouthRollLower",),
    "roll_upper": ("mouthRollUpper",),
    "press": ("mouthPressLeft", "mouthPressRight"),
    "tongue": ("tongueOut",),
    "funnel": ("mouthFunnel",),
    "pucker": ("mouthPucker",),
}
"""The model's channels and the blendshapes that each one moves."""

CALIBRATION: dict[str, tuple[float, float]] = {
    "jaw": (0.85, 1.45),
    "lower": (2.2, 1.2),
    "upper": (5.0, 1.2),
    "smile": (1.35, 0.8),
    "stretch": (0.75, 1.0),
    "roll_lower": (0.8, 1.0),
    "roll_upper": (0.8, 1.0),
    "press": (0.8, 1.0),
    "tongue": (1.5, 1.0),
    "funnel": (1.15, 1.0),
    "pucker": (0.72, 1.0),
}
"""Amplitude and exponent: weight = amplitude * value ** exponent.

With them the 95th percentiles in running speech are those of a real iPhone capture: jaw .24, lower .36, upper
.32, smile .31, funnel .32, pucker .28 (for the `phonemes` engine; measured on four synthesisers' speech).
"""

_TARGETS = """
a  jaw .62 lower .22 upper .10 stretch .05
æ  jaw .58 lower .26 upper .13 smile .10 stretch .12
ɑ  jaw .62 lower .20 upper .07
ʌ  jaw .42 lower .18 upper .07
ɐ  jaw .42 lower .18 upper .07
ə  jaw .26 lower .13 upper .05
ɜ  jaw .28 lower .13 upper .07 funnel .14
ɛ  jaw .42 lower .24 upper .12 smile .12 stretch .10
e  jaw .30 lower .24 upper .11 smile .18 stretch .12
ɪ  jaw .20 lower .20 upper .09 smile .16 stretch .10
i  jaw .14 lower .22 upper .10 smile .26 stretch .18
ɨ  jaw .18 lower .18 upper .08 smile .10
y  jaw .12 funnel .25 pucker .55
ɔ  jaw .44 lower .10 funnel .32 pucker .22
ɒ  jaw .48 lower .14 funnel .24 pucker .10
o  jaw .32 lower .06 funnel .34 pucker .38
u  jaw .14 funnel .28 pucker .62
ʊ  jaw .18 funnel .26 pucker .42
ø  jaw .22 funnel .30 pucker .42
œ  jaw .34 funnel .30 pucker .24
p  jaw .08 press .30 roll_lower .22 roll_upper .16
b  jaw .08 press .26 roll_lower .20 roll_upper .15
m  jaw .09 press .24 roll_lower .18 roll_upper .14
f  jaw .10 upper .12 roll_lower .32
v  jaw .10 upper .11 roll_lower .28
w  jaw .10 funnel .25 pucker .62
ɥ  jaw .10 pucker .58
j  jaw .13 lower .18 smile .18 stretch .10
s  jaw .05 lower .20 upper .10 smile .10 stretch .12
z  jaw .05 lower .20 upper .10 smile .10 stretch .11
ʃ  jaw .06 lower .14 upper .10 funnel .44 pucker .24
ʒ  jaw .06 lower .13 upper .10 funnel .42 pucker .24
ɕ  jaw .06 lower .18 upper .10 smile .06 funnel .28
ʑ  jaw .06 lower .18 upper .10 smile .06 funnel .28
ʂ  jaw .07 lower .15 funnel .40 pucker .20
ʐ  jaw .08 lower .15 funnel .38 pucker .20
t  jaw .12 lower .16 upper .07
d  jaw .13 lower .16 upper .07
n  jaw .15 lower .15 upper .06
l  jaw .22 lower .18 upper .07 tongue .04
ɫ  jaw .20 lower .16
r  jaw .18 lower .14
ɹ  jaw .17 lower .08 funnel .28 pucker .22
ɾ  jaw .18 lower .14
ʁ  jaw .22 lower .13
θ  jaw .14 lower .22 tongue .16
ð  jaw .14 lower .20 tongue .12
k  jaw .20 lower .14 upper .05
ɡ  jaw .20 lower .14 upper .05
ŋ  jaw .20 lower .13
x  jaw .20 lower .13
h  jaw .26 lower .14
ɣ  jaw .20 lower .13
ɲ  jaw .14 lower .15 smile .10
c  jaw .14 lower .15 smile .10
ç  jaw .14 lower .16 smile .12
q  jaw .20 lower .10
ʎ  jaw .16 lower .16 smile .10
"""

_SAME = """
ɝ=ɜ ɚ=ə ɘ=ə ɵ=ʊ ᵻ=ɪ ɯ=ɨ ʏ=y β=b ɸ=f ʋ=v ʔ=h ɦ=h ħ=h ʕ=h χ=x ɬ=l ɭ=l ɳ=n ʈ=t ɖ=d ɽ=ɾ ɻ=ɹ ʀ=ʁ ɟ=c ʝ=j ɱ=m
ɶ=a ɤ=ʌ ʍ=w ɰ=w ɴ=ŋ ʉ=u ᵊ=ə g=ɡ
"""

_VOWELS = frozenset("aæɑʌɐəɜɛeɪiɨyɔɒouʊøœ")
_BILABIALS = frozenset("pbm")
_LABIODENTALS = frozenset("fv")
_ROUNDED = frozenset("yɔoʊuøœwɥʃʒʂʐ")
# How firmly consonants hold the jaw: sibilants need the teeth together, velars let the vowel through.
_JAW_HOLD = {
    **dict.fromkeys("szʃʒɕʑʂʐ", 1.3),
    **dict.fromkeys("fvpbmtd", 0.9),
    **dict.fromkeys("nθðɲcç", 0.55),
    **dict.fromkeys("lɫrɹɾʎwɥj", 0.4),
    **dict.fromkeys("kɡŋxhɣqʁ", 0.18),
}
_LEAD = 0.03
"""Seconds by which the mouth is ahead of the sound."""

Table = NDArray[np.float64]


def _lines() -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for line in _TARGETS.strip().splitlines():
        symbol, *pairs = line.split()
        rows[symbol] = dict(zip(pairs[::2], map(float, pairs[1::2]), strict=True))
    return rows


def _strengths(symbol: str) -> tuple[float, float, float]:
    """Dominance over jaw, lips and rounding at the phoneme's middle."""
    if symbol in _VOWELS:
        return 1.0, 1.0, 1.35 if symbol in _ROUNDED else 0.8
    if symbol in _BILABIALS:
        return _JAW_HOLD[symbol], 2.2, 0.35
    lips = 2.0 if symbol in _LABIODENTALS else 0.6
    return _JAW_HOLD[symbol], lips, 1.2 if symbol in _ROUNDED else 0.5 if symbol == "ɹ" else 0.2


def _fades(symbol: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Seconds in which the dominance over jaw, lips and rounding fades before and after the phoneme."""
    rounded = symbol in _ROUNDED
    if symbol in _VOWELS:
        before, after = (0.095, 0.065) if rounded else (0.06, 0.055)
        return (0.075, 0.05, before), (0.0675, 0.05, after)
    if symbol in _BILABIALS:
        return (0.05, 0.03, 0.05), (0.045, 0.028, 0.05)
    before, after = (0.081, 0.055) if rounded else (0.06, 0.05)
    return (0.05, 0.036, before), (0.045, 0.034, after)


_ROWS = _lines()
_ORDER = [*_ROWS]
SILENCE = len(_ORDER)
"""The row of the mouth at rest."""
SYMBOLS: dict[str, int] = {symbol: row for row, symbol in enumerate(_ORDER)}
SYMBOLS |= {alias: SYMBOLS[symbol] for alias, symbol in (pair.split("=") for pair in _SAME.split())}
"""IPA sign -> row of the tables."""

TARGETS: Table = np.array(
    [[_ROWS[s].get(name, 0.0) for name in CHANNELS] for s in _ORDER] + [[0.0] * len(CHANNELS)]
)
"""float64[rows, channels]."""
AMPLITUDES: Table = np.array([_strengths(symbol) for symbol in _ORDER] + [(0.0,) * 3])
"""float64[rows, 3]: dominance over jaw, lips and rounding (that of a silence depends on its length)."""
FADES_BEFORE: Table = np.array([_fades(symbol)[0] for symbol in _ORDER] + [(0.05,) * 3])
FADES_AFTER: Table = np.array([_fades(symbol)[1] for symbol in _ORDER] + [(0.05,) * 3])
"""float64[rows, 3]: seconds."""
LEADS: Table = np.array([_LEAD] * SILENCE + [0.0])
"""float64[rows]: seconds."""
VOWEL = np.array([symbol in _VOWELS for symbol in _ORDER] + [False])
BILABIAL = np.array([symbol in _BILABIALS for symbol in _ORDER] + [False])
