"""Eyeballs and the picture of the iris."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatars.face import Face, Part
from avatars.geometry import Array, noise, normals, strip
from avatars.source import ARKIT, SIDES, Morphs

OPENING = np.pi * 0.58  # how far the modelled cap of the ball reaches back
EDGE = 0.62  # exponent of the texture's radius: more texels for the iris
SIZE = 256


def centre(face: Face, side: str) -> Array:
    return np.asarray(face.eyes[side] + [0, 0, -0.004])


def radius(face: Face) -> float:
    return face.eye_radius * 0.985


def eyeballs(face: Face) -> Part:
    """Balls with a cornea; looking about is a rotation."""
    vertices, uv, triangles, count = [], [], [], 0
    morphs: Morphs = {name: [] for name in ARKIT}
    for side in SIDES:
        ball, coordinates, faces = _ball(centre(face, side), radius(face))
        for name in ARKIT:
            morphs[name].append(_look(name, side, ball, centre(face, side)))
        vertices.append(ball)
        uv.append(coordinates)
        triangles.append(faces + count)
        count += len(ball)
    mesh, faces = np.vstack(vertices), np.vstack(triangles)
    return Part(
        vertices=mesh,
        triangles=faces,
        normals=normals(mesh, faces).astype(np.float32),
        uv=np.vstack(uv),
        morphs={name: np.vstack(m) for name, m in morphs.items()},
        light=np.tile([0.86, 0.10, 0.0], (len(mesh), 1)),
    )


def _ball(middle: Array, size: float, around: int = 22, rings: int = 11) -> tuple[Array, Array, Array]:
    vertices, uv = [], []
    angles = OPENING * np.linspace(0, 1, rings) ** 1.15
    for angle in angles:
        bulge = size * (1 + 0.05 * np.exp(-((angle / 0.36) ** 4)))
        k = 0.5 * (angle / angles[-1]) ** EDGE
        for phi in np.linspace(0, 2 * np.pi, around + 1):
            direction = [np.sin(angle) * np.cos(phi), np.sin(angle) * np.sin(phi), np.cos(angle)]
            vertices.append(middle + bulge * np.array(direction))
            uv.append([0.5 + k * np.cos(phi), 0.5 + k * np.sin(phi)])
    return np.array(vertices, np.float32), np.array(uv, np.float32), np.array(strip(rings, around + 1))


def _look(name: str, side: str, ball: Array, middle: Array) -> Array:
    if not (name.startswith("eyeLook") and name.endswith(side)):
        return np.zeros_like(ball)
    outwards = 30 if side == "Left" else -30
    axis, degrees = {
        "Up": ((1, 0, 0), -24),
        "Down": ((1, 0, 0), 28),
        "Out": ((0, 1, 0), outwards),
        "In": ((0, 1, 0), -outwards),
    }[name.removeprefix("eyeLook").removesuffix(side)]
    angle, k, arm = np.radians(degrees), np.array(axis, float), ball - middle
    along = k * (arm @ k)[:, None] * (1 - np.cos(angle))
    turned = middle + arm * np.cos(angle) + np.cross(k, arm) * np.sin(angle) + along
    return np.asarray(turned - ball, np.float32)


def picture(person: dict[str, Any]) -> Array:
    """White, veins, iris and pupil (SIZE, SIZE, 3)."""
    stylised = bool(person.get("stylised"))
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    dx, dy = (column + 0.5) / SIZE - 0.5, 0.5 - (row + 0.5) / SIZE
    degrees = np.clip(np.hypot(dx, dy) / 0.5, 0, 1) ** (1 / EDGE) * np.degrees(OPENING)
    angle = np.arctan2(dy, dx)
    iris_edge, pupil_edge = (32.0, 11.5) if stylised else (27.5, 9.6)

    eye = _white(dx, dy, degrees)
    iris = _iris(person, np.clip(degrees / iris_edge, 0, 1), angle)
    inside = np.clip((iris_edge - degrees) / 2.6 + 0.5, 0, 1)[..., None]
    eye = eye * (1 - inside) + np.clip(iris, 0, 1) * inside
    eye = eye * (1 - 0.45 * np.exp(-(((degrees - iris_edge) / 2.2) ** 2))[..., None])
    pupil = np.clip((pupil_edge - degrees) / 1.6, 0, 1)[..., None]
    return np.asarray(eye * (1 - pupil) + 0.012 * pupil)


def _white(dx: Array, dy: Array, degrees: Array) -> Array:
    points = np.stack([dx * 4, dy * 4, dx * 0], -1).astype(np.float32)
    white = np.tile(np.array([0.85, 0.82, 0.795], np.float32), (*dx.shape, 1))
    white = white * (1 + 0.03 * noise(points, 6, 40))[..., None]
    veins = np.clip(1 - np.abs(noise(points, 9, 41)) * 16, 0, 1) * np.clip((degrees - 40) / 30, 0, 1)
    white = white * (1 - veins[..., None] * 0.10 * np.array([0, 1, 0.9]))
    shade = (1 - 0.22 * np.clip((degrees - 38) / 45, 0, 1))[..., None]
    return np.asarray(white * shade * np.array([1, 0.955, 0.94]))


def _iris(person: dict[str, Any], radial: Array, angle: Array) -> Array:
    def fibres(count: int, seed: int) -> Array:
        values = np.random.default_rng(seed).random(count)
        return np.interp(
            (angle + np.pi) / (2 * np.pi) * count % count, np.arange(count + 1), np.r_[values, values[0]]
        )

    fibre = 0.55 * fibres(150, 3) + 0.45 * fibres(61, 4)
    outer, inner = np.array(person["eye"], np.float32), np.array(person["eye_inner"], np.float32)
    iris = outer * (0.45 + 0.95 * fibre[..., None] * (0.35 + 0.75 * radial[..., None]))
    ring = np.exp(-(((radial - 0.50 - 0.05 * (fibre - 0.5)) / 0.13) ** 2))[..., None]
    iris = iris * (1 - 0.55 * ring) + inner * (0.7 + 0.7 * fibre[..., None]) * 0.55 * ring
    iris = iris * (1 - 0.80 * np.clip((radial - 0.80) / 0.20, 0, 1) ** 1.3)[..., None]
    caustic = np.clip(-0.75 * np.sin(angle - np.radians(48)) * radial, -0.35, 0.9)  # opposite the key light
    return np.asarray(iris * (1 + 0.75 * caustic)[..., None])
