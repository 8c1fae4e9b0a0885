"""The visible skin: which faces of the body, and where they lie in the texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.face import Face
from avatars.geometry import Array, uv_raster
from avatars.source import base_mesh, fan

TEXTURE = 1024


@dataclass(frozen=True)
class Skin:
    """Corners of the skin: `ids` are vertices of the base mesh, one for each texture coordinate it has."""

    ids: Array
    base_uv: Array
    uv: Array
    triangles: Array

    def raster(self, attributes: Array) -> tuple[Array, Array]:
        """Attributes of the corners (N, C) as a texture, and which of its texels are skin."""
        out = np.zeros((TEXTURE, TEXTURE, attributes.shape[1]), np.float32)
        covered = np.zeros((TEXTURE, TEXTURE), bool)
        points = np.stack([self.uv[:, 0] * TEXTURE, TEXTURE - self.uv[:, 1] * TEXTURE], 1).astype(np.float32)
        uv_raster(points, self.triangles, np.ascontiguousarray(attributes, np.float32), out, covered)
        return out, covered


def cut(face: Face) -> Skin:
    """The body above the neckline, its islands packed anew with most of the texture for the face."""
    base = base_mesh()

    def visible(corners: list[tuple[int, int]]) -> bool:
        p = face.vertices[[vertex for vertex, _ in corners]]
        above = (p[:, 1] > face.neckline_at(p) - 0.28).any()
        return bool(above and np.abs(p[:, 0]).max() < 1.15 and p[:, 1].min() > face.bottom)

    triangles = [t for corners in base.faces_of("body") if visible(corners) for t in fan(corners)]
    corners = sorted({corner for t in triangles for corner in t})
    number = {corner: i for i, corner in enumerate(corners)}
    ids = np.array([vertex for vertex, _ in corners])
    base_uv = base.uv[[coordinate for _, coordinate in corners]]
    indices = np.array([[number[corner] for corner in t] for t in triangles])
    uv = _pack(face, face.vertices[ids], base_uv, _islands(indices, base_uv))
    return Skin(ids, base_uv, uv, indices)


def _islands(triangles: Array, uv: Array) -> list[Array]:
    """Masks of connected corners, the largest island first."""
    parent = list(range(len(uv)))

    def root(a: int) -> int:
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    for a, b, c in triangles:
        first = root(a)
        for other in (b, c):
            parent[root(other)] = first
    roots = np.array([root(i) for i in range(len(uv))])
    islands = [roots == r for r in np.unique(roots)]
    return sorted(islands, key=lambda island: -np.prod(np.ptp(uv[island], axis=0)))


def _pack(face: Face, points: Array, base_uv: Array, islands: list[Array]) -> Array:
    """The face on the left seven eighths, everything else in a column on the right."""
    uv = np.zeros_like(base_uv)
    head, *others = islands
    low, high = base_uv[head].min(0), base_uv[head].max(0)
    inside = (base_uv[head] - low) / (high - low)
    front = head & (np.abs(points[:, 0]) < 0.45) & (points[:, 2] > 0.75)
    front &= np.abs(points[:, 1] - (face.eye[1] - 0.35)) < 0.55
    centre = np.median((base_uv[front] - low) / (high - low), 0)
    uv[head] = np.stack(
        [
            0.004 + 0.866 * _magnify(inside[:, 0], centre[0], 0.24, 3.5),
            0.004 + 0.992 * _magnify(inside[:, 1], centre[1], 0.19, 4.5),
        ],
        1,
    )
    y = 0.006
    for island in others:
        low, high = base_uv[island].min(0), base_uv[island].max(0)
        width, height = high - low
        scale = min(0.118 / width, 0.45 / height, 0.99, (0.985 - y) / height)
        uv[island] = (base_uv[island] - low) * scale + [0.878, y]
        y += height * scale + 0.01
    return uv


def _magnify(x: Array, centre: float, width: float, gain: float) -> Array:
    """A monotone map of 0 to 1 onto itself that gives more room to what is near `centre`."""
    t = np.linspace(0, 1, 512)
    density = 1 + gain * np.exp(-(np.abs((t - centre) / width) ** 4))
    total = np.r_[0, np.cumsum((density[1:] + density[:-1]) / 2)]
    return np.interp(x, t, total / total[-1])
