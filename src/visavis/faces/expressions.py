"""Expressions that an agent asks for: each fades in, holds, and fades out or into the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, NAMES, Weights
from visavis.events import Emotion, EmotionName

FADE_IN, HOLD, FADE_OUT = 0.25, 2.5, 0.6
"""Seconds."""
YIELD = 0.6
"""How much of an expression's lips is given up where speech presses them together or rounds them. All of it
would make the corners of a smile twitch at every p, b and m; none has them pull at the closure."""


def both(**shapes: float) -> dict[str, float]:
    """Shapes that have a left and a right side, with the same weight on both."""
    return {name + side: weight for name, weight in shapes.items() for side in ("Left", "Right")}


EXPRESSIONS: Mapping[EmotionName, Mapping[str, float]] = {
    # No shape in here parts the lips or moves the jaw: those belong to speech.
    "neutral": {},
    "joy": {
        **both(mouthSmile=0.52, mouthDimple=0.15, cheekSquint=0.48, eyeSquint=0.20, browOuterUp=0.12),
        "browInnerUp": 0.08,
    },
    "sadness": {
        **both(mouthFrown=0.50, eyeSquint=0.16, eyeLookDown=0.16, browDown=0.08),
        "browInnerUp": 0.85,
    },
    "surprise": {**both(browOuterUp=0.85, eyeWide=0.65), "browInnerUp": 0.80},
    "anger": both(browDown=0.95, eyeSquint=0.36, noseSneer=0.34, mouthFrown=0.28, cheekSquint=0.12),
    "doubt": {
        **both(eyeSquint=0.18, mouthFrown=0.18),
        "browDownLeft": 0.55,
        "browOuterUpRight": 0.85,
        "browInnerUp": 0.14,
        "mouthDimpleLeft": 0.35,
    },
}


def vector(shapes: Mapping[str, float]) -> NDArray[np.float32]:
    """float32[52] of named shapes."""
    result = np.zeros(COUNT, np.float32)
    result[[INDEX[name] for name in shapes]] = list(shapes.values())
    return result


_TARGETS = {name: vector(shapes) for name, shapes in EXPRESSIONS.items()}
_LIPS = [INDEX[name] for name in NAMES if name.startswith("mouth")]
_ROUNDING = [INDEX["mouthPucker"], INDEX["mouthFunnel"]]


class Expressions:
    """The expressions of one turn; frames do not depend on how they are grouped."""

    def __init__(self, fps: int) -> None:
        self._fps = fps
        self._cues: list[tuple[float, NDArray[np.float32]]] = []

    def add(self, emotions: Iterable[Emotion], first: int) -> None:
        """Emotions in seconds from the turn's start; those before frame `first`, the next one to be drawn,
        begin there. Names that are not known are left out."""
        now = first / self._fps
        known = [emotion for emotion in emotions if emotion.name in _TARGETS]
        # A time that is not a number counts as now.
        self._cues += [(e.at if e.at > now else now, _TARGETS[e.name]) for e in known]
        self._cues.sort(key=lambda cue: cue[0])

    def __bool__(self) -> bool:
        """Whether anything is to be shown."""
        return bool(self._cues)

    def draw(self, first: int, count: int) -> Weights:
        """What is shown in `count` frames from `first` on, apart from speech: float32[count, 52]."""
        times = (np.arange(first, first + count) + 0.5) / self._fps
        result = np.zeros((count, COUNT), np.float32)
        ends = [start for start, _ in self._cues[1:]] + [np.inf]
        over = 0
        for (start, target), following in zip(self._cues, ends, strict=False):
            end = min(start + FADE_IN + HOLD, following)
            over += bool(count and end + FADE_OUT < times[-1])
            level = smooth((times - start) / FADE_IN) * (1 - smooth((times - end) / FADE_OUT))
            np.maximum(result, level[:, None] * target, out=result, casting="same_kind")
        del self._cues[:over]
        return result


def beside_speech(expressions: Weights, speech: Weights) -> Weights:
    """`expressions` whose lips yield to those of `speech`: float32[n, 52]."""
    jaw, close = speech[:, INDEX["jawOpen"]], speech[:, INDEX["mouthClose"]]
    shaped = np.maximum(close / np.maximum(jaw, 1e-3), speech[:, _ROUNDING].sum(1)).clip(0.0, 1.0)
    result = expressions.copy()
    result[:, _LIPS] *= (1 - YIELD * shaped)[:, None]
    return result


def smooth(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ramp from 0 at 0 to 1 at 1 without corners."""
    part = np.clip(part, 0.0, 1.0)
    return part * part * (3 - 2 * part)
