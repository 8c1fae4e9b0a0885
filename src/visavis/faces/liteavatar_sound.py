"""What LiteAvatar hears: sound -> features of a speech recogniser -> 32 parameters of a mouth, 30 a second.

The steps, windows and constants of the published project (github.com/HumanAIGC/lite-avatar, MIT); features
are those of Kaldi, as FunASR's Paraformer takes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, filtfilt

from visavis.errors import ConfigurationError
from visavis.faces.context import NATIVE
from visavis.faces.framing import Samples
from visavis.stages.onnx import session

Floats = NDArray[np.float32]

WINDOW = 30
"""Frames that are heard at once: one second."""
PARAMETERS = 32
BANDS, STACKED, EVERY = 80, 7, 6
"""Mel bands of 10 ms; so many of them side by side are one input of the recogniser, one for every six."""
INPUT = BANDS * STACKED
LAYERS, CHANNELS = 50, 512
"""Of the recogniser's encoder; the outputs of all layers are used."""
QUIET, PAUSE = -50.0, 15
"""Decibels below which a frame is silent, and how many in a row are a pause, in which the mouth rests."""
EASE = 5
"""Frames at the end of a turn in which the mouth comes to rest."""

Hear = Callable[[Floats], Floats]
"""The recogniser's encoder: float32[n, 560] -> float32[n, 50, 512]."""
Listen = Callable[[Samples], Floats]
"""float32[16000], one second at 16 kHz -> float32[30, 32]."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When a window is heard; all in frames."""

    step: int
    margin: int
    """Frames at a window's end that are left to the next one, and as many before them that fade into it."""
    lead: int
    """Silence heard before the first sound, so that the first window is full earlier."""


USUAL = Plan(step=12, margin=6, lead=0)
FAST = Plan(step=6, margin=3, lead=24)
"""The first pictures after 0.4 s of sound instead of 1 s, for twice the work."""


class Normalisation:
    """What Kaldi's `am.mvn` says: added to the features, then multiplied with them; float32[560] each."""

    def __init__(self, file: Path) -> None:
        try:
            words = file.read_text(encoding="utf-8").split()
            self.shift, self.scale = (_vector(words, name) for name in ("<AddShift>", "<Rescale>"))
        except (OSError, ValueError) as error:
            raise wrong(file, f"it cannot be read as statistics of {INPUT} features ({error})") from error

    def __call__(self, features: Floats) -> Floats:
        return (features + self.shift) * self.scale


def _vector(words: list[str], name: str) -> Floats:
    begin = words.index("[", words.index("<LearnRateCoef>", words.index(name))) + 1
    vector = np.array(words[begin : words.index("]", begin)], np.float32)
    if vector.shape != (INPUT,) or not np.isfinite(vector).all():
        raise ValueError(f"{name} has {len(vector)} numbers")
    return vector


def features(samples: Samples) -> Floats:
    """float32[n] at 16 kHz in -1..1 -> float32[ceil(m / 6), 560] of its m = 1 + (n - 400) // 160 frames."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160] * 32_768.0
    # Kaldi adds noise of one quantum, without which digital silence has no level; ours is the same each time.
    frames = frames + np.random.default_rng(0).standard_normal(frames.shape)
    frames -= frames.mean(axis=1, keepdims=True)
    frames -= 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft(frames * np.hamming(400), 512)) ** 2
    mel = np.log(np.maximum(power[:, :256] @ _FILTERS.T, np.finfo(np.float32).eps))
    at = np.arange(0, len(mel), EVERY)[:, None] + np.arange(STACKED) - STACKED // 2
    stacked: Floats = mel[np.clip(at, 0, len(mel) - 1)].reshape(-1, INPUT).astype(np.float32)
    return stacked


def _filters() -> NDArray[np.float64]:
    """Kaldi's triangles between 20 Hz and 8 kHz: float64[80, 256]."""

    def mel(hertz: Any) -> Any:
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(20.0), mel(8000.0), BANDS + 2)
    left, middle, right = (edges[k : k + BANDS, None] for k in range(3))
    at = mel(np.arange(256) * 31.25)
    triangles: NDArray[np.float64] = np.minimum(
        (at - left) / (middle - left), (right - at) / (right - middle)
    )
    return np.maximum(triangles, 0)


_FILTERS = _filters()


class Listener:
    """`model_1.onnx` behind the recogniser's encoder; a `Listen`. May be called from several threads.

    Raises `ConfigurationError` when the file is not such a model.
    """

    def __init__(self, file: Path, normalise: Normalisation, hear: Hear) -> None:
        self._normalise, self._hear = normalise, hear
        if not file.is_file():
            raise wrong(file, "there is no such file")
        try:
            self._session = session(file)
            result = self._run(np.zeros((1, WINDOW, LAYERS, CHANNELS), np.float32))
        except Exception as error:  # onnxruntime's have no common base
            raise wrong(
                file,
                "it cannot be run with input_au float32 [1, 30, 50, 512], input_ph float32 [1, 30, 2], "
                f"input_sp int64 [1] and w float32 [1] ({str(error).partition(chr(10))[0]})",
            ) from error
        if result.shape != (1, WINDOW, PARAMETERS):
            raise wrong(file, f"its output has shape {list(result.shape)}, expected [1, 30, {PARAMETERS}]")
        if not np.isfinite(self(np.zeros(NATIVE.rate, np.float32))).all():
            raise wrong(file, "what it and the recogniser make of silence are no finite numbers")

    def __call__(self, samples: Samples) -> Floats:
        heard = self._hear(self._normalise(features(samples)))
        at = np.linspace(0, len(heard) - 1, WINDOW)
        before = np.minimum(at.astype(np.intp), len(heard) - 2)
        part = (at - before).astype(np.float32)[:, None, None]
        between = heard[before] * (1 - part) + heard[before + 1] * part
        return np.asarray(self._run(between[None])[0], np.float32)

    def _run(self, heard: Floats) -> Any:
        inputs = {
            "input_au": heard,
            "input_ph": np.zeros((1, WINDOW, 2), np.float32),
            "input_sp": np.array([2], np.int64),
            "w": np.ones(1, np.float32),
        }
        return self._session.run(["output"], inputs)[0]


class ParameterStream:
    """The mouth of one turn. Windows depend on the sound alone, so pieces do not matter."""

    def __init__(self, listen: Listen, rest: Floats, plan: Plan) -> None:
        self._listen, self._rest, self._plan = listen, rest, plan
        self._sound, self._begin = np.zeros(NATIVE.edge(WINDOW), np.float32), -WINDOW
        self._heard = self._done = 0
        self._end = WINDOW - plan.lead
        self._fading = np.zeros((0, PARAMETERS), np.float32)

    def __call__(self, samples: Samples, last: bool) -> Floats:
        """The frames that are certain now, float32[n, 32]; with `last`, all. `samples` are at 16 kHz."""
        self._sound = np.concatenate([self._sound, samples])
        self._heard += len(samples)
        parts = [np.zeros((0, PARAMETERS), np.float32)]
        while self._end <= NATIVE.whole(self._heard):
            parts.append(self._window(self._end))
            self._forget(self._end - WINDOW)  # no later window begins before this one
            self._end += self._plan.step
        if last and self._done < (end := NATIVE.covering(self._heard)):
            self._sound = np.pad(self._sound, (0, NATIVE.edge(end) - self._heard))
            parts.append(self._settle(self._window(end, last=True)))
        return np.concatenate(parts)

    def _window(self, end: int, last: bool = False) -> Floats:
        """The frames that are certain when the second before frame `end` is heard."""
        first = NATIVE.edge(end) - NATIVE.edge(WINDOW) - NATIVE.edge(self._begin)
        heard = self._sound[first : first + NATIVE.edge(WINDOW)]
        frames = tidied(self._listen(heard), heard, self._rest)
        frames = frames[self._done - (end - WINDOW) : None if last else -self._plan.margin]
        fading, margin = self._fading, self._plan.margin
        share = ((len(fading) - np.arange(len(fading), dtype=np.float32)) / margin)[:, None]
        faded = fading * share + frames[: len(fading)] * (1 - share)
        frames = np.concatenate([faded, frames[len(fading) :]])
        certain = len(frames) if last else len(frames) - margin
        self._fading = frames[certain:]
        self._done += certain
        return frames[:certain]

    def _settle(self, frames: Floats) -> Floats:
        """The last frames of a turn come to rest."""
        count = min(EASE, len(frames))
        share = (np.arange(count, 0, -1, dtype=np.float32) - 1)[:, None] / EASE
        return np.concatenate([frames[:-count], frames[-count:] * share + self._rest * (1 - share)])

    def _forget(self, begin: int) -> None:
        """Let go of the sound before a frame."""
        if begin > self._begin:
            self._sound = self._sound[NATIVE.edge(begin) - NATIVE.edge(self._begin) :]
            self._begin = begin


def tidied(frames: Floats, heard: Samples, rest: Floats) -> Floats:
    """The frames of one window without jitter, at rest in its pauses: float32[30, 32]."""
    smooth = filtfilt(*_LOWPASS, frames, padtype=None, axis=0)
    edges = [NATIVE.edge(frame) for frame in range(WINDOW)]
    power = np.add.reduceat(heard.astype(np.float64) ** 2, edges) / np.diff([*edges, NATIVE.edge(WINDOW)])
    pause = _runs(power <= 10 ** (QUIET / 10), PAUSE)
    share = np.convolve(np.pad(pause.astype(np.float64), 2, mode="edge"), (0.1, 0.2, 0.4, 0.2, 0.1), "valid")
    result: Floats = (smooth + (rest - smooth) * share[:, None]).astype(np.float32)
    return result


_LOWPASS = butter(4, 10, fs=NATIVE.fps)
"""10 Hz: faster is no mouth."""


def _runs(quiet: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Those of `quiet` that have `least` neighbours of their kind in a row, themselves included."""
    whole = np.lib.stride_tricks.sliding_window_view(quiet, least).all(axis=1)
    runs: NDArray[np.bool_] = np.convolve(whole, np.ones(least)) > 0.5
    return runs


def wrong(file: Path, found: str) -> ConfigurationError:
    return ConfigurationError(
        f"LiteAvatar's {file}: {found}. Expected are the files of the published project; see docs/faces.md."
    )
