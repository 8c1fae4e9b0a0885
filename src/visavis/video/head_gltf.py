"""What is in a GLB file, as arrays: read within bounds, because anybody may have made it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import VisavisError
from visavis.exports.glb import read
from visavis.video.images import read_image
from visavis.video.raster import Kernel, Memory

MAX_BYTES = 64 << 20
MAX_ELEMENTS = 4 << 20
"""Most values of one accessor, and most vertices and indices of a whole file."""
MAX_UNPACKED = 512 << 20
"""Most bytes that a file's compressed parts become."""
MAX_NODES = 4096
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
SUPPORTED = {*MESHOPT, "KHR_mesh_quantization", "EXT_texture_webp", "KHR_texture_transform"}
HARMLESS = ("KHR_materials_", "KHR_lights_")
DRACO = "KHR_draco_mesh_compression"

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MODES = {"ATTRIBUTES": "vertices", "TRIANGLES": "triangles", "INDICES": "sequence"}


class Broken(ValueError):
    """The file is not what it says it is; the text continues "it cannot be read: "."""


class Gltf:
    """A GLB file's parts; whatever is wrong with them raises `Broken` or a lookup error where it is met."""

    def __init__(self, content: bytes, kernel: Kernel) -> None:
        if len(content) > MAX_BYTES:
            raise Broken(f"it is larger than {MAX_BYTES >> 20} MB")
        self.json, self._data = read(content)
        self._kernel = kernel
        self._views: dict[int, memoryview] = {}
        self._unpacked = 0
        for name in self.json.get("extensionsRequired", []):
            if name == DRACO:
                raise Broken("its meshes are compressed with Draco; export it without that")
            if name not in SUPPORTED and not str(name).startswith(HARMLESS):
                raise Broken(f"it needs the extension {name}")

    # -- data -----------------------------------------------------------------------------------------
    def values(self, index: int) -> NDArray[Any]:
        """An accessor: [count, width], integers as they are and normalised ones as float32."""
        accessor = self.json["accessors"][_index(index)]
        kind, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        count = _count(accessor["count"], MAX_ELEMENTS // width)
        if "bufferView" in accessor:
            values = self._strided(accessor["bufferView"], accessor.get("byteOffset", 0), kind, count, width)
        else:
            values = np.zeros((count, width), kind)
        if sparse := accessor.get("sparse"):
            values = self._sparse(values, sparse)
        if accessor.get("normalized"):
            most = np.iinfo(kind).max
            return np.asarray(np.maximum(values.astype(np.float32) / most, -1), np.float32)
        return values

    def floats(self, index: int, width: int, count: int | None = None) -> Floats:
        """An accessor as finite float32[count, width]."""
        values = self.values(index).astype(np.float32)
        if values.shape[1] != width or (count is not None and len(values) != count):
            raise Broken("an attribute has the wrong number of values")
        if not np.isfinite(values).all():
            raise Broken("a value is not a finite number")
        return values

    def _strided(self, view: int, offset: int, kind: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
        data = self._view(_index(view))
        step = self.json["bufferViews"][view].get("byteStride") or kind.itemsize * width
        offset = _count(offset, len(data))
        _count(step, 256)
        if count and offset + step * (count - 1) + kind.itemsize * width > len(data):
            raise Broken("an accessor reaches beyond its data")
        strides = (step, kind.itemsize)
        return np.ndarray((count, width), kind, data, offset, strides).copy()

    def _sparse(self, values: NDArray[Any], sparse: dict[str, Any]) -> NDArray[Any]:
        count = _count(sparse["count"], len(values))
        at, new = sparse["indices"], sparse["values"]
        kind = np.dtype(_TYPES[at["componentType"]])
        places = self._strided(at["bufferView"], at.get("byteOffset", 0), kind, count, 1)[:, 0]
        if kind.kind != "u" or (count and places.max() >= len(values)):
            raise Broken("a sparse accessor reaches beyond its data")
        values[places] = self._strided(
            new["bufferView"], new.get("byteOffset", 0), values.dtype, count, values.shape[1]
        )
        return values

    def _view(self, index: int) -> memoryview:
        if index not in self._views:
            view = self.json["bufferViews"][index]
            found = next((view["extensions"][n] for n in MESHOPT if n in view.get("extensions", {})), None)
            self._views[index] = memoryview(self._unpack(found) if found else self._slice(view))
        return self._views[index]

    def _slice(self, view: dict[str, Any]) -> bytes:
        if view.get("buffer", 0) != 0 or "uri" in self.json["buffers"][0]:
            raise Broken("it keeps its data in other files; export it as one .glb with everything in it")
        begin = _count(view.get("byteOffset", 0), len(self._data))
        size = _count(view["byteLength"], len(self._data))
        if begin + size > len(self._data):
            raise Broken("a part of its data is missing")
        return self._data[begin : begin + size]

    def _unpack(self, packed: dict[str, Any]) -> bytes:
        data = self._slice(packed)
        count, stride = _count(packed["count"], MAX_ELEMENTS), _count(packed["byteStride"], 256)
        self._unpacked += count * max(stride, 4)
        if self._unpacked > MAX_UNPACKED:
            raise Broken("it unpacks to too much data")
        mode, form = packed["mode"], packed.get("filter", "NONE")
        size = count * (stride if mode == "ATTRIBUTES" else 4)
        memory = Memory(self._kernel, len(data) + size + 64)
        source, out = memory.heap, memory.heap + -(-len(data) // 16) * 16
        memory.bytes[source : source + len(data)] = np.frombuffer(data, np.uint8)
        shape = (count, stride) if mode == "ATTRIBUTES" else (count,)
        if not memory(_MODES[mode], out, *shape, source, len(data)):
            raise Broken("its compressed data is damaged or of a newer kind")
        if form == "OCTAHEDRAL" and stride in (4, 8):
            memory("octahedral", out, count, stride // 4)
        elif form == "EXPONENTIAL" and stride % 4 == 0:
            memory("exponential", out, count * stride // 4)
        elif form != "NONE":
            raise Broken(f"its compressed data has the filter {form}")
        unpacked = memory.bytes[out : out + size]
        if mode != "ATTRIBUTES" and stride == 2:
            return unpacked.view("<u4").astype("<u2").tobytes()
        return unpacked.tobytes()

    # -- images ---------------------------------------------------------------------------------------
    def image(self, texture: int, where: str) -> NDArray[np.uint8]:
        """uint8[h, w, 4]. Raises `VisavisError` for an image that cannot be decoded."""
        found = self.json["textures"][_index(texture)]
        source = found.get("extensions", {}).get("EXT_texture_webp", found).get("source")
        image = self.json["images"][_index(source)]
        if "bufferView" not in image:
            raise Broken("it keeps its images in other files; export it as one .glb with everything in it")
        return read_image(bytes(self._view(_index(image["bufferView"]))), f"An image in {where}")

    # -- nodes ----------------------------------------------------------------------------------------
    def worlds(self) -> dict[int, Matrix]:
        """Every node of the scene with its float64[4, 4] from its own axes to the world's."""
        nodes = self.json.get("nodes", [])
        scenes = self.json.get("scenes", [])
        chosen = self.json.get("scene", 0)
        roots = scenes[_index(chosen)].get("nodes", []) if scenes else range(len(nodes))
        found: dict[int, Matrix] = {}
        waiting = [(_index(root), np.eye(4)) for root in roots]
        while waiting:
            index, parent = waiting.pop()
            if index in found or len(found) >= MAX_NODES:
                raise Broken("its nodes form a circle or are too many")
            node = nodes[index]
            found[index] = parent @ _local(node)
            waiting += [(_index(child), found[index]) for child in node.get("children", [])]
        if not all(np.isfinite(matrix).all() for matrix in found.values()):
            raise Broken("a node's place is not a finite number")
        return found


def bad_head(where: str, why: object) -> VisavisError:
    return VisavisError("BAD_HEAD", f"{where} is not a head that can be drawn: {why}.")


def _local(node: dict[str, Any]) -> Matrix:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = (float(value) for value in node.get("rotation", (0, 0, 0, 1)))
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64).reshape(3)
    matrix[:3, 3] = np.array(node.get("translation", (0, 0, 0)), np.float64).reshape(3)
    return matrix


def _count(value: Any, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise Broken(f"a size is {value!r}, not a number up to {most}")
    return value


def _index(value: Any) -> int:
    """No negative ones: Python would count them from the end."""
    if not isinstance(value, int) or value < 0:
        raise Broken(f"a reference is {value!r}")
    return value
