"""The upper lip's shadow on the teeth: a dark veil just before them, that falls lower as lips are rounded."""

from __future__ import annotations

import numpy as np

from avatars.face import Face, along_lips
from avatars.geometry import Array, strip
from avatars.lids import Layers
from avatars.mouth import Arch
from avatars.source import ARKIT, INNER_UPPER_LIP

# Of its rows: above the edge of the lip, before the teeth, how dark, how far it falls when lips are rounded.
ROWS = (
    (0.045, 0.026, 0.90, 0.0),
    (0.008, 0.026, 0.62, 0.11),
    (-0.035, 0.024, 0.20, 0.08),
    (-0.075, -0.01, 0, 0.04),
)
ROUNDED = {"mouthPucker": 1.0, "mouthFunnel": 0.30}
COLOUR = (0.085, 0.03, 0.03)


def add(layers: Layers, face: Face) -> None:
    row, arch = along_lips(INNER_UPPER_LIP)[2:-2], Arch.of(face, upper=True)
    edge, sides = face.vertices[row], np.clip((1 - np.abs(np.linspace(-1, 1, len(row)))) * 6, 0, 1)
    colours = [np.column_stack([np.tile(COLOUR, (len(row), 1)), alpha * sides]) for _, _, alpha, _ in ROWS]

    def before_teeth(points: Array) -> Array:
        return np.array([arch.at(x)[2] for x in points[:, 0]])

    def moved(name: str) -> Array:
        """Up, down and sideways like the lip, along the teeth."""
        move = face.units[name][row].astype(np.float64)
        back = np.minimum(move[:, 2], 0) if name == "mouthRollUpper" else 0
        move[:, 2] = before_teeth(edge + move) - before_teeth(edge) + back
        return np.vstack([move - [0, ROUNDED.get(name, 0.0) * fall, 0] for *_, fall in ROWS])

    rows = [
        np.column_stack([edge[:, 0], edge[:, 1] + above, before_teeth(edge) + before])
        for above, before, *_ in ROWS
    ]
    layers.add(
        np.vstack(rows),
        np.vstack(colours),
        strip(len(ROWS), len(row)),
        {name: moved(name) for name in ARKIT if face.units[name][row].any()},
    )
