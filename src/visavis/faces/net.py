"""The `net` engine: a small streaming network that hears speech and moves the mouth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, Weights, neutral
from visavis.audio import BYTES, Media, to_float
from visavis.events import Phoneme
from visavis.faces.effort import Effort, efforts
from visavis.faces.framing import FLOOR, Loudness, PeakHold, Samples, alike, decibels, hold, split, squared
from visavis.faces.mel import BEFORE, RATE, SAMPLES, Features, MelStream, features
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
    """What is remembered of one voice: audio -> native frames -> features -> net -> gate -> frames of the
    media."""

    def __init__(self, net: Any, media: Media) -> None:
        self._net = net
        self._resample = None if media.rate == RATE else soxr.ResampleStream(media.rate, RATE, 1)
        self._mel = MelStream()
        self.reference = Loudness(NATIVE.fps).reference
        self.gate = PeakHold(GATE_FALL / NATIVE.fps, FLOOR)
        self.state = np.zeros(net.get_inputs()[1].shape[1], np.float32)
        self.effort = Effort(LOOK_AHEAD)
        self.last: tuple[Features, float] | None = None
        """The features of the last frame, and how far the gate was open at it."""
        self._early = LOOK_AHEAD
        self._retime = None if media == NATIVE else Retiming(NATIVE.fps, media)

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """The frames `LOOK_AHEAD` behind the audio; after `last`, all."""
        return feed_all(self._net, [self], [(pcm, last)])[0]

    def hear(self, samples: Samples, last: bool) -> Samples:
        """The native frames that are now whole, as `features` needs them."""
        if self._resample is not None:
            samples = self._resample.resample_chunk(samples, last=last)
        return self._mel.hear(samples, last)

    def retimed(self, weights: Weights, samples: int, last: bool) -> Weights:
        """The frames of the media that these native ones decide, without those that were looked ahead for."""
        early, self._early = self._early, max(0, self._early - len(weights))
        weights = weights[early:]
        return weights if self._retime is None else self._retime(weights, samples, last)


def feed_all(net: Any, streams: Sequence[NetStream], pieces: Sequence[tuple[bytes, bool]]) -> list[Weights]:
    """What `feed` of each stream returns for its piece: (pcm, last). Different streams only.

    A few frames cost nearly as much as many: those who have the same number of them go together.
    """
    counts, lasts = [len(pcm) // BYTES for pcm, _ in pieces], [last for _, last in pieces]
    samples = split(to_float(b"".join([pcm for pcm, _ in pieces])), counts)
    heard = [stream.hear(x, last) for stream, x, last in zip(streams, samples, lasts, strict=True)]
    found: list[Weights] = [neutral(0)] * len(streams)
    moving = [
        len(x) > BEFORE or (last and stream.last is not None)
        for stream, x, last in zip(streams, heard, lasts, strict=True)
    ]
    for lanes in alike(zip(map(len, heard), lasts, moving, strict=True)):
        if moving[lanes[0]]:
            sound = np.concatenate([heard[lane] for lane in lanes]).reshape(len(lanes), -1)
            moved = _move(net, [streams[lane] for lane in lanes], sound, lasts[lanes[0]])
            for lane, weights in zip(lanes, moved, strict=True):
                found[lane] = weights
    return [
        stream.retimed(weights, count, last)
        for stream, weights, count, last in zip(streams, found, counts, lasts, strict=True)
    ]


def _move(net: Any, voices: Sequence[NetStream], sound: NDArray[np.float32], last: bool) -> Weights:
    """What the net makes of the new frames of each voice: float32[lanes, BEFORE + samples] ->
    float32[lanes, frames, 52]."""
    mel, opening = features(sound), _openings(voices, sound)
    if mel.shape[1]:
        for voice, heard, open_ in zip(voices, mel[:, -1].copy(), opening[:, -1].tolist(), strict=True):
            voice.last = heard, open_
    if last:  # the end is told as the last frame going on
        ends = [voice.last for voice in voices if voice.last is not None]
        mel = np.concatenate([mel, *[np.stack([heard for heard, _ in ends])[:, None]] * LOOK_AHEAD], axis=1)
        opening = np.concatenate([opening, *[np.array([[open_] for _, open_ in ends])] * LOOK_AHEAD], axis=1)
    gate = opening[..., None].astype(np.float32)
    force = efforts([voice.effort for voice in voices], mel)[..., None]
    states = np.concatenate([voice.state for voice in voices]).reshape(len(voices), -1)
    shapes, after = net.run(None, {"mel": mel, "state": states})
    for voice, state in zip(voices, after, strict=True):
        # A copy, or one long turn would keep the states of all that it was moved with.
        voice.state = state.copy()
    return _opened(np.clip(shapes * gate * _GAINS, 0.0, 1.0), force * gate)


def _openings(voices: Sequence[NetStream], sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each voice's gate is open, 0..1, at its new frames."""
    frames = sound[:, BEFORE:].reshape(len(sound), -1, SAMPLES)
    level = decibels(squared(frames))
    silence = np.maximum(hold([voice.reference for voice in voices], level) - GATE_DEPTH, GATE_FLOOR)
    free: NDArray[np.float64] = (hold([voice.gate for voice in voices], level) - silence) / GATE_RANGE
    return free.clip(0.0, 1.0)


def _opened(weights: Weights, effort: NDArray[np.float32]) -> Weights:
    """The weights with a share of their opening from `effort`, float32[..., 1], unless lips are closed."""
    closed = np.minimum(weights[..., _CLOSE] / np.maximum(weights[..., _JAW], 1e-3), 1.0)
    weights = weights * _HEARD + effort * (1 - closed) * _EFFORT
    weights[..., _CLOSE] = weights[..., _JAW] * closed
    return weights


class NetEngine:
    name = "net"

    def __init__(self, model: bytes) -> None:
        self._net = session(model)

    def open(self, media: Media, seed: int) -> NetStream:
        return NetStream(self._net, media)

    def feed_all(self, streams: Sequence[NetStream], pieces: Sequence[tuple[bytes, bool]]) -> list[Weights]:
        return feed_all(self._net, streams, pieces)


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
