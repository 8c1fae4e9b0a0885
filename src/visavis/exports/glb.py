"""A head with the track baked in as a glTF animation."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from visavis.arkit import INDEX, NAMES
from visavis.errors import VisavisError
from visavis.track import Track

MAGIC, JSON, BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
FLOAT = 5126
ANIMATION = "visavis"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Head:
    """A glTF binary: its JSON, and the bytes of its first buffer, which are never looked into."""

    name: str
    gltf: dict[str, Any]
    data: bytes

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises `VisavisError` when the file is no .glb or has no mesh with ARKit blendshapes."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise VisavisError("CANNOT_READ", f"Cannot read {path}: {error.strerror}.") from error
        try:
            head = cls(path.name, *read(content))
            found = list(head.morphs())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
            raise VisavisError(
                "BAD_HEAD", f"{path} is not a glTF binary (.glb) that can be read: {error}."
            ) from error
        if not found:
            raise VisavisError(
                "BAD_HEAD",
                f"{path} has no mesh with ARKit blendshapes: none of its targets is named like jawOpen.",
            )
        return head

    def morphs(self) -> Iterator[Morph]:
        """The nodes whose mesh has at least one ARKit blendshape."""
        meshes = self.gltf.get("meshes", [])
        for node, content in enumerate(self.gltf.get("nodes", [])):
            if "mesh" in content:
                mesh = meshes[content["mesh"]]
                shapes = tuple(match(name) for name in target_names(mesh))
                if any(shape is not None for shape in shapes):
                    rest = content.get("weights") or mesh.get("weights") or [0.0] * len(shapes)
                    yield Morph(node, shapes, tuple(rest))


@dataclass(frozen=True, slots=True)
class Morph:
    """One node's blendshapes: which of ours moves each, or None, and the weights it has at rest."""

    node: int
    shapes: tuple[int | None, ...]
    rest: tuple[float, ...]

    def values(self, track: Track) -> Floats:
        """float32[n, targets]."""
        values = np.tile(np.array(self.rest, np.float32), (len(track), 1))
        for target, shape in enumerate(self.shapes):
            if shape is not None:
                values[:, target] = track.weights[:, shape]
        return values


def write(track: Track, file: BinaryIO, head: Head) -> None:
    """The head with the track as an animation named `visavis` after those that it may have; keys at k/fps."""
    if not len(track):
        raise VisavisError("NO_FRAMES", "A track without frames cannot be an animation.")
    baked = _Baking(head)
    keys = baked.add(np.arange(len(track), dtype=np.float32) / np.float32(track.fps), bounded=True)
    outputs: dict[tuple[Any, ...], int] = {}
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    for morph in head.morphs():
        alike = (morph.shapes, morph.rest)  # the parts of a head mostly have the same shapes
        if alike not in outputs:
            outputs[alike] = len(samplers)
            output = baked.add(morph.values(track).ravel())
            samplers.append({"input": keys, "output": output, "interpolation": "LINEAR"})
        channels.append({"sampler": outputs[alike], "target": {"node": morph.node, "path": "weights"}})
    animation = {"name": ANIMATION, "samplers": samplers, "channels": channels}
    gltf = {**baked.gltf, "animations": [*head.gltf.get("animations", []), animation]}
    for piece in binary(gltf, [head.data, *baked.added]):
        file.write(piece)


class _Baking:
    """Adds plain accessors behind what a head has; its own buffer, views and extensions stay as they are."""

    def __init__(self, head: Head) -> None:
        buffers = [dict(buffer) for buffer in head.gltf.get("buffers", [])] or [{"byteLength": 0}]
        if "uri" in buffers[0]:
            raise VisavisError(
                "BAD_HEAD",
                f"{head.name} keeps its data in other files; export it as one .glb with everything in it.",
            )
        self.gltf = {
            **head.gltf,
            "buffers": buffers,
            "bufferViews": list(head.gltf.get("bufferViews", [])),
            "accessors": list(head.gltf.get("accessors", [])),
        }
        self.added: list[bytes] = []
        self._size = len(head.data)

    def add(self, values: Floats, bounded: bool = False) -> int:
        """A new accessor of scalars; `bounded`: it tells its least and greatest value."""
        views, accessors = self.gltf["bufferViews"], self.gltf["accessors"]
        data = values.astype("<f4").tobytes()
        views.append({"buffer": 0, "byteOffset": self._size, "byteLength": len(data)})
        accessor = {
            "bufferView": len(views) - 1,
            "componentType": FLOAT,
            "count": len(values),
            "type": "SCALAR",
        }
        if bounded:
            accessor |= {"min": [float(values.min())], "max": [float(values.max())]}
        accessors.append(accessor)
        self.added.append(data)
        self._size += len(data)
        self.gltf["buffers"][0]["byteLength"] = self._size
        return len(accessors) - 1


def match(target: str) -> int | None:
    """The index of the ARKit blendshape that a target's name means, or None.

    In any case; with _L, .L or Left; after a prefix such as `blendShape1.`; and both halves of a shape that
    ARKit does not divide, such as browInnerUp_L.
    """
    words = [
        word
        for word in target.lower().replace("-", "_").replace(" ", "_").replace(".", "_.").split("_")
        if word
    ]
    side = {"l": "left", "r": "right"}.get(words[-1].lstrip("."), "") if words else ""
    words = words[:-1] if side else words
    last = max((index for index, word in enumerate(words) if word.startswith(".")), default=0)
    name = "".join(words[last:]).lstrip(".") + side
    for candidate in (name, name.removesuffix("left"), name.removesuffix("right")):
        if candidate in _NAMES:
            return _NAMES[candidate]
    return None


_NAMES = {name.lower(): INDEX[name] for name in NAMES}


def target_names(mesh: dict[str, Any]) -> Sequence[str]:
    """The names of a mesh's morph targets, where exporters write them; empty when it has none."""
    first = mesh["primitives"][0]
    names = (
        (mesh.get("extras") or {}).get("targetNames") or (first.get("extras") or {}).get("targetNames") or []
    )
    return [str(name) for name in names] if len(names) == len(first.get("targets", [])) else []


def read(content: bytes) -> tuple[dict[str, Any], bytes]:
    """A glTF binary's JSON and binary chunk, the second padded to four bytes. Raises `ValueError`."""
    magic, version, length = struct.unpack_from("<III", content)
    if magic != MAGIC or version != 2:
        raise ValueError("it does not begin like one, version 2")
    if length > len(content):
        raise ValueError("its end is missing")
    chunks: dict[int, bytes] = {}
    at = 12
    while at < length:
        size, kind = struct.unpack_from("<II", content, at)
        if at + 8 + size > length:
            raise ValueError("its end is missing")
        chunks.setdefault(kind, content[at + 8 : at + 8 + size])
        at += 8 + size
    gltf = orjson.loads(chunks[JSON])
    data = chunks.get(BIN, b"")
    return gltf, data + bytes(-len(data) % 4)


def binary(gltf: dict[str, Any], data: list[bytes]) -> Iterator[bytes]:
    """A glTF binary, in pieces; `data` are its binary chunk's, each a multiple of four bytes."""
    text = orjson.dumps(gltf)
    text += b" " * (-len(text) % 4)
    size = sum(map(len, data))
    yield struct.pack("<III", MAGIC, 2, 12 + 8 + len(text) + 8 + size)
    yield struct.pack("<II", len(text), JSON) + text
    yield struct.pack("<II", size, BIN)
    yield from data
