"""How a head moves by itself: it sways and breathes, and the eyes stay on the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin, tanh

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import INDEX, Weights

DEGREE = pi / 180
LARGEST = 3.2 * DEGREE
"""No angle exceeds this, or the neck would show its blend."""
EYE_RANGE = 30 * DEGREE
"""How far an eye turns at weight 1."""
BREATH = 4.3
"""Seconds of one breath; breathing in takes two fifths of them."""
HERTZ = np.array([0.071, 0.113, 0.187, 0.059, 0.139, 0.083])
SIZES = np.array([[0.9, 0.4, 0, 0, 0, 0], [0, 0, 0.4, 0.4, 0, 0], [0, 0, 0, 0, 0.45, 0.4]]) * DEGREE
"""Of the six waves in yaw, pitch and roll."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Radians: pitch > 0 looks down, yaw > 0 turns to their own left, roll > 0 tilts to it; breath 0..1."""

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    breath: float = 0.0

    def rotation(self) -> NDArray[np.float64]:
        """float64[3, 3]: of the head's points."""
        a, b, c = cos(self.pitch), cos(self.yaw), cos(-self.roll)
        d, e, f = sin(self.pitch), sin(self.yaw), sin(-self.roll)
        return np.array(
            [
                [b * c, -b * f, e],
                [a * f + d * c * e, a * c - d * f * e, -d * b],
                [d * f - a * c * e, d * c + a * f * e, a * b],
            ]
        )


class Sway:
    """The same seed and second give the same pose."""

    def __init__(self, seed: int) -> None:
        self._phases = np.random.default_rng((seed % 2**32, 1)).random(len(HERTZ))

    def __call__(self, seconds: float) -> Pose:
        angles = SIZES @ np.sin(2 * pi * (HERTZ * seconds + self._phases))
        yaw, pitch, roll = (LARGEST * tanh(angle / LARGEST) for angle in angles.tolist())
        return Pose(pitch, yaw, roll, _breath(seconds))


def keep_looking(weights: Weights, pose: Pose) -> Weights:
    """`weights` with the eyes turned back by as much as the head has turned: float32[52]."""
    side = _between(weights, "eyeLookOutLeft", "eyeLookInLeft") - pose.yaw / EYE_RANGE
    other = _between(weights, "eyeLookInRight", "eyeLookOutRight") - pose.yaw / EYE_RANGE
    turned = weights.copy()
    _set(turned, "eyeLookOutLeft", "eyeLookInLeft", side)
    _set(turned, "eyeLookInRight", "eyeLookOutRight", other)
    for eye in ("Left", "Right"):
        up = _between(weights, f"eyeLookUp{eye}", f"eyeLookDown{eye}") + pose.pitch / EYE_RANGE
        _set(turned, f"eyeLookUp{eye}", f"eyeLookDown{eye}", up)
    return turned


def _between(weights: Weights, more: str, less: str) -> float:
    return float(weights[INDEX[more]] - weights[INDEX[less]])


def _set(weights: Weights, more: str, less: str, value: float) -> None:
    weights[INDEX[more]] = min(max(value, 0.0), 1.0)
    weights[INDEX[less]] = min(max(-value, 0.0), 1.0)


def _breath(seconds: float) -> float:
    t = seconds % BREATH / BREATH
    t = t / 0.4 if t < 0.4 else (1 - t) / 0.6
    return t * t * (3 - 2 * t)
