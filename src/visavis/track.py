"""A face over time: what `visavis animate` and `visavis say` write to files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis import arkit
from visavis.arkit import COUNT, Weights
from visavis.errors import VisavisError
from visavis.events import Phoneme, Word
from visavis.faces.retiming import between

LOWEST_FPS, HIGHEST_FPS = 1, 120
"""Frames a second that a track may have."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What is heard: mono PCM16 and its rate in Hz."""

    pcm: bytes
    rate: int


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """The face of some speech. `weights` is float32[n, 52] in 0..1 in the order of `names`; frame k is the
    face from k/fps to (k+1)/fps seconds. `source` says what it was made from, a file's name for instance."""

    fps: float
    weights: Weights
    words: tuple[Word, ...] = ()
    phonemes: tuple[Phoneme, ...] | None = None
    text: str = ""
    source: str = ""
    sound: Sound | None = None

    def __post_init__(self) -> None:
        check_fps(self.fps)
        if self.weights.ndim != 2 or self.weights.shape[1] != COUNT:
            raise VisavisError(
                "BAD_TRACK",
                f"A track has {COUNT} weights a frame; these have the shape {self.weights.shape}.",
            )

    def __len__(self) -> int:
        """How many frames."""
        return len(self.weights)

    @property
    def names(self) -> tuple[str, ...]:
        return arkit.NAMES

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """One blendshape's curve by its ARKit name: float32[n]."""
        curve: NDArray[np.float32] = self.weights[:, arkit.INDEX[name]]
        return curve

    def at(self, fps: float) -> Track:
        """The same face at other frames a second, interpolated in time."""
        check_fps(fps)
        if fps == self.fps:
            return self
        retime = Retime(self.fps, fps)
        return replace(self, fps=fps, weights=retime(self.weights, last=True))

    def save(self, path: str | Path, *, head: str | Path | None = None) -> None:
        """Write a .json, .jsonl, .npz, .csv (Live Link Face) or .glb file, by the end of its name.

        `head` is the .glb that a .glb's animation goes into; None is the built-in head. An existing file is
        only replaced by a complete one. Raises `VisavisError` when that cannot be done.
        """
        from visavis import exports

        exports.save(self, Path(path), None if head is None else Path(head))

    @staticmethod
    def load(path: str | Path) -> Track:
        """A track from a .json, .jsonl or .npz file. Raises `VisavisError` when it is none."""
        from visavis import exports

        return exports.load(Path(path))


def check_fps(fps: float) -> None:
    """Raises `VisavisError` for frames a second that a track cannot have."""
    if not LOWEST_FPS <= fps <= HIGHEST_FPS:
        raise VisavisError("BAD_FPS", f"{fps:g} frames a second: choose {LOWEST_FPS} to {HIGHEST_FPS}.")


class Retime:
    """Frames at one rate -> the same movement at another, interpolated at the middle of each new frame."""

    def __init__(self, source: float, target: float) -> None:
        self._ratio = source / target
        self._known = self._done = self._first = 0
        self._kept = arkit.neutral(0)

    def __call__(self, weights: Weights, last: bool) -> Weights:
        """The frames that are now certain; after `last`, as many as last as long as the source."""
        self._known += len(weights)
        self._kept = np.concatenate([self._kept, weights])
        # New frame k lies at (k + 1/2) * ratio - 1/2 of the old ones and needs the old frame after that.
        ready = np.floor((self._known - 0.5) / self._ratio + 0.5)
        total = int(np.ceil(self._known / self._ratio - 1e-6) if last else max(ready - 1, self._done))
        at = (np.arange(self._done, total) + 0.5) * self._ratio - 0.5 - self._first
        if not len(at):
            return arkit.neutral(0)
        self._done = total
        at = np.clip(at, 0, len(self._kept) - 1)
        result, needed = between(self._kept, at), int(at[-1])
        self._first, self._kept = self._first + needed, self._kept[needed:]
        return result
