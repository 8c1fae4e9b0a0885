"""The `net` engine: a small streaming network that hears speech and moves the mouth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, Weights
from visavis.audio import Media, to_float
from visavis.events import Phoneme
from visavis.faces.effort import Effort, powers
from visavis.faces.framing import FLOOR, Framer, Loudness, PeakHold, Samples, levels, split
from visavis.faces.mel import BANDS, HOPS, RATE, Features, MelStream, features
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
        self._frames, self.mel = Framer(NATIVE), MelStream()
        self._reference = Loudness(NATIVE.fps).reference
        self._gate = PeakHold(GATE_FALL / NATIVE.fps, FLOOR)
        self.state = np.zeros(net.get_inputs()[1].shape[1], np.float32)
        self._effort = Effort(LOOK_AHEAD)
        self._heard = np.zeros((0, HOPS * BANDS), np.float32)
        self._opening: list[float] = []
        self._early = LOOK_AHEAD
        self._retime = None if media == NATIVE else Retiming(NATIVE.fps, media)

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        """The frames `LOOK_AHEAD` behind the audio; after `last`, all."""
        return feed_all(self._net, [self], [(pcm, last)])[0]

    def native(self, samples: Samples, last: bool) -> tuple[Samples, NDArray[np.intp]]:
        """The native frames that are now whole, and their edges."""
        if self._resample is not None:
            samples = self._resample.resample_chunk(samples, last=last)
        return self._frames(samples, last)

    def lead_out(self, mel: Features, last: bool) -> Features:
        """What the net hears: the features of the new frames; the end is told as the last frame going on."""
        self._heard = mel[-1:] if len(mel) else self._heard
        return np.concatenate([mel, np.repeat(self._heard, LOOK_AHEAD, 0)]) if last else mel

    def openings(self, levels: list[float], last: bool) -> list[float]:
        """How far the gate is open, 0..1, at each of the new frames' loudness."""
        opened = [self._open(level) for level in levels]
        self._opening = opened[-1:] or self._opening
        return opened + self._opening * LOOK_AHEAD if last else opened

    def _open(self, level: float) -> float:
        silence = max(self._reference.next(level) - GATE_DEPTH, GATE_FLOOR)
        return min(max((self._gate.next(level) - silence) / GATE_RANGE, 0.0), 1.0)

    def efforts(self, powers: list[float]) -> list[float]:
        return [self._effort.next(power) for power in powers]

    def retimed(self, weights: Weights, samples: int, last: bool) -> Weights:
        """The frames of the media that these native ones decide, without those that were looked ahead for."""
        early, self._early = self._early, max(0, self._early - len(weights))
        weights = weights[early:]
        return weights if self._retime is None else self._retime(weights, samples, last)


def feed_all(net: Any, streams: Sequence[NetStream], pieces: Sequence[tuple[bytes, bool]]) -> list[Weights]:
    """What `feed` of each stream returns for its piece: (pcm, last). Different streams only.

    A few frames cost nearly as much as many: whatever has no memory is done for all of them at once.
    """
    lasts = [last for _, last in pieces]
    samples = [to_float(pcm) for pcm, _ in pieces]
    frames = [stream.native(x, last) for stream, x, last in zip(streams, samples, lasts, strict=True)]
    counts = [len(edges) - 1 for _, edges in frames]
    mels = features([stream.mel.hear(whole) for stream, (whole, _) in zip(streams, frames, strict=True)])
    heard = [stream.lead_out(mel, last) for stream, mel, last in zip(streams, mels, lasts, strict=True)]
    loud = split(levels(frames).tolist(), counts)
    opening = [s.openings(level, last) for s, level, last in zip(streams, loud, lasts, strict=True)]
    rows = [len(mel) for mel in heard]
    mel = np.concatenate(heard)
    power = split(powers(mel), rows)
    effort = [stream.efforts(each) for stream, each in zip(streams, power, strict=True)]
    gate, force = (np.array([*chain.from_iterable(x)], np.float32)[:, None] for x in (opening, effort))
    weights = np.clip(_shapes_of(net, streams, heard) * gate * _GAINS, 0.0, 1.0)
    moved = split(_opened(weights, force * gate), rows)
    return [
        stream.retimed(each, len(x), last)
        for stream, each, x, last in zip(streams, moved, samples, lasts, strict=True)
    ]


def _shapes_of(net: Any, streams: Sequence[NetStream], heard: Sequence[Features]) -> Weights:
    """What the net makes of each stream's features, one after another: lanes of one length go together."""
    found: list[Weights] = [np.zeros((0, COUNT), np.float32)] * len(streams)
    for count in {len(mel) for mel in heard if len(mel)}:
        lanes = [lane for lane, mel in enumerate(heard) if len(mel) == count]
        mel, state = (np.stack(x) for x in zip(*((heard[i], streams[i].state) for i in lanes), strict=True))
        shapes, after = net.run(None, {"mel": mel, "state": state})
        for row, lane in enumerate(lanes):
            # A copy, or one long turn would keep the states of all that it was moved with.
            found[lane], streams[lane].state = shapes[row], after[row].copy()
    return np.concatenate(found)


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
