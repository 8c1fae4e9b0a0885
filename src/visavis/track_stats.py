"""What a track does, in numbers: enough to see a face that mumbles, shouts or never closes its lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.table import Table

from visavis.track import Track

SHAPES = (
    "jawOpen",
    "mouthClose",
    "mouthPucker",
    "mouthFunnel",
    "mouthSmileLeft",
    "mouthStretchLeft",
    "mouthLowerDownLeft",
    "mouthUpperUpLeft",
    "eyeBlinkLeft",
)
OPEN, CLOSED = 0.06, 0.02
"""Of jawOpen - mouthClose, how far the lips are apart: a closure goes from above OPEN to below CLOSED."""


@dataclass(frozen=True, slots=True)
class Stats:
    """`shapes`: mean and 95th percentile of each; `closures` of the lips a second."""

    seconds: float
    frames: int
    closures: float
    shapes: dict[str, tuple[float, float]]


def stats(track: Track) -> Stats:
    """The numbers of a track, which may be empty."""
    shapes = {
        name: (float(track[name].mean()), float(np.percentile(track[name], 95))) if len(track) else (0.0, 0.0)
        for name in SHAPES
    }
    closures = count_closures(track) / track.seconds if len(track) else 0.0
    return Stats(track.seconds, len(track), closures, shapes)


def count_closures(track: Track) -> int:
    """How often the lips come together after having been apart."""
    apart = track["jawOpen"] - track["mouthClose"]
    states = np.where(apart > OPEN, 1, np.where(apart < CLOSED, 0, -1))
    known = states[states >= 0]  # in between, the lips are what they were
    return int(np.count_nonzero((known[:-1] == 1) & (known[1:] == 0)))


def table(numbers: Stats, elapsed: float) -> Table:
    """For the terminal; `elapsed`: seconds that it took."""
    view = Table(title=f"{numbers.seconds:.2f} s, {numbers.frames} frames", title_justify="left")
    view.add_column("shape")
    view.add_column("mean", justify="right")
    view.add_column("95 %", justify="right")
    for name, (mean, high) in numbers.shapes.items():
        view.add_row(name, f"{mean:.3f}", f"{high:.3f}")
    view.caption = (
        f"lips closed {numbers.closures:.2f} times a second; {elapsed:.2f} s of work, "
        f"{numbers.seconds / max(elapsed, 1e-9):.0f} times real time"
    )
    view.caption_justify = "left"
    return view
