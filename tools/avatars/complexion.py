"""Paints the skin: tone, pores, blush, lips, age, brows, stubble and the roots of the hair."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from avatars import light
from avatars.face import Face
from avatars.geometry import Array, bump, noise
from avatars.hair import azimuth_elevation
from avatars.skin import TEXTURE, Skin
from avatars.source import mask


class Decal:
    """Strokes, projected onto the face from the front; coordinates in decimetres from the eyes."""

    WIDTH, HEIGHT, SCALE, TOP = 1440, 1700, 900.0, 0.75

    def __init__(self) -> None:
        self.image = np.zeros((self.HEIGHT, self.WIDTH), np.float32)

    def stroke(self, points: Iterable[tuple[float, float]], width: float, amount: float) -> None:
        pixels = [self._fixed(x, y) for x, y in points]
        for start, end in pairwise(pixels):
            thickness = max(1, round(width * self.SCALE))
            cv2.line(self.image, start, end, float(amount), thickness, cv2.LINE_AA, 4)

    def _fixed(self, x: float, y: float) -> tuple[int, int]:
        return int((x * self.SCALE + self.WIDTH / 2) * 16), int((self.TOP - y) * self.SCALE * 16)


class Canvas:
    """The texels of the skin with their positions; `colour` is painted over, layer by layer."""

    def __init__(self, face: Face, skin: Skin) -> None:
        self.face, self.person = face, face.person
        self.stylised = bool(self.person.get("stylised"))
        attributes, self.covered = skin.raster(np.hstack([face.vertices[skin.ids], skin.base_uv]))
        texels = attributes[self.covered]
        self.points, self.base_uv = texels[:, :3], texels[:, 3:5]
        self.x, self.y = np.abs(self.points[:, 0]), self.points[:, 1] - face.eye[1]
        self.tone = np.array(self.person["skin"], np.float32)
        self.colour = np.tile(self.tone, (len(self.points), 1))
        self.ears, self.inside = self.mask("ears"), np.clip(self.mask("inside-mouth"), 0, 1)
        self.lips = np.clip(self.mask("lips") * 1.15, 0, 1)

    def mask(self, name: str) -> Array:
        return mask(name, self.base_uv)

    def near(self, centre: tuple[float, ...], size: tuple[float, ...]) -> Array:
        """A bump around a point, both sides alike; its height is counted from the eyes."""
        x, y, z = centre
        return bump(self.points, np.array([x, self.face.eye[1] + y, z]), np.array(size))

    def noise(self, scale: float, seed: int, stretch: tuple[float, float, float] = (1, 1, 1)) -> Array:
        return noise(self.points * np.array(stretch, np.float32), scale, seed)

    def darken(self, amount: Array, channels: tuple[float, float, float]) -> None:
        self.colour = self.colour * (1 - amount[:, None] * np.array(channels))

    def cover(self, colour: Array, amount: Array) -> None:
        self.colour = self.colour * (1 - amount[:, None]) + colour * amount[:, None]

    def sample(self, image: Array) -> Array:
        """A decal's image at the texels; nothing on the back of the head."""
        x = self.points[:, 0] * Decal.SCALE + Decal.WIDTH / 2
        y = (Decal.TOP - self.y) * Decal.SCALE
        return map_coordinates(image, np.stack([y, x]), order=1, cval=0) * (self.points[:, 2] > 0.45)

    def image(self, occlusion: Array) -> Array:
        """The texture with ambient occlusion baked in, the gaps filled with the nearest skin."""
        seen = 0.40 + 0.60 * np.clip(occlusion[self.covered][:, 0] * 1.28, 0, 1)
        seen = np.maximum(seen, 0.62 * (self.inside > 0.5))
        image = np.zeros((TEXTURE, TEXTURE, 3), np.float32)
        image[self.covered] = self.colour * seen[:, None] ** np.array([0.72, 1.05, 1.12])
        nearest = distance_transform_edt(~self.covered, return_distances=False, return_indices=True)
        return np.asarray(image[nearest[0], nearest[1]])


def paint(face: Face, skin: Skin) -> Canvas:
    canvas = Canvas(face, skin)
    _tone(canvas)
    _blush(canvas)
    _lids(canvas)
    _lips(canvas)
    if face.person.get("age"):
        _wrinkles(canvas, face.person["age"])
    _brows(canvas, face.person["brow"])
    if face.person.get("stubble"):
        _stubble(canvas, face.person["stubble"])
    _scalp(canvas, face.person["hair"])
    return canvas


def _tone(canvas: Canvas) -> None:
    strength = 0.35 if canvas.stylised else 1.0
    coarse, middle, fine = canvas.noise(5, 1), canvas.noise(22, 2), canvas.noise(80, 3)
    mottled = (0.050 * coarse + 0.045 * middle + 0.030 * fine)[:, None] * np.array([0.8, 1, 1.1])
    canvas.colour = canvas.colour * (1 + strength * mottled)
    canvas.colour = canvas.colour * (1 + strength * (middle * 0.05)[:, None] * np.array([0, 1.0, 1.2]))
    if canvas.stylised:
        return

    def relief(p: Array) -> Array:
        return noise(p, 230, 4) + 0.7 * noise(p, 420, 6) + 0.5 * noise(p, 110, 8)

    towards_light = (canvas.points + light.KEY * 0.0022).astype(np.float32)
    slope = relief(towards_light) - relief(canvas.points)
    pores = canvas.near((0.18, -0.36, 1.3), (0.30, 0.30, 0.5)) + canvas.near((0, 0.35, 1.2), (0.5, 0.25, 0.5))
    canvas.darken(slope * (0.35 + 0.65 * np.clip(pores, 0, 1)), (0.085, 0.085, 0.085))


def _blush(canvas: Canvas) -> None:
    ex, ey, ez = canvas.face.eye
    nose, person = canvas.face.nose, canvas.person
    tip = (0, nose[1] - ey, nose[2])
    amount = 0.60 * canvas.near((ex + 0.10, -0.36, ez), (0.22, 0.19, 0.5))
    amount = amount + 0.42 * canvas.near(tip, (0.15, 0.13, 0.2))
    amount = amount + 0.18 * canvas.near((0, -1.0, ez), (0.2, 0.15, 0.4)) + 0.12 * canvas.noise(5, 1)
    canvas.darken(np.clip(person.get("blush", 0.6) * amount, 0, 1.3) * 0.33, (0.03, 0.36, 0.33))
    canvas.darken(canvas.ears * 0.28, (0.02, 0.42, 0.38))


def _lids(canvas: Canvas) -> None:
    ex, _, ez = canvas.face.eye
    nose, person = canvas.face.nose, canvas.person
    liner = person.get("liner", 0.3)
    under = canvas.near((ex - 0.03, -0.15, ez + 0.1), (0.17, 0.06, 0.25)) * (0.5 + 0.8 * person.get("age", 0))
    canvas.darken(under * 0.13, (0.7, 1, 0.75))
    canvas.darken(
        canvas.near((ex, 0.07, ez + 0.1), (0.23, 0.10, 0.25)) * (0.12 + 0.14 * liner), (0.65, 1, 0.95)
    )
    canvas.darken(canvas.mask("eyelids") * (0.12 + 0.26 * liner), (0.6, 0.85, 0.8))
    forehead = canvas.near((0, 0.42, ez + 0.2), (0.4, 0.25, 0.5))
    bridge = canvas.near((0, nose[1] + 0.2 - canvas.face.eye[1], nose[2]), (0.06, 0.25, 0.3))
    canvas.colour = canvas.colour * (1 + 0.05 * (forehead + bridge))[:, None]
    if person.get("freckles"):
        spots = np.clip(canvas.noise(70, 12) * 2.4 + canvas.noise(120, 13) - 0.75, 0, 1)
        spots = spots * canvas.near((0.22, -0.32, 1.3), (0.30, 0.17, 0.6))
        canvas.darken(np.clip(spots * person["freckles"] * 1.6, 0, 0.5), (0.45, 0.75, 0.9))


def _lips(canvas: Canvas) -> None:
    strength = 0.35 if canvas.stylised else 1.0
    folds = np.sin(canvas.points[:, 0] * 170 + 6 * canvas.noise(14, 21)) * 0.5 + 0.5
    shade = 1 + strength * (0.10 * canvas.noise(80, 3) - 0.07 * folds * np.clip(1 - canvas.x / 0.2, 0, 1))
    line = float(canvas.face.vertices[474, 1]) - 0.015
    shade = shade * (1 - 0.22 * np.exp(-(((canvas.points[:, 1] - line) / 0.018) ** 2)))
    canvas.cover(np.array(canvas.person["lip"], np.float32) * shade[:, None], 0.86 * canvas.lips)
    deep = 1 - 0.45 * np.clip((1.30 - canvas.points[:, 2]) / 0.5, 0, 1)
    canvas.cover(np.array([0.42, 0.13, 0.12]) * deep[:, None], canvas.inside)


def _wrinkles(canvas: Canvas, age: float) -> None:
    """Dark lines with a light ridge below them."""
    decal, ex = Decal(), float(canvas.face.eye[0])
    along = np.linspace(0, 1, 14)
    for side in (-1, 1):
        nasolabial = [(side * (0.135 + 0.13 * t + 0.03 * np.sin(t * 3)), -0.42 - 0.28 * t) for t in along]
        decal.stroke(nasolabial, 0.010, 0.55)
        for a in (-0.5, -0.15, 0.25):
            crow = [
                (side * (ex + 0.21 + 0.11 * t), -0.005 + a * (0.10 + 0.16 * t) - 0.02 * t * t) for t in along
            ]
            decal.stroke(crow, 0.005, 0.35)
        bag = [(side * (ex - 0.13 + 0.22 * t), -0.165 - 0.035 * np.sin(t * 3.1)) for t in along]
        decal.stroke(bag, 0.007, 0.45)
        decal.stroke([(side * (0.035 + 0.008 * np.sin(t * 3)), 0.13 + 0.10 * t) for t in along], 0.006, 0.30)
    for y in (0.40, 0.49, 0.575):
        across = np.linspace(-0.36, 0.36, 30)
        decal.stroke([(t, y + 0.02 * np.cos(t * 5 + y * 40) - 0.06 * t * t) for t in across], 0.006, 0.33)
    soft = 1.2 * gaussian_filter(decal.image, 8) + 0.45 * gaussian_filter(decal.image, 2.6)
    line, ridge = canvas.sample(soft), canvas.sample(np.roll(soft, 9, 0))
    canvas.darken(np.clip(age * (0.36 * line - 0.12 * ridge), -0.1, 0.5), (0.75, 1, 1))


def _brows(canvas: Canvas, brow: dict[str, Any]) -> None:
    """Single hairs, upright at the nose and lying down towards the temple."""
    decal, rng = Decal(), np.random.default_rng(11)
    start, end = 0.105, 0.495

    def arch(u: float) -> float:
        rise = brow["arch"] * np.sin(np.clip(u, 0, 1) * np.pi * 0.62)
        return float(brow["height"] + rise - 0.055 * np.clip(u - 0.62, 0, 1))

    for side in (-1, 1):
        for _ in range(900 if canvas.stylised else 330):
            u = rng.random() ** 0.9
            thick = brow["thick"] * np.clip(1.12 - u * 0.92, 0.16, 1) * np.clip(u * 7 + 0.55, 0, 1)
            offset = (rng.random() * 2 - 1) * (1 - 0.25 * rng.random())
            x, y = start + (end - start) * u, arch(u) + brow.get("slope", 0) * u + offset * thick - 0.004
            lean = np.interp(u, [0, 0.18, 0.5, 1], [82, 48, 22, -14]) - offset * 26 * (1 - u * 0.5)
            angle = np.radians(lean + rng.normal() * 6)
            length = (0.058 - 0.018 * u) * (0.7 + 0.5 * rng.random())
            hair = [
                (
                    side * (x + length * t * np.cos(angle - t * 0.35)),
                    y + length * t * np.sin(angle - t * 0.35) * 0.8,
                )
                for t in (0, 0.25, 0.5, 0.75)
            ]
            decal.stroke(hair, 0.0022, 0.55 + 0.4 * rng.random())
    soft = np.clip(0.95 * gaussian_filter(decal.image, 1.3) + 0.55 * gaussian_filter(decal.image, 9), 0, 0.95)
    canvas.cover(np.array(brow["color"], np.float32), np.clip(canvas.sample(soft), 0, 1) * 0.93)


def _stubble(canvas: Canvas, amount: float) -> None:
    near = canvas.near
    area = near((0, -0.93, 1.2), (0.42, 0.26, 0.6)) + 0.9 * near((0.45, -0.75, 0.9), (0.26, 0.42, 0.45))
    area = area + 0.75 * near((0.10, -0.50, 1.4), (0.20, 0.05, 0.3))
    area = np.clip(area + 0.6 * near((0.3, -1.1, 0.8), (0.4, 0.2, 0.5)), 0, 1)
    area = area * (1 - canvas.lips) * (canvas.y < -0.30)
    area = area * np.clip((-0.42 - canvas.y + 0.9 * np.clip(canvas.x - 0.28, 0, 0.4)) / 0.08, 0, 1)
    area = area * (1 - near((0.17, -0.60, 1.3), (0.07, 0.07, 0.3)) * 0.5)
    dots = np.clip(canvas.noise(150, 31) * 2.4 + 0.15, 0, 1) * 0.75 + 0.35
    colour = np.array(canvas.person["brow"]["color"], np.float32) * 0.75 + canvas.tone * 0.15
    canvas.cover(colour, 0.72 * np.clip(area * dots * amount, 0, 0.85))


def _scalp(canvas: Canvas, hair: dict[str, Any]) -> None:
    """Hair-coloured skin below the hair, feathered at the hairline."""
    short = hair["style"] == "short"
    away = canvas.points - canvas.face.skull
    azimuth, elevation = azimuth_elevation(away / np.linalg.norm(away, axis=1)[:, None])
    line = np.interp(azimuth, *np.array(hair["line"], float).T)
    jagged = (5 if short else 3.5) * canvas.noise(60, 11, (1, 0.25, 1))
    amount = np.clip((elevation - line + 1.0 + jagged) / (9.0 if short else 5.0), 0, 1)
    amount = amount * (canvas.points[:, 1] > canvas.face.neckline + 0.25) * (1 - 0.8 * canvas.ears)
    strands = 0.55 + 0.30 * canvas.noise(110, 12, (1, 0.2, 1))
    sideburns = (
        short * np.clip((azimuth - 54) / 8, 0, 1) * np.clip((92 - azimuth) / 6, 0, 1) * (elevation < 20)
    )
    strength = (0.62 if short else 0.88) + 0.22 * sideburns
    canvas.cover(np.array(hair["color"], np.float32) * strands[:, None], strength * amount**0.8)
