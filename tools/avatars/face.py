"""The person's shape at rest, and how the 52 face units move it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatars.geometry import Array, normals
from avatars.source import (
    ARKIT,
    BODY,
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
    return units


def _smooth_mouth(units: Morphs, vertices: Array, triangles: Array, eye_height: float) -> None:
    edges = np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.vstack([edges, edges[:, ::-1]])
    at = vertices[edges[:, 0]]
    edges = edges[(np.abs(at[:, 0]) < 0.8) & (np.abs(at[:, 1] - eye_height + 0.5) < 0.8) & (at[:, 2] > 0.5)]
    neighbours = np.zeros(len(vertices))
    np.add.at(neighbours, edges[:, 0], 1.0)
    inner = neighbours > 0
    for name in ARKIT:
        if not name.startswith("mouth") and name != "jawOpen":
            continue
        for _ in range(2):
            around = np.zeros((len(vertices), 3))
            np.add.at(around, edges[:, 0], units[name][edges[:, 1]])
            smooth = units[name].astype(np.float64)
            smooth[inner] = 0.5 * smooth[inner] + 0.5 * around[inner] / neighbours[inner][:, None]
            units[name] = smooth.astype(np.float32)


def _near_mouth(vertices: Array) -> Array:
    height = (vertices[UPPER_LIP, 1] + vertices[LOWER_LIP, 1]) / 2
    near = np.exp(-((np.abs(vertices[:, 0]) / 0.40) ** 4) - ((vertices[:, 1] - height) / 0.20) ** 2)
    near = near * np.clip((vertices[:, 2] - 1.0) / 0.2, 0, 1)
    near[BODY.stop :] = 0
    return np.asarray(near)
