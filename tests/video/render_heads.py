"""GLB files made up for the renderer's tests."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.exports.glb import binary

_COMPONENTS = {"f": 5126, "H": 5123, "B": 5121, "I": 5125}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


@dataclass
class Maker:
    """Collects arrays; `json` is the file's description, to be filled in."""

    data: bytearray = field(default_factory=bytearray)
    json: dict[str, Any] = field(
        default_factory=lambda: {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}
    )

    def view(self, values: NDArray[Any]) -> int:
        self.data += bytes(-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        self.data += values.tobytes()
        self.json["bufferViews"].append(view)
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: NDArray[Any]) -> int:
        self.json["accessors"].append({"bufferView": self.view(values), **_kind(values)})
        return len(self.json["accessors"]) - 1

    def sparse(self, values: NDArray[np.float32]) -> int:
        """Only the rows that are not zero."""
        rows = np.flatnonzero(values.any(1)).astype(np.uint16)
        self.json["accessors"].append(
            {
                **_kind(values),
                "sparse": {
                    "count": len(rows),
                    "indices": {"bufferView": self.view(rows), "componentType": 5123},
                    "values": {"bufferView": self.view(values[rows])},
                },
            }
        )
        return len(self.json["accessors"]) - 1

    def glb(self) -> bytes:
        data = bytes(self.data) + bytes(-len(self.data) % 4)
        described = copy.deepcopy(self.json) | {"buffers": [{"byteLength": len(data)}]}
        return b"".join(binary(described, [data]))


def _kind(values: NDArray[Any]) -> dict[str, Any]:
    width = values.shape[1] if values.ndim == 2 else 1
    return {"componentType": _COMPONENTS[values.dtype.char], "count": len(values), "type": _TYPES[width]}


def mask(names: tuple[str, ...] = ("jawOpen", "eyeBlink_L", "eyeBlink_R")) -> Maker:
    """A flat face, 0.2 m wide and 0.3 m high around y = 1.6: a grid of 21 by 31 vertices, striped across.

    `jawOpen` lets the lower third fall by 5 cm; the blinks move a vertex each where the eyes would be.
    """
    maker = Maker()
    x, y = np.meshgrid(np.linspace(-0.1, 0.1, 21), np.linspace(1.45, 1.75, 31))
    points = np.stack([x, y, np.zeros_like(x)], 2).reshape(-1, 3).astype(np.float32)
    corners = np.arange(30 * 21).reshape(30, 21)[:, :20].ravel()
    grid = np.concatenate(
        [
            np.stack([corners, corners + 1, corners + 22], 1),
            np.stack([corners, corners + 22, corners + 21], 1),
        ]
    )
    stripes = np.repeat(np.linspace(0.2, 1, 2).repeat(5)[np.arange(31) % 10], 21)
    jaw = np.zeros_like(points)
    jaw[points[:, 1] < 1.55, 1] = -0.05
    left, right = np.zeros_like(points), np.zeros_like(points)
    left[np.argmin(np.hypot(points[:, 0] - 0.03, points[:, 1] - 1.65)), 2] = 0.01
    right[np.argmin(np.hypot(points[:, 0] + 0.03, points[:, 1] - 1.65)), 2] = 0.01
    maker.json["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [0.9, 0.7, 0.6, 1]}}]
    maker.json["meshes"] = [
        {
            "extras": {"targetNames": list(names)},
            "primitives": [
                {
                    "attributes": {
                        "POSITION": maker.accessor(points),
                        "COLOR_0": maker.accessor(np.tile(stripes.astype(np.float32), (3, 1)).T.copy()),
                    },
                    "indices": maker.accessor(grid.ravel().astype(np.uint16)),
                    "material": 0,
                    "targets": [
                        {"POSITION": maker.sparse(jaw)},
                        {"POSITION": maker.sparse(left)},
                        {"POSITION": maker.accessor(right)},
                    ],
                }
            ],
        }
    ]
    maker.json["nodes"] = [{"mesh": 0}]
    maker.json["scenes"] = [{"nodes": [0]}]
    maker.json["scene"] = 0
    return maker
