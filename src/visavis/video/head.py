"""A head out of a GLB file: one of the package's own, or anybody's with ARKit blendshapes.

Lengths are metres, y is up, the face looks along +z and +x is the person's left.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import INDEX
from visavis.errors import VisavisError
from visavis.exports.glb import match, target_names
from visavis.video.background import Gradient
from visavis.video.head_gltf import MAX_ELEMENTS, Broken, Floats, Gltf, Matrix, bad_head
from visavis.video.raster import BAKED, BLENDED, CUT_OUT, LIT, OPAQUE, PAINTED, Kernel

Vector = tuple[float, float, float]

POSITION_MOVES, NORMAL_MOVES = 1e-6, 0.02
"""Moves below these (metres, summed; length) cannot be seen."""
FARTHEST = 1e5


@dataclass(frozen=True, slots=True)
class Shape:
    """One blendshape of one part: the vertices it moves."""

    vertices: NDArray[np.uint32]
    moves: Floats
    """float32[n, 6]: of the position and of the normal."""


@dataclass(frozen=True, slots=True)
class Part:
    """One mesh with one material; n vertices."""

    name: str
    positions: Floats
    normals: Floats
    triangles: NDArray[np.uint32]
    """uint32[m, 3]; counter-clockwise from outside."""
    shapes: Mapping[int, Shape]
    """By ARKit index."""
    tint: Floats
    """float32[n, 4]: linear red, green, blue, and alpha."""
    light: Floats
    """float32[n, 4]; lit: how far the key light reaches it, and its shine; baked: the roots of a quarter of
    its light."""
    uv: Floats | None
    texture: NDArray[np.uint8] | None
    """uint8[h, w, 4]: as displays show it, and alpha."""
    lighting: int
    cover: int = OPAQUE
    cutoff: float = 0.5
    two_sided: bool = False
    follows: bool = True
    """It turns with the head."""
    wrap: Vector = (0.3, 0.3, 0.3)
    """How far light reaches round it, in red, green and blue."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the camera must know; the same as the browser's."""

    eyes: Vector
    top: float
    bottom: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Rig:
    """The light: three directions, linear colours, and how bright it all is."""

    L1: Vector = (0.5017660, 0.5403634, 0.6754542)
    L2: Vector = (-0.8575366, 0.1008867, 0.5044333)
    L3: Vector = (-0.6210879, 0.4507896, -0.6411229)
    key: Vector = (1.98, 1.80, 1.58)
    fill: Vector = (0.25, 0.30, 0.37)
    sky: Vector = (0.33, 0.37, 0.43)
    ground: Vector = (0.24, 0.19, 0.17)
    term: Vector = (0.16, 0.03, 0.0)
    rim: float = 0.55
    exposure: float = 0.585


@dataclass(frozen=True, slots=True)
class Head:
    parts: tuple[Part, ...]
    """In the order in which they are drawn."""
    subject: Subject
    pivot: Vector
    """What the head turns about."""
    neck: tuple[float, float]
    """Between these heights the head's turn fades out."""
    background: Gradient
    rig: Rig


def load_head(path: Path, kernel: Kernel) -> Head:
    """Raises `VisavisError` when the file cannot be read or is no head that can talk."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VisavisError("CANNOT_READ", f"Cannot read {path}: {error.strerror}.") from error
    return read_head(content, path.name, kernel)


def read_head(content: bytes, name: str, kernel: Kernel) -> Head:
    """`name` is for messages. Raises `VisavisError`."""
    try:
        gltf = Gltf(content, kernel)
        meta = next((m for m in map(_meta, gltf.json.get("nodes", [])) if m), None)
        parts = tuple(_parts(gltf, meta, name))
        if sum(len(part.positions) + part.triangles.size for part in parts) > MAX_ELEMENTS:
            raise Broken("it has too many vertices")
        if not any(part.shapes for part in parts):
            raise Broken("none of its morph targets has an ARKit name such as jawOpen")
        return _own_avatar(parts, meta) if meta else _somebody(parts)
    except _BROKEN as error:
        raise bad_head(name, error if isinstance(error, Broken) else "it is damaged") from error


_BROKEN = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, struct.error)


# -- parts ----------------------------------------------------------------------------------------------
def _parts(gltf: Gltf, meta: dict[str, Any] | None, name: str) -> Iterator[Part]:
    worlds = gltf.worlds()
    meshes = gltf.json.get("meshes", [])
    for node, world in worlds.items():
        content = gltf.json["nodes"][node]
        if "mesh" not in content:
            continue
        mesh = meshes[content["mesh"]]
        for primitive in mesh["primitives"]:
            if primitive.get("mode", 4) != 4:
                continue
            part = _part(gltf, mesh, primitive, name)
            skin = content.get("skin")
            if skin is None:
                part = _moved(part, np.broadcast_to(world, (len(part.positions), 4, 4)))
            else:
                part = _moved(
                    part, _bones(gltf, primitive, gltf.json["skins"][skin], worlds, len(part.positions))
                )
            yield _lit_as_ours(part, meta) if meta else part


def _part(gltf: Gltf, mesh: dict[str, Any], primitive: dict[str, Any], where: str) -> Part:
    attributes = primitive["attributes"]
    positions = gltf.floats(attributes["POSITION"], 3)
    count = len(positions)
    triangles = _triangles(gltf, primitive, count)
    material = gltf.json["materials"][primitive["material"]] if "material" in primitive else {}
    surface = material.get("pbrMetallicRoughness", {})
    uv = texture = None
    if "baseColorTexture" in surface:
        chosen = surface["baseColorTexture"]
        uv = gltf.floats(attributes[f"TEXCOORD_{int(chosen.get('texCoord', 0))}"], 2, count)
        uv = _transformed(uv, chosen.get("extensions", {}).get("KHR_texture_transform", {}))
        texture = gltf.image(chosen["index"], where)
    tint = np.ones((count, 4), np.float32)
    if "COLOR_0" in attributes:
        colours = gltf.values(attributes["COLOR_0"]).astype(np.float32)
        tint[:, : colours.shape[1]] = np.nan_to_num(colours).clip(0, 1)
    tint *= np.array(surface.get("baseColorFactor", (1, 1, 1, 1)), np.float32).reshape(4).clip(0, 1)
    light = np.tile(np.array((1, 0.35, 0, 0), np.float32), (count, 1))
    if "_LIGHT" in attributes:
        light = gltf.floats(attributes["_LIGHT"], 4, count)
    normals = gltf.floats(attributes["NORMAL"], 3, count) if "NORMAL" in attributes else None
    shapes = _shapes(gltf, target_names(mesh), primitive.get("targets", []), count)
    mode = material.get("alphaMode", "OPAQUE")
    return Part(
        name=str(mesh.get("name", "")).removeprefix("Avatar_").lower(),
        positions=positions,
        normals=_smooth(positions, triangles) if normals is None else normals,
        triangles=triangles,
        shapes=shapes,
        tint=tint,
        light=light,
        uv=uv,
        texture=texture,
        lighting=LIT,
        cover={"MASK": CUT_OUT, "BLEND": BLENDED}.get(mode, OPAQUE),
        cutoff=float(material.get("alphaCutoff", 0.5)),
        two_sided=bool(material.get("doubleSided")),
    )


def _triangles(gltf: Gltf, primitive: dict[str, Any], count: int) -> NDArray[np.uint32]:
    if "indices" in primitive:
        indices = gltf.values(primitive["indices"])
        if indices.dtype.kind != "u" or indices.shape[1] != 1:
            raise Broken("its indices are no whole numbers")
        indices = indices[:, 0].astype(np.uint32)
    else:
        indices = np.arange(count, dtype=np.uint32)
    if len(indices) % 3 or (len(indices) and indices.max() >= count):
        raise Broken("a triangle names a vertex that is not there")
    return indices.reshape(-1, 3)


def _shapes(gltf: Gltf, names: Any, targets: list[dict[str, int]], count: int) -> dict[int, Shape]:
    """Targets that mean the same blendshape are added up."""
    dense: dict[int, Floats] = {}
    for name, target in zip(names, targets, strict=False):
        index = match(name)
        if index is None:
            continue
        moves = dense.setdefault(index, np.zeros((count, 6), np.float32))
        if "POSITION" in target:
            moves[:, :3] += gltf.floats(target["POSITION"], 3, count)
        if "NORMAL" in target:
            moves[:, 3:] += gltf.floats(target["NORMAL"], 3, count)
        if len(dense) * count * 6 > 16 * MAX_ELEMENTS:
            raise Broken("its morph targets are too large")
    everywhere = np.arange(count, dtype=np.uint32)
    return {index: Shape(everywhere, moves) for index, moves in dense.items()}


def _moved(part: Part, matrices: Matrix) -> Part:
    """The part in the world's axes, and its blendshapes without what cannot be seen."""
    linear = matrices[:, :3, :3].astype(np.float64)
    size = np.abs(np.linalg.det(linear))[:, None, None]
    if not (size > 0).all():
        raise Broken("a part of it is flat")
    turn = np.linalg.inv(linear).transpose(0, 2, 1) * np.cbrt(size)
    positions = np.einsum("nij,nj->ni", linear, part.positions) + matrices[:, :3, 3]
    if not np.abs(positions).max(initial=0) < FARTHEST:
        raise Broken(f"it is farther away than {FARTHEST:.0f} metres")
    triangles = part.triangles
    if np.linalg.det(linear[0]) < 0:
        triangles = np.ascontiguousarray(triangles[:, ::-1])
    shapes = {}
    for index, shape in part.shapes.items():
        moves = np.hstack(
            [
                np.einsum("nij,nj->ni", linear, shape.moves[:, :3]),
                np.einsum("nij,nj->ni", turn, shape.moves[:, 3:]),
            ]
        ).astype(np.float32)
        far = np.abs(moves[:, :3]).sum(1) > POSITION_MOVES
        kept = np.flatnonzero(far | (np.abs(moves[:, 3:]).sum(1) > NORMAL_MOVES)).astype(np.uint32)
        if len(kept):
            shapes[index] = Shape(kept, np.ascontiguousarray(moves[kept]))
    return replace(
        part,
        positions=positions.astype(np.float32),
        normals=np.einsum("nij,nj->ni", turn, part.normals).astype(np.float32),
        triangles=triangles,
        shapes=shapes,
    )


def _bones(
    gltf: Gltf, primitive: dict[str, Any], skin: dict[str, Any], worlds: dict[int, Matrix], count: int
) -> Matrix:
    """Where the skeleton at rest puts each vertex: float64[n, 4, 4]."""
    joints = skin["joints"]
    bind = (
        gltf.floats(skin["inverseBindMatrices"], 16, len(joints)).reshape(-1, 4, 4).transpose(0, 2, 1)
        if "inverseBindMatrices" in skin
        else np.tile(np.eye(4), (len(joints), 1, 1))
    )
    bones = np.array([worlds[joint] for joint in joints]) @ bind
    which = gltf.values(primitive["attributes"]["JOINTS_0"])
    share = gltf.floats(primitive["attributes"]["WEIGHTS_0"], 4, count).clip(0, 1).astype(np.float64)
    if which.shape != (count, 4) or which.dtype.kind != "u" or which.max(initial=0) >= len(joints):
        raise Broken("its skeleton does not fit its mesh")
    share /= np.maximum(share.sum(1, keepdims=True), 1e-9)
    matrices: Matrix = sum(share[:, k, None, None] * bones[which[:, k]] for k in range(4))
    return matrices


def _transformed(uv: Floats, how: dict[str, Any]) -> Floats:
    if not how:
        return uv
    angle = float(how.get("rotation", 0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scaled = uv * np.array(how.get("scale", (1, 1)), np.float64).reshape(2)
    placed: Floats = (scaled @ turn.T + np.array(how.get("offset", (0, 0)), np.float64).reshape(2)).astype(
        np.float32
    )
    if not np.isfinite(placed).all():
        raise Broken("a value is not a finite number")
    return placed


def _smooth(positions: Floats, triangles: NDArray[np.uint32]) -> Floats:
    """Normals for a mesh that brings none: float32[n, 3]."""
    a, b, c = positions[triangles.T]
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(positions)
    for corner in triangles.T:
        np.add.at(normals, corner, faces)
    unit: Floats = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return unit


# -- the package's own avatars ----------------------------------------------------------------------------
ORDER = {"shirt": 0, "extra": 0, "skin": 1, "eyes": 1, "mouth": 1, "hair": 2, "lids": 3}
STILL = ("hair", "shirt", "extra")
"""Their light is baked in."""
DECIMETRE = 0.1
EYES_ABOVE_REFERENCE = 0.22
"""Decimetres: the models' reference point lies this far below the eyes."""
CUT, COLLAR, CHIN, PIVOT = 0.222, 0.19, 0.115, 0.14
"""Below the eyes: where the bust is cut, where the neck joins the chest, the chin, what it turns about."""
FACE_HALF_WIDTH = 0.108


def _meta(node: dict[str, Any]) -> dict[str, Any] | None:
    found = (node.get("extras") or {}).get("avatar")
    return found if isinstance(found, dict) else None


def _lit_as_ours(part: Part, meta: dict[str, Any]) -> Part:
    painted, baked = part.name == "lids", part.name in STILL
    wrap = meta["part"].get(part.name, [part.wrap])[0]
    return replace(
        part,
        lighting=PAINTED if painted else BAKED if baked else LIT,
        cover=BLENDED if painted else CUT_OUT if part.name == "hair" else OPAQUE,
        cutoff=0.5,
        two_sided=painted or baked,
        follows=part.name != "shirt",
        wrap=_vector(wrap),
    )


def _own_avatar(parts: tuple[Part, ...], meta: dict[str, Any]) -> Head:
    eyes = (_vector(meta["cam"])[1] + EYES_ABOVE_REFERENCE) * DECIMETRE
    top = max(float(part.positions[:, 1].max()) for part in parts)
    rig = meta["rig"]
    colours = {
        name: _vector(rig[name]) for name in ("L1", "L2", "L3", "key", "fill", "sky", "ground", "term")
    }
    centre, edge = meta["bg"]
    return Head(
        parts=tuple(sorted(parts, key=lambda part: ORDER.get(part.name, 1))),
        subject=Subject((0.0, eyes, 0.0), max(top, eyes), eyes - CUT, FACE_HALF_WIDTH),
        pivot=(0.0, eyes - PIVOT, 0.01),
        neck=(eyes - COLLAR, eyes - CHIN),
        background=Gradient(_vector(centre), _vector(edge)),
        rig=Rig(**colours, rim=float(rig["rim"]), exposure=float(rig["exposure"])),
    )


def _vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    if not np.isfinite((x, y, z)).all():
        raise Broken("a value is not a finite number")
    return x, y, z


# -- somebody's head --------------------------------------------------------------------------------------
HAIR_ABOVE, HALF_WIDTH, CHEST_BELOW, NECK_BELOW, DEPTH = 2.6, 1.75, 4.2, 2.2, 2.0
"""Typical lengths of a face in units of the distance between the eyes."""
COLLAR_BELOW, CHIN_BELOW = 3.0, 1.8
LID_SHARE = 0.3
"""Vertices that a blink moves by at least this part of its largest movement are lids."""
NEUTRAL = Gradient((0.875, 0.898, 0.918), (0.549, 0.600, 0.651))


def _somebody(parts: tuple[Part, ...]) -> Head:
    """Framed by where its lids are, or by its box when it has none."""
    points = np.concatenate([part.positions for part in parts])
    low, high = points.min(0), points.max(0)
    left, right = (_lids(parts, INDEX[name]) for name in ("eyeBlinkLeft", "eyeBlinkRight"))
    if left is not None and right is not None and np.linalg.norm(left - right) > 0:
        apart = float(np.linalg.norm(left - right))
        eyes = (left + right) / 2
    else:
        apart = float(high[1] - low[1]) / 5
        eyes = (low + high) / 2
        eyes[1] = high[1] - 0.4 * (high[1] - low[1])
    if not apart > 0:
        raise Broken("it has no size")
    x, y, z = (float(value) for value in eyes)
    top = min(float(high[1]), y + HAIR_ABOVE * apart)
    bottom = max(float(low[1]), y - CHEST_BELOW * apart)
    return Head(
        parts=tuple(sorted(parts, key=lambda part: part.cover)),
        subject=Subject((x, y, z - DEPTH * apart), top, bottom, HALF_WIDTH * apart),
        pivot=(x, y - NECK_BELOW * apart, z - DEPTH * apart),
        neck=(y - COLLAR_BELOW * apart, y - CHIN_BELOW * apart),
        background=NEUTRAL,
        rig=Rig(),
    )


def _lids(parts: tuple[Part, ...], blink: int) -> NDArray[np.float64] | None:
    """The middle of the vertices that one eye's blink moves, or None."""
    found = [
        (part.positions[shape.vertices], np.linalg.norm(shape.moves[:, :3], axis=1))
        for part in parts
        if (shape := part.shapes.get(blink))
    ]
    if not found:
        return None
    points, lengths = (np.concatenate(values) for values in zip(*found, strict=True))
    lids = points[lengths >= LID_SHARE * lengths.max()].astype(np.float64)
    middle: NDArray[np.float64] = (lids.min(0) + lids.max(0)) / 2
    return middle
