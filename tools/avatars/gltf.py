"""Writes an avatar as glTF 2.0 (.glb).

COLOR_0 makes hair and clothes look right in any viewer; `_LIGHT` is what the renderers read: visibility of
the key light and shine on skin, eyes and mouth, baked light on everything that does not move.
"""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avatars import light
from avatars.bake import STATIC, Avatar
from avatars.face import Part
from avatars.geometry import Array, normals
from avatars.source import ARKIT

METRES = 0.1  # in a decimetre
COPYRIGHT = (
    "CC0: MakeHuman/MPFB base mesh and targets; Face Units 01 by Mika Suominen; "
    "textures, eyes, teeth, hair, clothes generated"
)
ORDER = ("skin", "eyes", "mouth", "shirt", "extra", "hair", "lids")
COMPONENT = {"f": 5126, "H": 5123, "B": 5121}
VERTICES, INDICES = 34962, 34963


class Writer:
    """A binary buffer and the JSON that describes it."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "tools/avatars", "copyright": COPYRIGHT},
            "scene": 0,
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}],
        }

    def add(self, kind: str, item: dict[str, Any]) -> int:
        items = self.json.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def view(self, content: bytes, target: int | None = None) -> int:
        self.buffer += bytes(-len(self.buffer) % 4)
        view = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(content)}
        self.buffer += content
        return self.add("bufferViews", view | ({"target": target} if target else {}))

    def accessor(self, values: Array, kind: str, target: int = VERTICES, bounds: bool = False) -> int:
        """Integers stand for 0 to 1, except indices."""
        values = np.ascontiguousarray(values)
        accessor: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": COMPONENT[values.dtype.char],
            "count": len(values),
            "type": kind,
        }
        if bounds:
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        if values.dtype.char != "f" and target == VERTICES:
            accessor["normalized"] = True
        return self.add("accessors", accessor)

    def texture(self, image: Image.Image, kind: str, **options: Any) -> int:
        encoded = io.BytesIO()
        image.save(encoded, kind, **options)
        source = {"bufferView": self.view(encoded.getvalue()), "mimeType": f"image/{kind.lower()}"}
        return self.add("textures", {"source": self.add("images", source), "sampler": 0})

    def material(self, name: str, texture: int | None, roughness: float, **options: Any) -> int:
        surface: dict[str, Any] = {"metallicFactor": 0, "roughnessFactor": roughness}
        if texture is not None:
            surface["baseColorTexture"] = {"index": texture}
        return self.add("materials", {"name": name, "pbrMetallicRoughness": surface, **options})

    def save(self, path: Path) -> None:
        self.buffer += bytes(-len(self.buffer) % 4)
        self.json["buffers"] = [{"byteLength": len(self.buffer)}]
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        with path.open("wb") as file:
            file.write(struct.pack("<III", 0x46546C67, 2, 12 + 8 + len(text) + 8 + len(self.buffer)))
            file.write(struct.pack("<II", len(text), 0x4E4F534A) + text)
            file.write(struct.pack("<II", len(self.buffer), 0x4E4942) + self.buffer)


def write(name: str, avatar: Avatar, path: Path) -> None:
    writer = Writer()
    materials, nodes = _materials(writer, avatar.textures), []
    for part_name in ORDER:
        part = avatar.parts.get(part_name)
        if part is None:
            continue
        mesh = {
            "name": f"Avatar_{part_name.capitalize()}",
            **_mesh(writer, part_name, part, materials[part_name]),
        }
        nodes.append(writer.add("nodes", {"name": mesh["name"], "mesh": writer.add("meshes", mesh)}))
    extras = {"avatar": _meta(name, avatar)}
    head = writer.add("nodes", {"name": "Head", "children": nodes, "extras": extras})
    writer.json["scenes"] = [{"nodes": [head]}]
    writer.save(path)


def _meta(name: str, avatar: Avatar) -> dict[str, Any]:
    return {
        "name": name,
        "title": avatar.person["title"],
        "cam": [0, float(avatar.face.eye[1] - 0.22), 0.0],
        "half": 1.76,
        "fov": 20,
        "bg": avatar.person["background"],
        "rig": light.RIG,
        "part": light.PARTS,
    }


def _materials(writer: Writer, textures: dict[str, Array]) -> dict[str, int]:
    image = {name: Image.fromarray(_bytes(texture)) for name, texture in textures.items()}
    hair = image["hair"].quantize(128, method=Image.Quantize.FASTOCTREE)
    skin = writer.texture(image["skin"], "JPEG", quality=82, subsampling=1)
    eye = writer.texture(image["eye"], "JPEG", quality=90)
    strands = writer.texture(hair, "PNG", optimize=True)
    cloth = writer.texture(image["cloth"], "JPEG", quality=80)
    two_sided = {"doubleSided": True}
    return {
        "skin": writer.material("Skin", skin, 0.55),
        "eyes": writer.material("Eyes", eye, 0.08),
        "mouth": writer.material("Mouth", None, 0.3),
        "hair": writer.material("Hair", strands, 0.45, alphaMode="MASK", alphaCutoff=0.4, **two_sided),
        "shirt": writer.material("Shirt", cloth, 0.9, **two_sided),
        "extra": writer.material("Extra", None, 0.3, **two_sided),
        "lids": writer.material("Lids", None, 0.9, alphaMode="BLEND", **two_sided),
    }


def _mesh(writer: Writer, name: str, part: Part, material: int) -> dict[str, Any]:
    vertices = part.vertices.astype("f4")
    attributes = {
        "POSITION": writer.accessor((vertices * METRES).astype("f4"), "VEC3", bounds=True),
        "NORMAL": writer.accessor(_facing(part.normals), "VEC3"),
    }
    if part.uv is not None and name != "extra":
        uv = np.stack([part.uv[:, 0], 1 - part.uv[:, 1]], 1).astype("f4")
        attributes["TEXCOORD_0"] = writer.accessor(uv, "VEC2")
    attributes |= _light_and_colour(writer, name, part)
    indices = writer.accessor(part.triangles.reshape(-1).astype("u2"), "SCALAR", INDICES)
    primitive: dict[str, Any] = {"attributes": attributes, "indices": indices, "material": material}
    if part.morphs is None:
        return {"primitives": [primitive]}
    primitive["targets"] = _targets(writer, part, with_normals=name != "lids")
    return {"primitives": [primitive], "weights": [0.0] * len(ARKIT), "extras": {"targetNames": ARKIT}}


def _light_and_colour(writer: Writer, name: str, part: Part) -> dict[str, int]:
    out, count = {}, len(part.vertices)
    opaque = np.ones(count)
    if name == "lids":
        rgba = np.column_stack([part.colour[:, :3] ** 2.2, part.colour[:, 3]])
        out["COLOR_0"] = writer.accessor(_words(rgba), "VEC4")
    elif name == "mouth":
        out["COLOR_0"] = writer.accessor(_words(np.column_stack([part.colour, opaque])), "VEC4")
    if part.light is None:
        return out
    if part.morphs is not None:
        seen = np.column_stack([part.light[:, :2], np.zeros((count, 2))])
        return out | {"_LIGHT": writer.accessor(_bytes(seen), "VEC4")}
    colour = np.column_stack([np.clip(part.light * STATIC * 0.55, 0, 1), opaque])
    out["COLOR_0"] = writer.accessor(_bytes(colour), "VEC4")
    out["_LIGHT"] = writer.accessor(_bytes(np.column_stack([np.sqrt(part.light), opaque])), "VEC4")
    return out


def _targets(writer: Writer, part: Part, with_normals: bool) -> list[dict[str, int]]:
    """Moves below 0.1 mm and turns below two degrees are dropped: zeros compress well."""
    assert part.morphs is not None
    vertices, targets = part.vertices.astype("f4"), []
    _, weld = np.unique(np.round(vertices, 5), axis=0, return_inverse=True)
    weld = weld.ravel()
    triangles, welded = weld[part.triangles], np.zeros((weld.max() + 1, 3), "f4")
    welded[weld] = vertices
    rest = normals(welded, triangles)
    for name in ARKIT:
        moved = part.morphs[name].astype("f2").astype("f4")
        moved[np.abs(moved) < 1e-3] = 0
        target = {"POSITION": writer.accessor((moved * METRES).astype("f4"), "VEC3", bounds=True)}
        if with_normals:
            turned = np.zeros_like(vertices)
            if moved.any():
                posed = welded.copy()
                posed[weld] = vertices + moved
                turned = ((normals(posed, triangles) - rest)[weld] * light.RIG["normal_gain"]).astype("f4")
                turned[np.abs(turned) < 0.03] = 0
            target["NORMAL"] = writer.accessor(turned, "VEC3")
        targets.append(target)
    return targets


def _facing(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length < 0.5, [0, 0, 1], vectors / np.maximum(length, 1e-6)).astype("f4")


def _bytes(values: Array) -> Array:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype("u1")


def _words(values: Array) -> Array:
    return (np.clip(values, 0, 1) * 65535 + 0.5).astype("u2")
