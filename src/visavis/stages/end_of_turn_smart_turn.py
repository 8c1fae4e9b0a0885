"""End of turn with Smart Turn v3: has the speaker finished, judged by the melody of the last 8 seconds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from visavis.models import ModelStore
from visavis.settings import Settings
from visavis.stages import LISTEN_RATE, Samples
from visavis.stages.onnx import session

WINDOW = 8 * LISTEN_RATE
"""Samples that are judged."""
FFT, HOP, MELS = 400, 160, 80
"""Samples of one analysis window and between two of them; mel bands of each."""


class SmartTurn:
    """The engine; calls may run at once on several threads."""

    model, device = "smart-turn-v3.2", "cpu"

    def __init__(self, model: Path) -> None:
        self._session = session(model)

    def __call__(self, audio: Samples) -> float:
        """The probability (0..1) that the speaker of `audio` has finished; the last 8 s count.

        Ask once, about 0.2 s into a silence: longer silences make it say "finished" whatever was said.
        """
        (probability,) = self._session.run(None, {"input_features": log_mel(audio)[np.newaxis]})
        return float(probability.item())


def load(settings: Settings) -> SmartTurn:
    engine = SmartTurn(ModelStore(settings.models).path("smart-turn") / "smart-turn-v3.2-cpu.onnx")
    engine(np.zeros(LISTEN_RATE, np.float32))
    return engine


def log_mel(audio: Samples) -> NDArray[np.float32]:
    """The features of Whisper (Radford et al. 2022) for the last 8 s: float32[80, 800], about -1..1.5.

    Shorter audio is padded with zeros in front. The wave is brought to zero mean and unit variance, as in
    the training of Smart Turn; then log10 of mel power, kept within 8 of its maximum, (x + 4) / 4.
    """
    wave = np.zeros(WINDOW)
    recent = audio[-WINDOW:]
    wave[WINDOW - len(recent) :] = recent
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    windows = sliding_window_view(np.pad(wave, FFT // 2, mode="reflect"), FFT)[:WINDOW:HOP]
    spectrum = scipy.fft.rfft(windows * _hann())
    power = spectrum.real**2 + spectrum.imag**2
    log = np.log10(np.maximum(power @ _mel_filters(), 1e-10)).T
    features: NDArray[np.float32] = ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return features


@cache
def _hann() -> NDArray[np.float64]:
    return np.hanning(FFT + 1)[:-1]  # periodic


@cache
def _mel_filters() -> NDArray[np.float64]:
    """float64[201, 80]: triangles of equal area, spaced evenly in mel from 0 to 8 kHz."""
    corners = _hertz(np.linspace(0.0, _mel(LISTEN_RATE / 2), MELS + 2))
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    bins = np.linspace(0.0, LISTEN_RATE / 2, FFT // 2 + 1)[:, np.newaxis]
    triangles = np.maximum(0.0, np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)))
    filters: NDArray[np.float64] = triangles * 2.0 / (high - low)
    return filters


def _mel(hertz: float) -> float:
    """The mel scale of Slaney's Auditory Toolbox above its 1 kHz corner: linear below, logarithmic above."""
    return 15.0 + 27.0 * float(np.log(hertz / 1000.0)) / float(np.log(6.4))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))
