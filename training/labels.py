"""What the net learns: the curves of the phonemes, as eleven channels and the closure of the lips."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from training.speech import RATE, SILENCE, Utterance, Wave
from visavis.arkit import INDEX
from visavis.events import Phoneme
from visavis.faces.framing import PeakHold
from visavis.faces.mel import SAMPLES
from visavis.faces.viseme_table import CHANNELS
from visavis.faces.visemes import curves

FPS = RATE // SAMPLES
CLOSURE = len(CHANNELS)
"""Where the closure of the lips (0 open .. 1 pressed) stands after the channels."""
OUTPUTS = CLOSURE + 1
SOUND = OUTPUTS
"""Where the number of the sound that is heard (see `SOUNDS`) stands after them; only training needs it."""
SOUNDS = "aæɑɐʌeɛəɜɝɚiɪɨyoɔɒuʊøœwjɥbdɡptkqmnɲŋfvθðszʃʒɕʑʂʐçxhɣlɫʎrɹɾʁɻʔβɸcɟ"
"""Sounds by their first sign; silence is 0, and what is not among them has the number after the last."""
LOUDNESS_POWER = 0.3
"""Vowels open with this power of the voice's amplitude, about as where phonemes are known; what people open
more when they are louder comes from `visavis.faces.effort`."""
SOFTEST, LOUDEST = 0.3, 1.4
FALL = 60.0
"""Decibels a second by which an opening may shrink: consonants between two vowels must not close them."""
QUIETEST = -70.0

_SOURCES = np.array([INDEX[shapes[0]] for shapes in CHANNELS.values()])

Labels = NDArray[np.float32]
"""float32[frames, OUTPUTS + 1]: what the net draws, and which sound it hears."""


def opening(wave: Wave) -> NDArray[np.float64]:
    """float64[frames]: how far vowels open, from each frame's loudness against the utterance's loud parts."""
    frames = len(wave) // SAMPLES
    power = (wave[: frames * SAMPLES].reshape(frames, SAMPLES).astype(np.float64) ** 2).mean(1)
    level = PeakHold(FALL / FPS, QUIETEST)(10 * np.log10(power + 1e-9))
    return np.clip(10 ** (LOUDNESS_POWER / 20 * (level - np.percentile(level, 90))), SOFTEST, LOUDEST)


def labels(spoken: Utterance, speed: float = 1.0) -> Labels:
    """The labels of an utterance that is played `speed` times as fast."""
    wave = spoken.wave()
    count = int(len(wave) / speed) // SAMPLES
    loud = opening(wave)
    loud = np.interp((np.arange(count) + 0.5) * speed, np.arange(len(loud)) + 0.5, loud)
    faster = (Phoneme(p.symbol, p.start / speed, p.end / speed, p.stress) for p in spoken.phonemes)
    weights = curves(faster, count, FPS, loud)
    jaw, closed = weights[:, INDEX["jawOpen"]], weights[:, INDEX["mouthClose"]]
    closure = np.where(jaw > 1e-4, closed / np.maximum(jaw, 1e-4), 0.0)
    heard = sounds(spoken.phonemes, count, speed)
    return np.column_stack([weights[:, _SOURCES], closure, heard]).astype(np.float32)


def sounds(phonemes: Iterable[Phoneme], frames: int, speed: float) -> NDArray[np.intp]:
    """int[frames]: the number of the sound in the middle of each frame."""
    found = np.zeros(frames, np.intp)
    for phoneme in phonemes:
        first, last = (max(0, round(at / speed * FPS)) for at in (phoneme.start, phoneme.end))
        known = SOUNDS.find(phoneme.symbol[0]) if phoneme.symbol else -1
        number = 0 if phoneme.symbol == SILENCE else known + 1 if known >= 0 else len(SOUNDS) + 1
        found[first:last] = number
    return found
