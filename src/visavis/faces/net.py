"""The `net` engine: a small streaming network that hears speech and moves the mouth."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, Weights
from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.effort import Effort
from visavis.faces.framing import FLOOR, Framer, Loudness, PeakHold, Samples
from visavis.faces.mel import BANDS, HOPS, RATE, MelStream
from visavis.faces.retiming import Retiming
from visavis.faces.viseme_table import CHANNELS
from visavis.settings import Settings
from visavis.stages.onnx import session

MODEL = "face_net.onnx"
"""mel float32[lanes, frames, 160], state float32[lanes, n] -> blendshapes float32[lanes, frames, 52],
and the state after them."""
NATIVE = Media(RATE, 30)
"""What the net was trained on; other media are converted on the way in and on the way out."""
LOOK_AHEAD = 2
"""Frames that the net hears before it moves the face."""
GAINS = {
    "jaw": 1.15,
    "lower": 3.0,
    "upper": 6.6,
    "smile": 3.2,
    "stretch": 1.35,
    "roll_lower": 1.45,
    "roll_upper": 1.45,
    "press": 1.45,
    "tongue": 1.0,
    "funnel": 1.8,
    "pucker": 1.25,
}
"""Output gains by channel. With them the 95th percentiles in running speech, of voices that the net was not
trained on, are those of a real face capture (jaw .24, lower .36, upper .32, smile .31, funnel .32, pucker
.28). The others give back what training takes away by pulling every shape towards its mean."""
EFFORT = 0.35
"""Share of the opening of jaw and lips that follows the voice's effort, not what the net hears."""
WIDEST = {"jaw": 0.24, "lower": 0.36, "upper": 0.32}
"""Openings at the loudest: a real face's 95th percentiles."""
GATE_DEPTH, GATE_FLOOR, GATE_RANGE = 42.0, -62.0, 12.0
"""Decibels: how far below the voice, and below which level in any case, the mouth rests; and how far above
that it is free. Without the gate the net mumbles in a quiet room."""
GATE_FALL = 240.0
"""Decibels a second by which the gate closes: fast enough for the end of speech, slow enough for a stop."""


class NetStream:
    """One voice: audio -> native frames -> features -> net -> gate -> frames of the media."""

    def __init__(self, net: Any, media: Media) -> None:
        self._net = net
        self._resample = None if media.rate == RATE else soxr.ResampleStream(media.rate, RATE, 1)
        self._frames, self._mel = Framer(NATIVE), MelStream()
        self._loudness, self._gate = Loudness(NATIVE.fps), PeakHold(GATE_FALL / NATIVE.fps, FLOOR)
        self._state = np.zeros((1, net.get_inputs()[1].shape[1]), np.float32)
        self._effort = Effort(LOOK_AHEAD)
        self._heard = np.zeros((0, HOPS * BANDS + 1), np.float32)
        self._early = LOOK_AHEAD
        self._retime = Retiming(NATIVE.fps, media)

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """The frames `LOOK_AHEAD` behind the audio; after `last`, all."""
        samples = to_float(pcm)
        native = samples if self._resample is None else self._resample.resample_chunk(samples, last=last)
        return self._retime(self._move(self._listen(native, last)), len(samples), last)

    def _listen(self, samples: Samples, last: bool) -> NDArray[np.float32]:
        """Features of the frames now whole and the opening (0..1) of the gate: float32[n, 161]. The end is
        told to the net as the last frame going on."""
        whole, edges = self._frames(samples, last)
        now, reference = self._loudness(whole, edges)
        silence = np.maximum(reference - GATE_DEPTH, GATE_FLOOR)
        opening = np.clip((self._gate(now) - silence) / GATE_RANGE, 0.0, 1.0).astype(np.float32)
        heard = np.column_stack([self._mel(whole), opening])
        self._heard = np.concatenate([self._heard, heard])[-1:]
        return np.concatenate([heard, np.repeat(self._heard, LOOK_AHEAD, 0)]) if last else heard

    def _move(self, heard: NDArray[np.float32]) -> Weights:
        if not len(heard):
            return np.zeros((0, COUNT), np.float32)
        mel, opening = heard[:, :-1], heard[:, -1:]
        shapes, self._state = self._net.run(None, {"mel": mel[None], "state": self._state})
        early, self._early = self._early, max(0, self._early - len(heard))
        weights: Weights = np.clip(shapes[0] * opening * _GAINS, 0.0, 1.0)
        return _opened(weights, self._effort(mel)[:, None] * opening)[early:]


def _opened(weights: Weights, effort: NDArray[np.float32]) -> Weights:
    """The weights with a share of their opening from `effort`, float32[n, 1], unless lips are closed."""
    closed = np.minimum(weights[:, _CLOSE] / np.maximum(weights[:, _JAW], 1e-3), 1.0)
    weights = weights * _HEARD + effort * (1 - closed) * _EFFORT
    weights[:, _CLOSE] = weights[:, _JAW] * closed
    return weights


class NetEngine:
    name = "net"

    def __init__(self, model: bytes) -> None:
        self._net = session(model)

    def open(self, media: Media, seed: int) -> NetStream:
        return NetStream(self._net, media)


def load(settings: Settings) -> NetEngine:
    engine = NetEngine(files("visavis.faces").joinpath(MODEL).read_bytes())
    engine.open(NATIVE, 0).feed(bytes(2 * RATE // 4), None, last=True)
    return engine


def _shapes(channels: Mapping[str, float], others: float) -> NDArray[np.float32]:
    """float32[52]: the value of each channel for its blendshapes."""
    values = np.full(COUNT, others, np.float32)
    for channel, value in channels.items():
        values[[INDEX[shape] for shape in CHANNELS[channel]]] = value
    return values


_JAW, _CLOSE = (slice(INDEX[shape], INDEX[shape] + 1) for shape in ("jawOpen", "mouthClose"))
_GAINS = _shapes(GAINS, 1.0)
_GAINS[_CLOSE] = GAINS["jaw"]  # lips meet where the jaw is
_HEARD = _shapes(dict.fromkeys(WIDEST, 1 - EFFORT), 1.0)
_EFFORT = np.float32(EFFORT) * _shapes(WIDEST, 0.0)
