"""The compiled inner loops (`raster.c`, `meshopt.c`) and the memory that they work in."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, cast

import numpy as np
import wasmtime
from numpy.typing import NDArray

LEVELS = 12
BAND, TILE = 32, 64
WEIGHTS = 52
PAGE = 65536
Address = int

LIT, BAKED, PAINTED = range(3)
OPAQUE, CUT_OUT, BLENDED = range(3)

_U, _F = ctypes.c_uint32, ctypes.c_float


class Texture(ctypes.LittleEndianStructure):
    _fields_ = (("width_log2", _U), ("height_log2", _U), ("levels", _U), ("level", _U * LEVELS))


class Part(ctypes.LittleEndianStructure):
    _fields_ = (
        *((name, _U) for name in ("number", "vertices", "triangles", "lighting", "cover", "two_sided")),
        ("wrap", _F * 3),
        ("cutoff", _F),
        *(
            (name, _U)
            for name in ("rest", "shaped", "offsets", "moved", "moves", "tint", "light", "follow", "uv")
        ),
        *((name, _U) for name in ("screen", "shade", "indices", "texture")),
    )


class Rig(ctypes.LittleEndianStructure):
    _fields_ = (
        *((name, _F * 3) for name in ("key_direction", "fill_direction", "rim_direction")),
        *((name, _F * 3) for name in ("key", "fill", "sky", "ground", "terminator")),
        ("rim", _F),
        ("exposure", _F),
    )


class Scene(ctypes.LittleEndianStructure):
    _fields_ = (
        *((name, _U) for name in ("parts", "triangles", "width", "height", "stride", "coarse_stride")),
        ("tone_scale", _F),
        ("brightest", _F),
        ("part", _U),
        ("order", _U),
        ("rig", Rig),
        ("camera", _F * 3),
        ("focal", _F),
        ("rotation", _F * 9),
        ("pivot", _F * 3),
        ("breath", _F),
        ("weights", _F * WEIGHTS),
        *((name, _U) for name in ("tone", "background", "coarse_background", "coarse", "cells", "hits")),
        *(
            (name, _U)
            for name in ("visible", "sorted", "ends", "chosen", "limits", "now", "before", "last", "out")
        ),
    )


class Kernel:
    """The code; shared by threads."""

    def __init__(self) -> None:
        code = (files("visavis.video") / "raster.wasm").read_bytes()
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, code)
        self.heap = Memory(self, 0).heap
        """Where every memory's free room begins."""


@dataclass
class Image:
    """What a memory begins with: data at fixed addresses, then room that is zero."""

    kernel: Kernel
    pieces: list[tuple[Address, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.end = self.kernel.heap

    def put(self, data: NDArray[Any] | ctypes.Structure | ctypes.Array[Any]) -> Address:
        content = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
        at = self.room(len(content))
        self.pieces.append((at, content))
        return at

    def room(self, size: int) -> Address:
        at = self.end
        self.end += -(-size // 16) * 16
        return at


class Memory:
    """An instance of the code with memory of its own: one thread at a time."""

    def __init__(self, kernel: Kernel, room: int) -> None:
        """`room`: bytes needed from `heap` on."""
        self._store = wasmtime.Store(kernel.engine)
        self._exports = wasmtime.Instance(self._store, kernel.module, []).exports(self._store)
        self._calls: dict[str, wasmtime.Func] = {}
        self.heap: Address = self("heap")
        self("start")
        memory = cast(wasmtime.Memory, self._exports["memory"])
        missing = self.heap + room - memory.data_len(self._store)
        if missing > 0:
            memory.grow(self._store, -(-missing // PAGE))
        pointer = memory.data_ptr(self._store)
        self.bytes: NDArray[np.uint8] = np.ctypeslib.as_array(pointer, (memory.data_len(self._store),))

    @classmethod
    def of(cls, image: Image) -> Memory:
        memory = cls(image.kernel, image.end - image.kernel.heap)
        for at, content in image.pieces:
            memory.bytes[at : at + len(content)] = np.frombuffer(content, np.uint8)
        return memory

    def __call__(self, name: str, *arguments: float) -> Any:
        call = self._calls.get(name)
        if call is None:
            call = self._calls[name] = cast(wasmtime.Func, self._exports[name])
        return call(self._store, *arguments)
