"""The person's shape at rest, and how the 52 face units move it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from avatars.geometry import Array, normals
from avatars.source import (
    ARKIT,
    BODY,
    CORNER,
    EYEBALLS,
    INNER_LIPS,
    LOWER_LIP,
    SIDES,
    UPPER_LIP,
    Morphs,
    base_mesh,
    face_units,
    target,
)

# A friendly face with closed lips.
REST = {
    "mouthSmileLeft": 0.17, "mouthSmileRight": 0.17, "cheekSquintLeft": 0.10, "cheekSquintRight": 0.10,
    "mouthClose": 0.031,
}  # fmt: skip
ALONG_LIPS = 4  # times that the lips' movements are averaged from side to side
UP = np.array([0, 1, 0], np.float32)
AWAY_FROM_TONGUE = np.array([0, -0.10, 0.0], np.float32)
TUCK = np.array([0, -0.020, -0.065], np.float32)  # the lower lip goes below the teeth
NECK = {"crew": 1.50, "vneck": 1.44, "polo": 1.46, "turtle": 1.36}  # the neckline below the eyes


@dataclass(frozen=True)
class Part:
    """A mesh of the avatar: `light` and `colour` are per vertex, `morphs` by ARKit name."""

    vertices: Array
    triangles: Array
    normals: Array
    uv: Array | None = None
    morphs: Morphs | None = None
    light: Array | None = None
    colour: Array | None = None


@dataclass(frozen=True)
class Face:
    """What all parts are built around; decimetres, +x is the person's left."""

    person: dict[str, Any]
    vertices: Array
    normals: Array
    units: Morphs
    triangles: Array
    eyes: dict[str, Array]  # side -> centre of the eyeball
    eye_radius: float

    @property
    def eye(self) -> Array:
        return self.eyes["Left"]

    @property
    def mouth_line(self) -> float:
        return float((self.vertices[UPPER_LIP, 1] + self.vertices[LOWER_LIP, 1]) / 2)

    @property
    def inner_lips(self) -> float:
        return float(min(self.vertices[i, 2] for i in INNER_LIPS))

    @property
    def nose(self) -> Array:
        body = self.vertices[BODY]
        return np.asarray(body[np.argmax(body[:, 2] - 1e3 * (np.abs(body[:, 1] - self.eye[1] + 0.32) > 0.3))])

    @property
    def bottom(self) -> float:
        return float(self.eye[1] - 2.30)

    @property
    def neckline(self) -> float:
        return float(self.eye[1]) - NECK[self.person["shirt"]["collar"]]

    @property
    def neckline_depth(self) -> float:
        return 0.42 if self.person["shirt"]["collar"] == "vneck" else 0.0

    def neckline_at(self, p: Array) -> Array:
        """Height of the neckline above or below each point."""
        notch = np.maximum(self.neckline_depth - 1.5 * np.abs(p[..., 0]), 0)
        return np.asarray(self.neckline - 0.42 * (p[..., 2] - 0.6) - np.where(p[..., 2] > 0.2, notch, 0))

    @property
    def skull(self) -> Array:
        """The middle of the skull, from which hair is placed."""
        return np.array([0, self.eye[1] + 0.18, 0.35])


def shape(person: dict[str, Any]) -> Face:
    base = base_mesh()
    vertices = base.vertices.copy()
    for name, weight in person["targets"].items():
        vertices = vertices + np.float32(weight) * target(name)
    for name, weight in {**REST, **person.get("rest", {})}.items():
        vertices = vertices + np.float32(weight) * face_units()[name]
    vertices = vertices + Lips.of(vertices).seal(vertices, by_lower=0.2)
    eyes = {side: vertices[where].mean(0) for side, where in EYEBALLS.items()}
    radius = np.linalg.norm(vertices[EYEBALLS["Left"]] - eyes["Left"], axis=1).max()
    triangles = np.array([[vertex for vertex, _ in t] for t in base.triangles("body")])
    return Face(
        person=person,
        vertices=vertices,
        normals=normals(vertices, triangles).astype(np.float32),
        units=_expressions(vertices, triangles, float(eyes["Left"][1])),
        triangles=triangles,
        eyes=eyes,
        eye_radius=float(radius),
    )


def _expressions(vertices: Array, triangles: Array, eye_height: float) -> Morphs:
    """The face units, mended: ranges are small, the lower lip is pointed, smiles do not reach the eyes."""
    units = {name: delta.copy() for name, delta in face_units().items()}
    for side in SIDES:
        smile = (
            units["mouthSmile" + side]
            + 0.45 * units["cheekSquint" + side]
            + 0.10 * units["mouthDimple" + side]
        )
        units["mouthSmile" + side] = smile
        units["mouthLowerDown" + side] = units["mouthLowerDown" + side] * 1.25
        units["mouthUpperUp" + side] = units["mouthUpperUp" + side] * 1.2
    _smooth_mouth(units, vertices, triangles, eye_height)
    lift = units["mouthUpperUpLeft"] + units["mouthUpperUpRight"]
    near = _near_mouth(vertices)
    for name, narrow, forward in (
        ("mouthPucker", 0.42, 0.02),
        ("mouthFunnel", 0.26, 0.0),
    ):
        middle = 1 - np.clip(np.abs(vertices[:, 0]) / 0.3, 0, 1)
        moved = np.stack([-narrow * vertices[:, 0] * near, 0 * near, forward * near * middle], 1)
        units[name] = units[name] + moved.astype(np.float32)
    units["jawOpen"] = units["jawOpen"] + 0.30 * lift
    lips = Lips.of(vertices)
    _, lower_edge = lips.edges(vertices)
    middle = np.exp(-((vertices[:, :1] / 0.16) ** 2))
    units["tongueOut"] = units["tongueOut"] + np.float32(AWAY_FROM_TONGUE * lower_edge * middle)
    units["mouthRollLower"] = units["mouthRollLower"] + np.float32(TUCK * lower_edge)
    for side in SIDES:  # a smile leaves the lips as far apart as they are
        crossed = lips.parted(vertices, units["mouthSmile" + side][:, 1])
        units["mouthSmile" + side] = units["mouthSmile" + side] + np.float32(UP * crossed * lower_edge)
    closed = vertices + units["jawOpen"] + units["mouthClose"]
    units["mouthClose"] = units["mouthClose"] + lips.seal(closed, by_lower=1.0)
    return units


def _smooth_mouth(units: Morphs, vertices: Array, triangles: Array, eye_height: float) -> None:
    """Averages how neighbours move: first all of them, then those along the lips, which are coarse."""
    edges = np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.vstack([edges, edges[:, ::-1]])
    at = vertices[edges[:, 0]]
    edges = edges[(np.abs(at[:, 0]) < 0.8) & (np.abs(at[:, 1] - eye_height + 0.5) < 0.8) & (at[:, 2] > 0.5)]
    step = vertices[edges[:, 1]] - vertices[edges[:, 0]]
    sideways = (step[:, 0] / np.linalg.norm(step, axis=1)) ** 4
    for name in ARKIT:
        if not name.startswith("mouth") and name != "jawOpen":
            continue
        smooth = _averaged(units[name].astype(np.float64), edges, np.ones(len(edges)), 2)
        units[name] = _averaged(smooth, edges, sideways, ALONG_LIPS).astype(np.float32)


def _averaged(values: Array, edges: Array, weights: Array, passes: int) -> Array:
    total = np.zeros(len(values))
    np.add.at(total, edges[:, 0], weights)
    inner = total > 0
    for _ in range(passes):
        around = np.zeros_like(values)
        np.add.at(around, edges[:, 0], values[edges[:, 1]] * weights[:, None])
        values = values.copy()
        values[inner] = 0.5 * values[inner] + 0.5 * around[inner] / total[inner][:, None]
    return values


@dataclass(frozen=True)
class Lips:
    """The rows of vertices in which the lips meet, from the person's right to the left."""

    upper: Array
    lower: Array
    above: Array  # of all vertices, which belong to the upper lip
    below: Array

    @classmethod
    def of(cls, vertices: Array) -> Lips:
        upper, lower = (along_lips(start) for start in (UPPER_LIP, LOWER_LIP))
        opened, x = face_units()["jawOpen"][:, 1], vertices[:, 0]
        halfway = sum(np.interp(x, vertices[row, 0], opened[row]) for row in (upper, lower)) / 2
        near = (np.abs(x) < vertices[lower, 0].max()) & (vertices[:, 2] > 1.15)
        near[BODY.stop :] = False
        return cls(upper, lower, near & (opened >= halfway), near & (opened < halfway))

    def edges(self, points: Array) -> tuple[Array, Array]:
        """Of the upper and the lower lip, 1 where they meet, less away from there: float[n, 1] each."""
        upper, lower = (_at(points, row, points[:, 1]) - points[:, 1] for row in (self.upper, self.lower))
        near_upper, near_lower = (np.exp(-((away / 0.06) ** 2)) for away in (upper, lower))
        return (self.above * near_upper)[:, None], (self.below * near_lower)[:, None]

    def parted(self, points: Array, heights: Array) -> Array:
        """By how much `heights` differ between the lips, at the points."""
        return (_at(points, self.upper, heights) - _at(points, self.lower, heights))[:, None]

    def seal(self, posed: Array, by_lower: float) -> Array:
        """Closes the gaps in this pose, with a share of the lower lip and the rest of the upper one."""
        upper, lower = self.edges(posed)
        gap = np.clip(self.parted(posed, posed[:, 1]) + 0.004, 0, None)
        return np.asarray(UP * gap * (by_lower * lower - (1 - by_lower) * upper), np.float32)


def _at(points: Array, row: Array, values: Array) -> Array:
    return np.interp(points[:, 0], points[row, 0], values[row])


@cache
def along_lips(start: int) -> Array:
    """A row of the base mesh from a vertex in the middle to both corners of the mouth, right to left."""
    vertices, neighbours = base_mesh().vertices, _quads()
    rows = []
    for side in (-1, 1):
        row, ahead = [start], np.array([side, 0.0, 0.0])
        while vertices[row[-1], 0] * side < CORNER:
            steps = {n: vertices[n] - vertices[row[-1]] for n in neighbours[row[-1]] if n not in row}
            row.append(max(steps, key=lambda n: float(steps[n] @ ahead / np.linalg.norm(steps[n]))))
            ahead = steps[row[-1]] / np.linalg.norm(steps[row[-1]])
        rows.append(row)
    return np.array(rows[0][:0:-1] + rows[1])


@cache
def _quads() -> dict[int, set[int]]:
    """Neighbours along the edges of the base mesh's faces."""
    out: dict[int, set[int]] = {}
    for face in base_mesh().faces_of("body"):
        ring = [vertex for vertex, _ in face]
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
            out.setdefault(a, set()).add(b)
            out.setdefault(b, set()).add(a)
    return out


def _near_mouth(vertices: Array) -> Array:
    height = (vertices[UPPER_LIP, 1] + vertices[LOWER_LIP, 1]) / 2
    near = np.exp(-((np.abs(vertices[:, 0]) / 0.40) ** 4) - ((vertices[:, 1] - height) / 0.20) ** 2)
    near = near * np.clip((vertices[:, 2] - 1.0) / 0.2, 0, 1)
    near[BODY.stop :] = 0
    return np.asarray(near)
