"""Puts a person together, and bakes ambient occlusion, soft shadows and the light on hair and clothes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatars import clothes, complexion, eyes, hair, hair_styles, light, lip_shadow, mouth, skin
from avatars.face import Face, Part, shape
from avatars.geometry import Array, bump, normals, visibility
from avatars.lids import lids
from avatars.source import ARKIT, mask

STATIC = 4  # static light is stored divided by this


@dataclass(frozen=True)
class Avatar:
    """Parts by name and textures (H, W, 3 or 4), 0 to 1."""

    person: dict[str, Any]
    face: Face
    parts: dict[str, Part]
    textures: dict[str, Array]


@dataclass(frozen=True)
class _Seen:
    """How much of the sky and of the key light each vertex sees, by part."""

    sky: dict[str, Array]
    key: dict[str, Array]


def make(person: dict[str, Any]) -> Avatar:
    face = shape(person)
    surface = skin.cut(face)
    canvas = complexion.paint(face, surface)
    ribbons = hair_styles.grow(hair.Head(face.skull, _hair_roots(face, surface), person["hair"]))
    shirt, extras = clothes.shirt(face), clothes.extras(face)
    shirt_normals = normals(shirt.vertices, shirt.triangles).astype(np.float32)
    points = {"skin": face.vertices[surface.ids], "hair": ribbons.vertices, "shirt": shirt.vertices}
    facing = {"skin": face.normals[surface.ids], "hair": ribbons.normals, "shirt": shirt_normals}
    triangles = {"skin": surface.triangles, "hair": ribbons.triangles, "shirt": shirt.triangles}
    occluders = [(points[part], triangles[part]) for part in points]
    if extras:
        occluders.append((extras.vertices, extras.triangles))
    seen = _look_around(face, points, facing, occluders)

    sky = _smooth(face, surface, seen.sky["skin"], 3)
    key = _smooth(face, surface, seen.key["skin"], 2)
    parts = {
        "skin": Part(
            vertices=points["skin"],
            triangles=surface.triangles,
            normals=facing["skin"],
            uv=surface.uv,
            morphs={name: face.units[name][surface.ids] for name in ARKIT},
            light=np.column_stack([key, _shine(face, surface, sky), 0 * sky]),
        ),
        "eyes": eyes.eyeballs(face),
        "lids": _veils(face),
        "mouth": mouth.mouth(face),
        "shirt": Part(shirt.vertices, shirt.triangles, shirt_normals, shirt.uv, light=_shirt_light(
            person, shirt, shirt_normals, seen)),
        "hair": Part(ribbons.vertices, ribbons.triangles, ribbons.normals, ribbons.uv, light=_hair_light(
            ribbons, seen)),
    }  # fmt: skip
    if extras:
        parts["extra"] = _shiny(extras)
    textures = {
        "skin": canvas.image(surface.raster(sky[:, None])[0]),
        "eye": eyes.picture(person),
        "hair": hair.texture(person["hair"]),
        "cloth": clothes.fabric(person["shirt"].get("knit", 0.6)),
    }
    return Avatar(person, face, parts, textures)


def _veils(face: Face) -> Part:
    """Everything that is alpha blended."""
    layers = lids(face)
    lip_shadow.add(layers, face)
    return layers.part()


def _hair_roots(face: Face, surface: skin.Skin) -> Array:
    """Points of the head that hair lies on; with short and bound hair not the ears."""
    uv = np.zeros((len(face.vertices), 2), np.float32)
    uv[surface.ids] = surface.base_uv
    on_head = np.zeros(len(face.vertices), bool)
    on_head[surface.ids] = True
    on_head &= (face.vertices[:, 1] > face.neckline + 0.15) & (np.abs(face.vertices[:, 0]) < 0.95)
    if face.person["hair"]["style"] in ("short", "bun"):
        on_head &= mask("ears", uv, soft=False) < 0.3
    return np.asarray(face.vertices[on_head])


def _look_around(
    face: Face, points: dict[str, Array], facing: dict[str, Array], occluders: list[tuple[Array, Array]]
) -> _Seen:
    middle = np.array([0, face.eye[1] - 0.5, 0.2])
    points = {part: p.astype(np.float64) for part, p in points.items()}
    facing = {part: n.astype(np.float64) for part, n in facing.items()}
    occluders = [(v.astype(np.float64), t.astype(np.int64)) for v, t in occluders]
    sky = [d for d in _sphere(72) if d[1] > -0.7]
    weights = [0.65 + 0.35 * max(float(d[1]), 0) for d in sky]
    seen_sky = visibility(points, facing, sky, weights, occluders, middle)
    towards_key = {part: n if part == "hair" else light.KEY * np.ones_like(n) for part, n in facing.items()}
    window = _around_key(26)
    seen_key = visibility(
        points, towards_key, window, [1.0] * len(window), occluders, middle, radius=2.6, size=640, bias=0.05
    )
    return _Seen(seen_sky, seen_key)


def _sphere(count: int) -> list[Array]:
    """Evenly spread directions (a Fibonacci sphere)."""
    out = []
    for i in range(count):
        height, angle = 1 - (2 * i + 1) / count, i * 2.399963
        flat = np.sqrt(1 - height * height)
        out.append(np.array([flat * np.cos(angle), height, flat * np.sin(angle)]))
    return out


def _around_key(count: int) -> list[Array]:
    """Directions towards a key light as large as a window."""
    right = np.cross(light.KEY, [0, 1, 0])
    right /= np.linalg.norm(right)
    up, out = np.cross(light.KEY, right), []
    for i in range(count):
        radius, angle = 0.30 * np.sqrt((i + 0.5) / count), i * 2.399963
        direction = light.KEY + radius * (np.cos(angle) * right + np.sin(angle) * up)
        out.append(direction / np.linalg.norm(direction))
    return out


def _smooth(face: Face, surface: skin.Skin, values: Array, passes: int) -> Array:
    """Values of the corners, averaged over neighbours of the welded mesh."""
    count = len(face.vertices)
    total, corners = np.zeros(count), np.zeros(count)
    np.add.at(total, surface.ids, values)
    np.add.at(corners, surface.ids, 1)
    total /= np.maximum(corners, 1)
    t = face.triangles
    edges = np.vstack([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    edges = np.vstack([edges, edges[:, ::-1]])
    edges = edges[(corners > 0)[edges].all(1)]
    for _ in range(passes):
        around, weight = total * 2, np.full(count, 2.0)
        np.add.at(around, edges[:, 0], total[edges[:, 1]])
        np.add.at(weight, edges[:, 0], 1)
        total = around / weight
    return np.asarray(total[surface.ids])


def _shine(face: Face, surface: skin.Skin, sky: Array) -> Array:
    """How much the skin shines: forehead, nose, cheeks, chin and lips more, brows and shaded places less."""
    (ex, ey, _), nose, points = face.eye, face.nose, face.vertices[surface.ids]
    lips = mask("lips", surface.base_uv, soft=False)
    shine = 0.085 + 0.10 * bump(points, [0, ey + 0.36, 1.2], [0.35, 0.2, 0.5])
    shine += 0.13 * bump(points, [0, nose[1] + 0.10, nose[2]], [0.09, 0.26, 0.2])
    shine += 0.07 * bump(points, [ex + 0.1, ey - 0.25, 1.2], [0.16, 0.10, 0.4])
    shine += 0.07 * bump(points, [0, ey - 1.0, 1.3], [0.12, 0.1, 0.3]) + 0.17 * lips
    shine *= 1 - 0.85 * bump(points, [0.30, ey + 0.19, 1.3], [0.24, 0.075, 0.5])
    shine *= 0.6 if face.person.get("stylised") else 1.0
    shine *= 0.72 if np.mean(face.person["skin"]) < 0.5 else 1.0
    return np.asarray(shine * np.clip(0.2 + sky, 0, 1))


def _stored(linear: Array) -> Array:
    return np.clip(linear / STATIC, 0, 1)


def _shirt_light(person: dict[str, Any], shirt: clothes.Cloth, facing: Array, seen: _Seen) -> Array:
    lit = light.diffuse(facing, seen.key["shirt"], (0.25, 0.25, 0.25))
    shade = 0.30 + 0.70 * np.clip(seen.sky["shirt"] * 1.35, 0, 1)
    colour = light.linear(np.array(person["shirt"]["color"], np.float32))
    return _stored(lit * shade[:, None] * shirt.tint[:, None] * colour)


def _hair_light(ribbons: hair.Ribbons, seen: _Seen) -> Array:
    """Kajiya and Kay's diffuse term and two shifted highlights, one after the other for key, fill and rim."""
    tangents, facing = unit_rows(ribbons.tangents), ribbons.normals
    view = unit_row(np.array([0, 0.05, 1.0]))
    shift = _highlight_shift(ribbons.root)
    out = np.zeros((len(facing), 3))
    for source, colour, sharpness, visible in (
        (light.KEY, np.array(light.RIG["key"]), (26, 9), np.clip(seen.key["hair"] * 1.5, 0, 1)),
        (light.FILL, np.array(light.RIG["fill"]) * 1.5, (14, 6), np.ones(len(facing))),
        (light.RIM, np.array([0.9, 0.95, 1.05]) * 0.5, (12, 5), np.ones(len(facing))),
    ):
        half = unit_row(source + view)
        diffuse = np.sqrt(np.clip(1 - (tangents @ source) ** 2, 0, 1))
        facing_light = np.clip((facing @ source + 0.45) / 1.45, 0, 1)
        front = np.clip(facing @ half * 1.4 + 0.1, 0, 1)

        def lobe(shift: Array, power: float, half: Array = half) -> Array:
            along = unit_rows(tangents + facing * shift[:, None]) @ half
            return np.clip(1 - along * along, 0, 1) ** (power / 2)

        shine = (
            lobe(0.10 + shift, sharpness[0] * 2) * 0.55 + lobe(-0.12 + shift * 1.5, sharpness[1] * 2) * 0.50
        )
        lit = (0.52 * diffuse * facing_light)[:, None] + (shine * front)[:, None] * np.array(
            [1.0, 0.96, 0.92]
        )
        out += colour * visible[:, None] * lit
    out += light.hemisphere(facing) * 1.05
    sky = np.clip(seen.sky["hair"] * 1.9, 0, 1) ** 1.15
    return _stored(out * (0.13 + 0.87 * sky)[:, None] * ribbons.tint * 1.15)


def _highlight_shift(root: Array) -> Array:
    """Each ribbon's highlights sit a little higher or lower."""
    rng = np.random.default_rng(9)
    rng.normal(size=len(root) // 2 + 1)
    starts = np.where(root == 0)[0][::2]
    jitter = rng.normal(size=len(starts) + 1) * 0.10
    ribbon = np.cumsum((root == 0) & (np.roll(root, 1) != 0))
    return np.asarray(jitter[np.clip(ribbon, 0, len(jitter) - 1)])


def unit_row(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))


def unit_rows(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _shiny(extras: clothes.Cloth) -> Part:
    """Glasses and earrings, which shine."""
    facing = normals(extras.vertices, extras.triangles).astype(np.float32)
    half = unit_row(light.KEY + np.array([0, 0, 1.0]))
    colour = light.linear(extras.tint)
    lit = light.diffuse(facing, np.ones(len(facing)), (0.2, 0.2, 0.2)) * colour
    shine = np.clip(facing @ half, 0, 1) ** 40 * 0.9 + np.clip(facing @ light.RIM, 0, 1) ** 6 * 0.25
    return Part(
        extras.vertices,
        extras.triangles,
        facing,
        extras.uv,
        light=_stored(lit + shine[:, None] * (0.3 + colour)),
    )
