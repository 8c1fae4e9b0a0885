"""The inside of the mouth: single teeth on an arch, gums, the tongue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatars import light
from avatars.face import Face, Part
from avatars.geometry import Array, normals, strip
from avatars.lids import Layers
from avatars.source import Morphs, base_mesh

JAW = ("jawOpen", "jawLeft", "jawRight", "jawForward")
ROWS = (
    -0.25,
    0.0,
    0.35,
    0.7,
    0.94,
    1.0,
    1.0,
)  # of a tooth, from the gum to the edge; the last one turns inwards
COLUMNS = (-1, -0.72, 0, 0.72, 1)
SHADE = (1, 0.95, 0.84, 0.50, 0.22, 0.09)  # of the six teeth from the middle backwards
UPPER_WIDTHS, LOWER_WIDTHS = (
    (0.085, 0.066, 0.075, 0.068, 0.066, 0.09),
    (0.053, 0.058, 0.066, 0.068, 0.068, 0.10),
)
UPPER_HEIGHTS, LOWER_HEIGHTS = (
    (0.108, 0.100, 0.125, 0.135, 0.135, 0.12),
    (0.082, 0.082, 0.085, 0.07, 0.06, 0.05),
)
TONGUE = (15, 18)  # rings, and vertices of each
DROP = np.array([0, 0.008, 0.004, 0.020, 0.042, 0.062])


@dataclass(frozen=True)
class Arch:
    """A row of teeth, seen from above a curve; sizes of the six teeth of one half."""

    upper: bool
    scale: float
    front: float
    edge: float
    curve: float
    widths: Array
    heights: Array

    @classmethod
    def of(cls, face: Face, upper: bool) -> Arch:
        width = np.ptp(face.vertices[base_mesh().ids("helper-upper-teeth")][:, 0])
        scale = float(np.clip(width / 0.648, 0.9, 1.2))
        return cls(
            upper=upper,
            scale=scale,
            front=face.inner_lips - 0.022 - (0 if upper else 0.022),
            edge=face.mouth_line - (0.044 if upper else 0.030),
            curve=(1.98 if upper else 2.5) / scale,
            widths=np.array(UPPER_WIDTHS if upper else LOWER_WIDTHS) * scale * 0.97,
            heights=np.array(UPPER_HEIGHTS if upper else LOWER_HEIGHTS),
        )

    def at(self, x: float) -> Array:
        return np.array([x, 0, self.front - self.curve * x * x - 60 * np.abs(x / self.scale) ** 5])

    @property
    def samples(self) -> tuple[Array, Array]:
        """x, and the length of the curve from the middle to there."""
        x = np.linspace(0, 0.36, 721)
        z = np.diff([self.at(value)[2] for value in x])
        return x, np.r_[0, np.cumsum(np.hypot(np.diff(x), z))]


def mouth(face: Face) -> Part:
    jaw = _jaw(face)
    old, dark = face.person.get("age", 0) >= 0.3, float(np.mean(face.person["skin"])) <= 0.5
    tooth_colour = np.array([0.86, 0.81, 0.71] if old else [0.90, 0.865, 0.79], np.float32)
    gum_colour = np.array([0.50, 0.26, 0.26] if dark else [0.66, 0.36, 0.35], np.float32)
    layers, shine = Layers(), []
    for arch in (Arch.of(face, upper=True), Arch.of(face, upper=False)):
        x, length = arch.samples
        for side in (-1, 1):
            for j in range(6):
                middle = float(np.interp(arch.widths[:j].sum() + arch.widths[j] / 2, length, x))
                vertices, colours, triangles = _tooth(arch, j, middle, side, tooth_colour)
                layers.add(vertices, colours, triangles, {} if arch.upper else jaw(vertices))
                shine.append(np.full(len(vertices), 0.95))
        vertices, colours, triangles = _gum(arch, gum_colour)
        layers.add(vertices, colours, triangles, {} if arch.upper else jaw(vertices))
        shine.append(np.full(len(vertices), 0.7))
    layers.add(*_tongue(face, arch.scale, jaw))
    shine.append(np.full(layers.count - sum(map(len, shine)), 0.8))
    return _lit(layers, np.concatenate(shine), face.inner_lips)


def _lit(layers: Layers, shine: Array, inner_lips: float) -> Part:
    """The deeper in the mouth, the darker."""
    part = layers.part()
    depth = np.clip((part.vertices[:, 2] - (inner_lips - 0.62)) / 0.60, 0, 1)
    return Part(
        vertices=part.vertices,
        triangles=part.triangles,
        normals=normals(part.vertices, part.triangles).astype(np.float32),
        morphs=part.morphs,
        light=np.column_stack([0.30 + 0.62 * depth, 0.16 * shine * depth, 0 * depth]),
        colour=light.linear(part.colour) * (0.30 + 0.70 * depth)[:, None],
    )


def _jaw(face: Face) -> Callable[[Array], Morphs]:
    """How points move with the lower jaw: affine maps, fitted to the base mesh's lower teeth."""
    teeth = base_mesh().ids("helper-lower-teeth")
    known = np.column_stack([face.vertices[teeth], np.ones(len(teeth))])
    maps = {name: np.linalg.lstsq(known, face.units[name][teeth], rcond=None)[0] for name in JAW}
    return lambda points: {name: np.column_stack([points, np.ones(len(points))]) @ maps[name] for name in JAW}


def _tooth(arch: Arch, j: int, x: float, side: int, colour: Array) -> tuple[Array, Array, Array]:
    """The tooth number `j` from the middle at `x`; `side` is -1 on the person's right."""
    along = arch.at(x + 0.002) - arch.at(x - 0.002)
    along /= np.linalg.norm(along)
    forward = np.array([-along[2], 0, along[0]])
    forward = forward if forward[2] > 0 else -forward
    vertices, colours = [], []
    for row, w in enumerate(ROWS):
        for u in COLUMNS:
            edge = w > 0.9
            half = arch.widths[j] / 2 * (0.80 + 0.20 * np.clip(w * 1.6, 0, 1) - 0.05 * edge) * 0.985
            bulge = 0.016 * (1 - u * u) * np.sin(np.clip(0.25 + 0.65 * w, 0, 1) * np.pi)
            bulge += (0.010 if j == 2 else 0) * (1 - abs(u)) - 0.020 * u**4
            bulge -= 0.010 * (w > 0.93) + (0.035 if row == len(ROWS) - 1 else 0)
            rounded = 0.012 * abs(u) ** 3 * edge * (1.6 if j in (1, 2) else 1.0)
            position = arch.at(x) + along * u * half + forward * bulge
            if arch.upper:
                position[1] = arch.edge + DROP[j] + rounded + (1 - w) * arch.heights[j]
            else:
                position[1] = arch.edge - DROP[j] * 0.6 - rounded - (1 - w) * arch.heights[j]
            vertices.append(position)
            yellow = 1 - 0.05 * max(0, 0.35 - w) * 2 * np.array([0, 0.6, 1.6])
            shade = (0.97 if j == 2 else 1) * (0.62 if abs(u) == 1 else 0.93 if u else 1.0) * SHADE[j]
            shade *= (0.75 + 0.25 * np.clip(w * 2.2, 0, 1)) if arch.upper else 0.90
            shade *= 0.6 if row == len(ROWS) - 1 else 1
            colours.append(colour * yellow * (1 - 0.07 * edge * np.array([1, 0.9, 0.6])) * shade)
    points = np.array(vertices) * ([-1, 1, 1] if side < 0 else [1, 1, 1])
    triangles = np.array(strip(len(ROWS), len(COLUMNS)))
    a, b, c = (points[triangles[:, k]] for k in range(3))
    if np.cross(b - a, c - a).sum(0) @ (forward * [side, 1, 1]) < 0:
        triangles = triangles[:, ::-1]
    return points, np.array(colours), triangles


def _gum(arch: Arch, colour: Array, count: int = 49) -> tuple[Array, Array, Array]:
    """A scalloped strip a little behind the necks of the teeth that runs away from them and back."""
    sign = 1 if arch.upper else -1
    rows = (
        ((0.008, 0.0, 0.95), (0.014, 0.035, 1.0), (-0.004, 0.09, 0.8), (-0.12, 0.13, 0.45))
        if arch.upper
        else ((0.004, 0.0, 0.95), (0.004, 0.02, 0.9), (-0.02, 0.04, 0.8), (-0.10, 0.05, 0.45))
    )
    x_samples, length = arch.samples
    starts = np.r_[0, np.cumsum(arch.widths)]
    vertices, colours = [], []
    for row, (forward, rise, shade) in enumerate(rows):
        for x in np.linspace(-0.28 * arch.scale, 0.28 * arch.scale, count) * (1 if arch.upper else 0.78):
            s = np.interp(abs(x), x_samples, length)
            j = min(5, int(np.searchsorted(starts, s, "right") - 1))
            u = (s - starts[j]) / arch.widths[j]
            scallop = 0.022 * (2 * u - 1) ** 2 if row == 0 else 0
            y = arch.edge + sign * (DROP[j] + arch.heights[j] * 0.93)
            vertices.append([x, y + sign * (rise - scallop), arch.at(x)[2] + forward])
            colours.append(colour * shade * (1 - 0.85 * min(1, abs(x) / 0.26 / arch.scale) ** 2))
    triangles = np.array(strip(4, count))
    return np.array(vertices), np.array(colours), triangles[:, [0, 2, 1]] if arch.upper else triangles


def _tongue(face: Face, scale: float, jaw: Callable[[Array], Morphs]) -> tuple[Array, Array, Array, Morphs]:
    """Rings around a curve from the throat to the tip, which rests behind the teeth."""
    rings, count = TONGUE
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    along = np.repeat(np.sin(np.linspace(0, np.pi / 2, rings)), count)
    side, up = np.tile(np.cos(angle), rings), np.tile(np.sin(angle), rings)
    rounded = np.sqrt(np.clip(1 - along**3, 0, None))
    tip = along**8
    x = 0.205 * scale * rounded * side
    groove = 0.20 * np.exp(-((x / 0.05) ** 2)) * (up > 0) * np.sin(np.pi * along)
    half_height = np.interp(along, [0, 0.5, 0.85, 1], [0.13, 0.10, 0.055, 0.045]) * np.sqrt(rounded)
    middle = face.mouth_line + np.interp(along, [0, 0.45, 0.8, 1], [-0.10, -0.055, -0.040, -0.018])
    points = np.stack(
        [x, middle + half_height * up * (1 - groove), face.inner_lips - 0.80 + 0.735 * along], -1
    )

    free = np.clip((along - 0.15) / 0.85, 0, 1)
    out = np.stack([0.12 * free * x, 0.02 * free - 0.06 * free**3, 0.62 * free**1.2], -1)
    under = (0.70 + 0.30 * up) * (1 - tip) + 0.92 * tip
    furrow = 1 - 0.16 * np.exp(-((x / 0.020) ** 2)) * (up > 0) * (1 - tip)
    colour = np.array([0.70, 0.345, 0.34]) * ((0.40 + 0.60 * along**0.8) * under * furrow)[:, None]
    grid = np.arange(rings * count).reshape(rings, count)
    near, beside = grid, np.roll(grid, -1, axis=1)
    a, b, c, d = near[:-1].ravel(), beside[:-1].ravel(), near[1:].ravel(), beside[1:].ravel()
    triangles = np.vstack([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    return points, colour, triangles, {**jaw(points), "tongueOut": out}
