"""The `remote` engine: a window model on another machine, as `visavis stage serve face` offers it.

What a turn remembers stays here: each window of sound is a request of its own, and whoever answers the next
one need not be the same.
"""

from __future__ import annotations

import time

import numpy as np

from visavis.arkit import COUNT, Weights
from visavis.errors import VisavisError
from visavis.faces.context import NATIVE, ContextEngine
from visavis.faces.framing import Samples
from visavis.settings import RemoteStageSettings, Settings
from visavis.stages import remote_wire as wire
from visavis.stages.remote import Remote, address

PATIENCE = 0.5
"""Seconds for one window: all faces wait for it, and players have 0.3 s in reserve."""
REST = 2.0
"""Seconds in which a stage that has failed is not asked; faces are neutral then, and nobody waits."""


class RemoteFace(Remote):
    """A window model."""

    tries = 2

    def __init__(self, kind: str, settings: RemoteStageSettings) -> None:
        """Blocking; raises as `Remote` does."""
        super().__init__(kind, settings, min(PATIENCE, settings.timeout_seconds))
        self._rests_until = 0.0

    def __call__(self, samples: Samples) -> Weights:
        """float32[n] at 16 kHz -> float32[ceil(30 n / 16000), 52] in 0..1. Raises `VisavisError`."""
        if time.monotonic() < self._rests_until:
            raise VisavisError("STAGE_UNREACHABLE", "The stage 'face' has just failed.")
        try:
            return self._ask(
                wire.body(samples), lambda answer: _weights(answer, NATIVE.covering(len(samples)))
            )
        except VisavisError:
            self._rests_until = time.monotonic() + REST
            raise


def _weights(answer: bytes, frames: int) -> Weights:
    """Raises `ValueError` when they are not so many."""
    weights = np.frombuffer(answer, "<f4").reshape(frames, COUNT)
    if not np.isfinite(weights).all():
        raise ValueError("weights are no numbers")
    return weights


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without its address."""
    address("face", settings.remote_stages)


def load(settings: Settings) -> ContextEngine:
    return ContextEngine("remote", RemoteFace("face", settings.remote_stages), settings.face)
