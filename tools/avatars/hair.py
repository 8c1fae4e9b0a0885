"""Hair: ribbons, two vertices wide, grown over the skull in one of four styles, and their texture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from avatars.geometry import Array, unit

CLUMPS = 8  # columns of the texture
Flow = Callable[[Array, Array, float], Array]  # position, outward direction, share of the length -> direction


def from_angles(azimuth: float, elevation: float) -> Array:
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)], -1)


def azimuth_elevation(directions: Array) -> tuple[Array, Array]:
    """Degrees; both sides of the head have positive azimuths."""
    azimuth = np.degrees(np.arctan2(np.abs(directions[..., 0]), directions[..., 2]))
    return azimuth, np.degrees(np.arcsin(np.clip(directions[..., 1], -1, 1)))


@dataclass(frozen=True)
class Ribbons:
    """All vertices: `root` counts from 0 at the root to 1 at the tip; `tint` is a factor of the colour."""

    vertices: Array
    uv: Array
    triangles: Array
    normals: Array
    tangents: Array
    tint: Array
    root: Array


@dataclass
class Head:
    """A skull that hair grows on; the style's random numbers come from one stream."""

    centre: Array
    skull: Array
    style: dict[str, Any]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def __post_init__(self) -> None:
        away = self.skull - self.centre
        self._radii = np.linalg.norm(away, axis=1)
        self._tree = cKDTree(away / self._radii[:, None])
        self._line = np.array(self.style["line"], float)
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("vertices", "uv", "triangles", "normals", "tangents", "tint", "root")
        }

    def hairline(self, azimuth: Any) -> Any:
        return np.interp(azimuth, self._line[:, 0], self._line[:, 1])

    def radius(self, direction: Array) -> Any:
        distance, nearest = self._tree.query(direction, k=8)
        weight = 1 / (distance + 0.03)
        return (self._radii[nearest] * weight).sum(-1) / weight.sum(-1)

    def root(self, direction: Array) -> Array:
        return np.asarray(self.centre + direction * self.radius(direction))

    def near_hairline(self, azimuth: float, above: float) -> Array:
        return from_angles(azimuth, self.hairline(abs(azimuth)) + above)

    def scatter(
        self,
        count: int,
        candidates: int = 10,
        margin: float = 1.0,
        accept: Callable[[float, float], bool] = lambda azimuth, elevation: True,
    ) -> Array:
        """Evenly spread directions above the hairline: of some candidates always the loneliest."""

        def draw() -> Array:
            while True:
                direction = self.rng.normal(size=3)
                direction /= np.linalg.norm(direction)
                azimuth, elevation = azimuth_elevation(direction)
                if elevation > self.hairline(azimuth) + margin and accept(azimuth, elevation):
                    return direction

        chosen = [draw()]
        while len(chosen) < count:
            drawn = np.array([draw() for _ in range(candidates)])
            chosen.append(drawn[np.argmax(cKDTree(np.array(chosen)).query(drawn)[0])])
        return np.array(chosen)

    def tint(self) -> Array:
        brightness, warmth = 0.80 + 0.36 * self.rng.random(), 0.04 * self.rng.normal()
        return np.array([brightness * (1 + warmth), brightness, brightness * (1 - warmth)])

    def ribbon(
        self, points: Array, width: float, taper: tuple[float, ...], outwards: Array | None = None
    ) -> None:
        """A ribbon along `points`, flat on the skull unless told what is `outwards`; `taper` scales it."""
        tint = self.tint()
        tangents = unit(np.gradient(points, axis=0))
        normals = points - self.centre if outwards is None else outwards
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        normals = unit(normals - tangents * (normals * tangents).sum(1, keepdims=True))
        across = np.cross(tangents, normals)
        along = np.linspace(0, 1, len(points))
        half = width * np.interp(along, [0, 0.15, 0.65, 1], taper) * 0.5
        clump = self.rng.integers(0, CLUMPS) / CLUMPS
        out, first = self._columns, len(self._columns["vertices"])
        for i, position in enumerate(points):
            for side, u in ((-1, 0.004), (1, 0.121)):
                out["vertices"].append(position + side * across[i] * half[i])
                out["uv"].append((clump + u, 1 - along[i]))
                out["normals"].append(normals[i] + side * 0.35 * across[i])
                out["tangents"].append(tangents[i])
                out["tint"].append(tint)
                out["root"].append(along[i])
        for a in range(first, first + 2 * len(points) - 2, 2):
            out["triangles"] += [(a, a + 1, a + 2), (a + 1, a + 3, a + 2)]

    def flow(
        self,
        direction: Array,
        length: float,
        segments: int,
        lift: tuple[float, float],
        towards: Flow,
        stiff: float,
    ) -> Array:
        """Follows a field of directions over the skull; `lift` is how far above it root and tip are."""
        direction = direction / np.linalg.norm(direction)
        position = self.centre + direction * (self.radius(direction) + lift[0] * 0.5)
        points, velocity = [position], None
        for i in range(segments):
            away = unit_exact(position - self.centre)
            pull = towards(position, away, i / segments)
            pull = unit(pull - away * (pull @ away))
            velocity = unit(pull if velocity is None else stiff * velocity + (1 - stiff) * pull)
            position = position + velocity * (length / segments)
            distance = np.linalg.norm(position - self.centre)
            away = (position - self.centre) / distance
            least = self.radius(away) + lift[0] + (lift[1] - lift[0]) * (i + 1) / segments
            if distance < least:
                position = self.centre + away * least
            elif position[1] > self.centre[1] - 0.30:
                position = self.centre + away * (least * 0.7 + distance * 0.3)
            points.append(position)
        return np.array(points)

    def grown(self) -> Ribbons:
        columns = {name: np.array(values, np.float32) for name, values in self._columns.items()}
        columns["triangles"] = columns["triangles"].astype(np.int32)
        columns["normals"] = unit(columns["normals"]).astype(np.float32)
        return Ribbons(**columns)


def unit_exact(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))


def texture(hair: dict[str, Any], height: int = 256, width: int = 512) -> Array:
    """Clumps of strands side by side (height, width, RGBA), roots on top; alpha ends in single strands."""
    rng, x, y = np.random.default_rng(5), np.arange(width), np.linspace(0, 1, height)[:, None]
    cell = width // CLUMPS

    def strands(blur: float) -> Array:
        values = gaussian_filter1d(rng.random(width), blur, mode="wrap")
        return np.asarray((values - values.min()) / np.ptp(values))

    fine, wide = strands(0.7), strands(4)
    wobble = (1.2 * np.sin(y * 7 + x[None] // cell * 2.1)).astype(int)
    brightness = (0.42 + 0.62 * fine + 0.34 * wide)[(x[None] + wobble) % width]
    to_tip = y[..., None] ** 1.3
    colour = np.array(hair["color"])[None, None] * (1 - to_tip) + np.array(hair["tips"])[None, None] * to_tip
    colour = colour * brightness[..., None]
    if hair.get("salt"):
        grey = (rng.random(width) < hair["salt"] * 0.5)[None, :, None] * np.array([0.30, 0.30, 0.31])
        colour = colour + grey * 0.9 * (0.5 + 0.5 * y[..., None])
    inside = (x % cell) / cell
    edge, strand = np.minimum(inside, 1 - inside) * 2, strands(5)
    ends = 0.62 + 0.38 * np.clip(0.55 * strand + 0.55 * edge, 0, 1)
    tip = np.clip((ends[None] - y) / 0.05, 0, 1)
    sides = np.clip((edge - 0.03)[None] * 3.2 + (strand[None] - 0.45) * 1.4 * (1 - edge[None]), 0, 1)
    alpha = np.where(edge[None] > 0.5, tip, tip * sides)
    if hair["style"] == "curly":
        alpha = np.clip((edge - 0.06)[None] * 8, 0, 1) * np.clip((0.97 - y) / 0.1, 0, 1)
    alpha = alpha * np.clip(y / 0.02 + 0.25 + 0.3 * strand[None], 0, 1)
    return np.dstack([np.clip(colour, 0, 1), np.clip(alpha, 0, 1)]).astype(np.float32)
