"""The light of both renderers, and what of it is baked into hair and clothes."""

from __future__ import annotations

import numpy as np

from avatars.geometry import Array


def _direction(*v: float) -> list[float]:
    return list((np.array(v) / np.linalg.norm(v)).tolist())


RIG = {
    "L1": _direction(0.52, 0.56, 0.70),
    "L2": _direction(-0.85, 0.10, 0.50),
    "L3": _direction(-0.62, 0.45, -0.64),
    "key": [1.98, 1.80, 1.58],
    "fill": [0.25, 0.30, 0.37],
    "sky": [0.33, 0.37, 0.43],
    "ground": [0.24, 0.19, 0.17],
    "term": [0.16, 0.030, 0.0],
    "rim": 0.55,
    "exposure": 0.585,
    "lutmax": 3.0,
    "normal_gain": 1.2,
}
KEY, FILL, RIM = (np.array(RIG[name]) for name in ("L1", "L2", "L3"))

# How far light wraps around a part (red, green, blue), and how much it shines.
PARTS = {
    "skin": [[0.40, 0.25, 0.19], 1.0],
    "mouth": [[0.45, 0.30, 0.26], 1.0],
    "eyes": [[0.35, 0.33, 0.33], 0.5],
}


def linear(srgb: Array) -> Array:
    srgb = np.asarray(srgb)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def hemisphere(normals: Array) -> Array:
    up = normals[:, 1:2] * 0.5 + 0.5
    return np.array(RIG["sky"]) * up + np.array(RIG["ground"]) * (1 - up)


def diffuse(normals: Array, key_visibility: Array, wrap: tuple[float, float, float]) -> Array:
    """Linear light (N, 3) on matt surfaces."""
    key, fill = (normals @ KEY)[:, None], (normals @ FILL)[:, None]
    seen, around = key_visibility[:, None], np.array(wrap)
    lit = np.array(RIG["key"]) * np.maximum((key + around) / (1 + around), 0) * seen
    lit = lit * (1 + (1 - seen) * np.array([0.35, 0.06, 0]))
    lit = lit + np.array(RIG["fill"]) * np.maximum((fill + 0.5) / 1.5, 0) + hemisphere(normals)
    return lit + np.array(RIG["term"]) * np.exp(-(((key - 0.02) / 0.30) ** 2)) * seen
