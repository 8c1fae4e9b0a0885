"""What large speech-to-face models leave to be tidied up: jitter, a lopsided mouth, mumbling in silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import INDEX, NAMES, Weights
from visavis.faces.framing import Samples

REACH = 2
"""Frames around each one that `polish` looks at, so that pieces and the whole agree."""
SILENCE = 1e-3
"""Root mean square (full scale is 1) below which a frame has no sound: -60 dB."""
_SMOOTHING = np.array([-3, 12, 17, 12, -3], np.float32) / 35
"""Savitzky and Golay (1964), table I: five points, a parabola."""


def polish(weights: Weights, samples: Samples, rate: int, fps: int) -> Weights:
    """Neutral in silence, smooth, symmetric: float32[n, 52] in 0..1 of the sound's n frames.

    The steps and the threshold of LAM Audio2Expression's streaming inference (aigc3d, Apache-2.0), without
    its blinks and with a silence rule that reaches no more than `REACH` frames ahead: the mouth rests when
    no frame within reach sounds, and gets there in two steps.
    """
    open_ = _dilated(_sounding(samples, len(weights), rate, fps)).astype(np.float32)
    gate = (open_ + np.concatenate([open_[:1], open_[:-1]])) / 2
    shaped = np.where(_MOUTH, weights * gate[:, None], weights)
    around = np.pad(shaped, ((REACH, REACH), (0, 0)), mode="reflect")
    smooth = sum(share * around[i : i + len(weights)] for i, share in enumerate(_SMOOTHING))
    result: Weights = np.clip((smooth + smooth[:, _MIRROR]) / 2, 0.0, 1.0).astype(np.float32)
    return result


def _sounding(samples: Samples, frames: int, rate: int, fps: int) -> NDArray[np.bool_]:
    edges = np.arange(frames + 1) * rate // fps
    power = np.add.reduceat(samples.astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
    loud: NDArray[np.bool_] = power >= SILENCE**2
    return loud


def _dilated(sounding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    around = np.pad(sounding, REACH)
    near = np.lib.stride_tricks.sliding_window_view(around, 2 * REACH + 1)
    return np.asarray(near.any(axis=1), np.bool_)


def _mirrored(name: str) -> str:
    """The name of the same shape on the other side; gaze has none, for both eyes turn the same way."""
    if name.startswith("eyeLook"):
        return name
    side, other = ("Left", "Right") if name.endswith("Left") else ("Right", "Left")
    return name.removesuffix(side) + other if name.endswith(side) else name


_MIRROR = np.array([INDEX[_mirrored(name)] for name in NAMES])
_MOUTH = np.array([name.startswith(("jaw", "mouth", "cheekPuff", "noseSneer", "tongue")) for name in NAMES])
