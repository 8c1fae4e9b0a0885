"""What a face does besides talking: blinks, glances, brows, breath, a mood, an expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, Weights
from visavis.events import Emotion, State
from visavis.faces.accents import Accents
from visavis.faces.expressions import Expressions, beside_speech, both, smooth, vector
from visavis.faces.framing import split

BLINK_SLOT, BLINK_SPREAD, BLINK_FIRST = 4.0, 2.0, 0.6
"""Seconds: one blink in every slot, somewhere in the spread from the first moment: 2 to 6 s between two."""
BLINK_CLOSE, BLINK_HOLD, BLINK_OPEN = 0.050, 0.015, 0.075
"""Seconds of a blink; lids fall faster than they rise."""
GLANCE_SLOT, GLANCE_SPREAD, GLANCE_CHANCE = 1.7, 0.8, 0.7
"""In every second slot of so many seconds the eyes may leave the viewer, and then come back."""
GLANCE_SIDE, GLANCE_UP = 0.32, 0.16
"""Largest weight of a glance."""
TREMOR_SLOT, TREMOR = 0.6, 0.025
"""Tiny fixational movements, as often as so many seconds and at most so large."""
SACCADE = 0.05
"""Seconds in which the eyes move."""
BREATH, BREATH_SIZE = 3.8, 0.03
"""Seconds of one breath, and how much the nostrils widen."""
MOOD = 0.3
"""Time constant in seconds with which an expression changes into the next."""
AHEAD = 256
"""Frames of a speaking face's life that are worked out at once."""
TABLE = 1024
"""Random numbers per kind; the pattern repeats after more than an hour."""


MOODS: Mapping[State, Mapping[str, float]] = {
    "idle": both(mouthSmile=0.12, cheekSquint=0.03),
    "listening": {
        **both(mouthSmile=0.24, cheekSquint=0.08, browOuterUp=0.12, eyeWide=0.08),
        "browInnerUp": 0.16,
    },
    "thinking": {
        **both(eyeLookUp=0.42, eyeSquint=0.10, mouthPress=0.18),
        "eyeLookOutRight": 0.34,
        "eyeLookInLeft": 0.34,
        "browInnerUp": 0.22,
        "browOuterUpRight": 0.30,
        "browDownLeft": 0.16,
    },
    "speaking": both(mouthSmile=0.06),
}
ATTENTION: Mapping[State, float] = {"idle": 1.0, "listening": 0.4, "thinking": 0.3, "speaking": 0.8}
"""How far glances go: a listener keeps looking."""
ACCENT = {**both(browOuterUp=0.40, eyeWide=0.12), "browInnerUp": 0.45}
BLINK = both(eyeBlink=1.0, cheekSquint=0.06)
BREATHING = both(noseSneer=1.0)
LEFT = {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}
RIGHT = {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0}
UP, DOWN = both(eyeLookUp=1.0), both(eyeLookDown=1.0)


_MOODS = {state: vector(shapes) for state, shapes in MOODS.items()}
_ACCENT = vector(ACCENT)
_LAYERS = np.array([vector(shapes) for shapes in (ACCENT, BLINK, BREATHING, LEFT, RIGHT, UP, DOWN)])
_WIDE = [INDEX["eyeWideLeft"], INDEX["eyeWideRight"]]
_BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
_SMILE = [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]


class Life:
    """One face's life. The same seed and frame number give the same blink and glance, however the frames
    are grouped; moods ease from what was shown before."""

    def __init__(self, seed: int, fps: int) -> None:
        random = np.random.default_rng((seed % 2**32, 0))
        self._fps = fps
        self._blinks = random.random(TABLE)
        self._lids = random.uniform(0.9, 1.0, TABLE)
        self._glances = _Fixations(random, GLANCE_SLOT, GLANCE_SPREAD, _glances(random))
        tremor = random.uniform(-TREMOR, TREMOR, (TABLE, 2))
        self._tremor = _Fixations(random, TREMOR_SLOT, TREMOR_SLOT / 2, tremor)
        self._state: State | None = None
        self._since = 0
        self._from = np.zeros(COUNT, np.float32)
        self.expressions = Expressions(fps)
        self._ahead, self._known = np.zeros((0, COUNT), np.float32), 0

    def express(self, emotions: Iterable[Emotion], first: int) -> None:
        """Emotions to be shown by `apply`, whose next frame is `first`."""
        self.expressions.add(emotions, first)

    def apply(self, weights: Weights, first: int, accents: Accents) -> Weights:
        """Speaking frames brought to life: `weights` of the frames from `first` on, `accents` beside them.

        Jaw and lips stay as they are but for a small smile, which yields where lips are closed for p, b, m,
        and for an expression that was asked for.
        """
        return enliven([self], [weights], [first], [accents])[0]

    def speaking(self, first: int, count: int) -> Weights:
        """What `count` speaking frames from `first` on have besides speech, accents and expressions. It is
        worked out for a while ahead: a few frames cost nearly as much as many."""
        known = self._ahead if self._state == "speaking" else np.zeros((0, COUNT), np.float32)
        begin = first - self._known
        if begin < 0 or begin + count > len(known):
            rest = max(count, AHEAD)
            still = np.zeros(rest, np.float32)
            known = self._mood("speaking", first, rest) + self._layers("speaking", first, still)
            self._ahead, self._known, begin = known, first, 0
        return known[begin : begin + count]

    def frames(self, state: State, first: int, count: int) -> Weights:
        """`count` frames from `first` on of a face that is not speaking: float32[count, 52]."""
        still = np.zeros(count, np.float32)
        face: Weights = self._mood(state, first, count) + self._layers(state, first, still)
        return face.clip(0.0, 1.0)

    def _mood(self, state: State, first: int, count: int) -> Weights:
        if state != self._state:
            if self._state is not None:
                self._from = self._eased(self._state, first, 1)[0]
            self._state, self._since = state, first
        return self._eased(state, first, count)

    def _eased(self, state: State, first: int, count: int) -> Weights:
        age = np.arange(first - self._since, first - self._since + count) / (MOOD * self._fps)
        left = np.exp(-age, dtype=np.float32)[:, None]
        mood: Weights = _MOODS[state] * (1 - left) + self._from * left
        return mood

    def _layers(self, state: State, first: int, accents: Accents) -> Weights:
        frames = np.arange(first, first + len(accents))
        times = frames / self._fps
        side, up = (self._glances(times) * ATTENTION[state] + self._tremor(times)).T
        breath = BREATH_SIZE * (0.5 - 0.5 * np.cos(2 * np.pi / BREATH * times))
        sizes = [accents, self._blink(frames), breath, side, -side, up, -up]
        layers: Weights = np.maximum(np.array(sizes, np.float32), 0.0).T @ _LAYERS
        return layers

    def _blink(self, frames: NDArray[np.intp]) -> NDArray[np.float64]:
        """How far the lids are down. The deepest moment falls on a frame, or a blink could go unseen."""
        slots = (frames / (BLINK_SLOT * self._fps)).astype(np.intp)
        deepest = BLINK_SLOT * slots + BLINK_FIRST + BLINK_SPREAD * self._blinks[slots % TABLE]
        since = (frames - np.rint(deepest * self._fps)) / self._fps
        closing, opening = 1 + since / BLINK_CLOSE, 1 - (since - BLINK_HOLD) / BLINK_OPEN
        lids: NDArray[np.float64] = smooth(np.minimum(closing, opening)) * self._lids[slots % TABLE]
        return lids


def enliven(
    lives: Sequence[Life], weights: Sequence[Weights], firsts: Sequence[int], accents: Sequence[Accents]
) -> list[Weights]:
    """`apply` of each life to its frames; a few frames cost nearly as much as many."""
    counts = [len(rows) for rows in weights]
    speech, accent = np.concatenate(weights), np.concatenate(accents)
    lived = [life.speaking(first, n) for life, first, n in zip(lives, firsts, counts, strict=True)]
    life = np.concatenate(lived) + accent[:, None] * _ACCENT
    close, jaw = speech[:, INDEX["mouthClose"]], speech[:, INDEX["jawOpen"]]
    life[:, _SMILE] *= (1 - close / np.maximum(jaw, 1e-3))[:, None]
    if any(each.expressions for each in lives):
        shown = [
            each.expressions.draw(first, n) for each, first, n in zip(lives, firsts, counts, strict=True)
        ]
        life += beside_speech(np.concatenate(shown), speech)
    alive: Weights = np.clip(speech + life, 0.0, 1.0)
    alive[:, _WIDE] *= 1 - alive[:, _BLINKS]  # eyes wide with surprise blink like others
    return split(alive, counts)


class _Fixations:
    """Eyes that rest on one point after another: one point a slot, reached at a random moment in it."""

    def __init__(
        self, random: np.random.Generator, slot: float, spread: float, points: NDArray[np.float64]
    ) -> None:
        self._slot, self._starts, self._points = slot, random.uniform(0, spread, TABLE), points

    def __call__(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[n, 2]: towards the face's left and up."""
        slots = (times / self._slot).astype(np.intp)
        moved = smooth((times - slots * self._slot - self._starts[slots % TABLE]) / SACCADE)[:, None]
        before, after = self._points[(slots - 1) % TABLE], self._points[slots % TABLE]
        gaze: NDArray[np.float64] = before * (1 - moved) + after * moved
        return gaze


def _glances(random: np.random.Generator) -> NDArray[np.float64]:
    """Every second point is the viewer, and most of the others lie aside."""
    points = random.uniform(-1.0, 1.0, (TABLE, 2)) * (GLANCE_SIDE, GLANCE_UP)
    points[random.random(TABLE) > GLANCE_CHANCE] = 0.0
    points[::2] = 0.0
    points[-1] = 0.0  # the point before the first frame
    return points
