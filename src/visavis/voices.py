"""Who speaks how: the embedded voice, higher or lower and of a smaller or larger person, for each avatar."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

Spectrum = NDArray[np.float32]
"""float32[bins, frames]: one value a frequency and frame."""
LOWEST, HIGHEST = 0.5, 2.0
"""Beyond these nothing sounds like a person."""


@dataclass(frozen=True, slots=True)
class Character:
    """Factors of the voice's own: 1 leaves it as it is."""

    pitch: float = 1.0
    formants: float = 1.0
    """Of the resonances: below 1 is a longer throat."""

    def __post_init__(self) -> None:
        if not (LOWEST <= self.pitch <= HIGHEST and LOWEST <= self.formants <= HIGHEST):
            raise ValueError(f"A voice's pitch and formants are factors from {LOWEST} to {HIGHEST}: {self}.")

    def resonant(self, spectrum: Spectrum) -> Spectrum:
        """A spectrum with its resonances moved; what lies above the last bin goes on like it."""
        if self.formants == 1.0:
            return spectrum
        last = len(spectrum) - 1
        source = np.minimum(np.arange(len(spectrum)) / self.formants, last)
        below = source.astype(np.intp)
        share = (source - below).astype(np.float32)[:, None]
        moved: Spectrum = spectrum[below] * (1 - share) + spectrum[np.minimum(below + 1, last)] * share
        return moved


OWN = Character()


@cache
def characters() -> dict[str, Character]:
    """Of the package's avatars."""
    cast: dict[str, Any] = json.loads(
        (files("visavis") / "avatars" / "avatars.json").read_text(encoding="utf-8")
    )
    return {entry["id"]: Character(**entry.get("voice", {})) for entry in cast["avatars"]}


def character_of(avatar: str) -> Character:
    """The character of one of the package's avatars; for others the voice's own."""
    return characters().get(avatar, OWN)
