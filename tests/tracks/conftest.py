"""Our own voice as the recordings that are animated."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.animation import load_face
from visavis.audio import to_float
from visavis.faces import FaceEngine
from visavis.settings import Settings
from visavis.stages import tts_hibari

SENTENCE = "My name is Bob. Pleased to meet you, Mia, in the blue room by the pool."


@pytest.fixture(scope="session")
def speech() -> NDArray[np.float32]:
    """float32[n] at 24 kHz: half a second of silence, a sentence, half a second of silence."""
    spoken = to_float(tts_hibari.load(Settings())(SENTENCE).pcm)
    silence = np.zeros(12_000, np.float32)
    return np.concatenate([silence, spoken, silence])


@pytest.fixture(scope="session")
def net() -> FaceEngine:
    return load_face("net", Settings())
