"""The echo gate: is what the microphone hears explained by what the avatar is saying?

Browsers' echo cancellation fails now and then, and the avatar must not interrupt itself. The gate compares
the microphone with the sound that is being played, frame by frame in 12 bands: it finds the delay between
them, learns per band how loud the echo comes back, and lets a voice through when it exceeds that.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from visavis.languages import words
from visavis.stages import LISTEN_RATE, VAD_FRAME, Samples

BANDS = 12
DELAYS = 16
"""Frames of delay that are tried: 0 to 0.48 s."""
THRESHOLD = 9.5
"""dB above the expected echo from which it is the user."""
EXTRA_AT_FIRST = 10.0
LEARN = round(0.8 * LISTEN_RATE)
"""Until this much playback has been heard the threshold is `EXTRA_AT_FIRST` dB higher."""
FIRST_GUESS = -6.0
"""dB between the played sound and its echo before anything has been learnt; careful."""
FALL, RISE, RISE_NEAR = 0.8, 0.5, 0.02
"""dB a frame by which the echo level is learnt: down, up, and up while the user seems to speak."""
TAIL = 2.5
"""dB a frame by which reverberation dies away (T60 of about 0.75 s)."""
AUDIBLE, PRESENT = -55.0, -60.0
"""dB from which playback counts at all, and from which one band of it teaches something."""
SPOKEN_AGO = 5.0
"""Seconds within which the avatar's own words can come back as an echo."""

Bands = NDArray[np.float64]
"""float64[BANDS] in dB."""

_WINDOW = np.hanning(VAD_FRAME).astype(np.float32)


def _filters() -> NDArray[np.float32]:
    """float32[BANDS, VAD_FRAME // 2 + 1]: the mean over each of 12 logarithmic bands, 200 Hz to 7 kHz."""
    edges = np.geomspace(200, 7000, BANDS + 1)
    frequencies = np.fft.rfftfreq(VAD_FRAME, 1 / LISTEN_RATE)
    inside = (frequencies >= edges[:-1, None]) & (frequencies < edges[1:, None])
    mean: NDArray[np.float32] = (inside / np.maximum(inside.sum(1, keepdims=True), 1)).astype(np.float32)
    return mean


_FILTERS = _filters()


def bands(frame: Samples) -> Bands:
    """The power of float32[VAD_FRAME] in 12 bands, dB."""
    power = np.abs(np.fft.rfft(frame * _WINDOW)) ** 2 / VAD_FRAME
    level: Bands = 10 * np.log10(_FILTERS @ power + 1e-10)
    return level


def is_echo_text(text: str, spoken: str) -> bool:
    """Whether most words of `text` are among those that the avatar has just `spoken` (or begin like them)."""
    said, own = words(text), words(spoken)
    known = {word[:4] for word in own if len(word) > 3} | set(own)
    hits = sum(word in known or (len(word) > 3 and word[:4] in known) for word in said)
    return bool(said) and hits >= max(1, 0.6 * len(said))


class EchoGate:
    """One microphone next to one loudspeaker; what it learns holds for the whole session."""

    def __init__(self) -> None:
        self._played: deque[Bands] = deque(maxlen=DELAYS + 2)
        self._correlation = np.zeros(DELAYS)
        self._before: Bands | None = None
        self._echo = np.full(BANDS, FIRST_GUESS)
        self._floor = np.full(BANDS, -75.0)
        self._tail = np.full(BANDS, -100.0)
        self._excess = 0.0
        self._heard = 0

    def frame(self, microphone: Samples, playing: Samples, learn: bool = True) -> bool:
        """Whether the user is heard in this frame, beyond the echo.

        Both are float32[VAD_FRAME]; `playing` is what the user was hearing meanwhile, silence if nothing.
        `learn` is False while playback is quieter than `playing` (the user is perhaps interrupting).
        """
        level = bands(microphone)
        self._played.appendleft(bands(playing))
        played = self._aligned(level)
        self._tail = np.maximum(played, self._tail - TAIL)
        expected = np.maximum(self._tail + self._echo, self._floor + 3)
        excess = np.sort(np.clip(level - expected, -10, 30))[
            BANDS // 2 :
        ].mean()  # the louder half of the bands
        self._excess = 0.5 * self._excess + 0.5 * float(excess)
        active = bool(played.max() > AUDIBLE)
        if active and learn:
            self._learn_echo(level - played, played > PRESENT)
        elif not active:
            lower = 0.7 * self._floor + 0.3 * level
            self._floor = np.where(level < self._floor, lower, self._floor + 0.05)
        careful = EXTRA_AT_FIRST if active and self._heard < LEARN else 0.0
        return self._excess > THRESHOLD + careful

    def _aligned(self, level: Bands) -> Bands:
        """What was played when this frame's echo left: the loudest of three frames about the best delay.

        The delay is where the changes of level, microphone and playback, go together best.
        """
        if self._before is not None and len(self._played) > DELAYS:
            change = np.clip(level - self._before, -20, 20)
            history = np.array(self._played)
            changes = np.clip(history[:DELAYS] - history[1 : DELAYS + 1], -20, 20)
            self._correlation = 0.985 * self._correlation + (changes * change).mean(axis=1)
        self._before = level
        delay = int(self._correlation.argmax())
        nearby = [self._played[k] for k in range(max(0, delay - 1), min(len(self._played), delay + 2))]
        loudest: Bands = np.max(nearby, axis=0)
        return loudest

    def _learn_echo(self, difference: Bands, present: NDArray[np.bool_]) -> None:
        """Follow the running median of (microphone - playback), slowly upwards while the user speaks."""
        self._heard += VAD_FRAME
        rise = RISE_NEAR if self._excess > THRESHOLD else RISE
        error = difference - self._echo
        step = np.where(error < 0, np.maximum(-FALL, error), rise * np.minimum(1, error))
        self._echo = np.clip(self._echo + np.where(present, step, 0), -60, 0)
