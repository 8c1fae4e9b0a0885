"""How far the shapes of speech move, against a person's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.lipsync.scores import speaking
from visavis.arkit import INDEX, Weights

MEASURED = {
    "jawOpen": 0.24,
    "mouthPucker": 0.28,
    "mouthFunnel": 0.32,
    "mouthSmileLeft": 0.31,
    "mouthLowerDownLeft": 0.36,
    "mouthUpperUpLeft": 0.32,
}
"""The 95th percentile of each shape in the running speech of one speaker, captured with an iPhone."""
HEAD = (f"| engine, p95 of | {' | '.join(MEASURED)} |", f"|---|{'---:|' * len(MEASURED)}")


def row(name: str, faces: Sequence[tuple[bytes, Weights]]) -> str:
    """The 95th percentile of each shape while there is speech; `faces`: sound at 24 kHz and its weights."""
    moving = np.concatenate([weights[speaking(pcm, len(weights))] for pcm, weights in faces])
    figures = (np.percentile(moving[:, INDEX[shape]], 95) for shape in MEASURED)
    return f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"


def measured() -> str:
    return f"| *measured* | {' | '.join(f'{figure:.2f}' for figure in MEASURED.values())} |"
