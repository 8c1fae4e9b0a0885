"""The 52 ARKit blendshapes: their names, their order, and arrays of their weights.

The order is the plain alphabetical order of Apple's camel-case names, the one that models such as
wav2arkit use. Other tools (Live Link Face, MediaPipe) order them differently: map by name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
"""float32[n, 52], each value in 0..1: n frames of blendshape weights in the order of `NAMES`."""

NAMES: tuple[str, ...] = tuple(
    """
    browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
    cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft
    eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft
    eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose
    mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft
    mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight
    mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight
    mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight
    tongueOut
    """.split()
)
COUNT = len(NAMES)
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


def neutral(frames: int) -> Weights:
    """A face at rest for `frames` frames: float32[frames, 52] of zeros."""
    return np.zeros((frames, COUNT), np.float32)
