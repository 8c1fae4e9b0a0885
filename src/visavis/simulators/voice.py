"""The voice of all simulators: the embedded one, so that what they say is real speech."""

from __future__ import annotations

from visavis.events import Word
from visavis.stages.tts_hibari import RATE, Hibari

__all__ = ["RATE", "SimulatedVoice"]


class SimulatedVoice:
    """Speaks English; equal seeds and texts give equal bytes. What was said once is kept."""

    def __init__(self, seed: int = 0) -> None:
        self._voice = Hibari(seed=seed)
        self._said: dict[str, tuple[bytes, tuple[Word, ...]]] = {}

    def say(self, text: str) -> tuple[bytes, tuple[Word, ...]]:
        """Blocking (50 ms a sentence): PCM16 at `RATE` (24 kHz), and its words with their seconds."""
        if text not in self._said:
            speech = self._voice(text)
            self._said[text] = speech.pcm, speech.words
        return self._said[text]
