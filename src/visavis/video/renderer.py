"""The renderer that needs no GPU: a head's triangles by the processor, lit like the browser lights them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from math import radians, tan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import COUNT, INDEX, Weights
from visavis.errors import VisavisError
from visavis.settings import Settings
from visavis.video import Picture, Size, raster
from visavis.video.background import Background
from visavis.video.head import Head, Part, Subject, load_head
from visavis.video.head_motion import Pose, Sway, keep_looking
from visavis.video.images import scaled
from visavis.video.raster import BAKED, LEVELS, LIT, PAINTED, Image, Kernel, Memory

FIELD_OF_VIEW = 20
"""Degrees, of the height."""
EYE_LINE = 1 / 3
"""Where the eyes should be, as part of the picture's height from its top."""
AIR = 0.2
"""Above the hair, as part of the face's half width."""
LARGEST = 1920
"""Pixels of either side."""
LARGEST_TEXTURE = 1024
BRIGHTEST, TONES = 3.0, 6144
"""The tone curve's range of linear light, and its steps."""
CACHED = 16
"""Renderers kept, of different avatars, sizes and backgrounds."""

JAW_OPEN, MOUTH_CLOSE = INDEX["jawOpen"], INDEX["mouthClose"]


class Software:
    """The engine."""

    def __init__(self) -> None:
        self._kernel = Kernel()
        self._lock = threading.Lock()
        self._head = lru_cache(CACHED)(lambda path: load_head(path, self._kernel))
        self._renderer = lru_cache(CACHED)(
            lambda path, size, background: SoftwareRenderer(self._kernel, self._head(path), size, background)
        )

    def renderer(
        self, avatar: str | Path, size: Size, background: Background | None = None
    ) -> SoftwareRenderer:
        """`avatar`: the name of one of ours, or the path of a GLB file. Raises `VisavisError`."""
        if not all(16 <= side <= LARGEST for side in size):
            raise VisavisError(
                "BAD_SIZE",
                f"A picture of {size[0]} by {size[1]} pixels; sides from 16 to {LARGEST} are drawn.",
            )
        with self._lock:  # two that ask for the same avatar at once load it once
            return self._renderer(_path(avatar), size, background)


class SoftwareRenderer:
    """One head in one size; see `visavis.video.Renderer`."""

    def __init__(self, kernel: Kernel, head: Head, size: Size, background: Background | None) -> None:
        self.size = size
        self._image = Image(kernel)
        self._scene = _scene(self._image, head, size, background or head.background)
        self._scene_at = self._image.room(_sizeof(self._scene))
        self._free: list[Memory] = []

    def open(self, seed: int = 0) -> SoftwareView:
        return SoftwareView(self, seed)

    def draw(self, weights: Weights, pose: Pose, antialias: bool = True) -> Picture:
        """uint8[height, width, 3] of a face at 52 weights in 0..1, the head held like that."""
        scene = type(self._scene).from_buffer_copy(self._scene)
        scene.weights[:] = weights.tolist()
        scene.rotation[:] = pose.rotation().ravel().tolist()
        scene.breath = pose.breath
        width, height = self.size
        with self._memory() as memory:
            memory.bytes[self._scene_at : self._scene_at + _sizeof(scene)] = np.frombuffer(
                bytes(scene), np.uint8
            )
            memory("draw", self._scene_at, int(antialias))
            pixels = memory.bytes[scene.out : scene.out + width * height * 3]
            return pixels.reshape(height, width, 3).copy()

    @contextmanager
    def _memory(self) -> Iterator[Memory]:
        """A memory nobody else uses: as many exist as threads ever drew at once."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = Memory.of(self._image)
        yield memory
        self._free.append(memory)


class SoftwareView:
    """See `visavis.video.View`."""

    def __init__(self, renderer: SoftwareRenderer, seed: int) -> None:
        self._renderer = renderer
        self._sway = Sway(seed)

    def render(self, weights: Weights, seconds: float, antialias: bool = True) -> Picture:
        pose = self._sway(seconds)
        return self._renderer.draw(keep_looking(drawable(weights), pose), pose, antialias)


def load(settings: Settings) -> Software:
    """The plug-in; there is nothing to set."""
    return Software()


def drawable(weights: Weights) -> Weights:
    """float32[52] in 0..1; lips close no further than the jaw is open, or they would cross."""
    if weights.shape != (COUNT,):
        raise ValueError(f"A face has {COUNT} weights, not an array of {weights.shape}.")
    safe: Weights = np.nan_to_num(weights.astype(np.float32), nan=0.0).clip(0.0, 1.0)
    safe[MOUTH_CLOSE] = min(safe[MOUTH_CLOSE], safe[JAW_OPEN])
    return safe


def framed(subject: Subject, aspect: float) -> tuple[float, float]:
    """Height of what is seen at the depth of the head's middle, and the height of its centre; in metres.

    From the chest up; in narrow pictures the face must fit the width, and what the model lacks below is given
    above. The same as the browser's.
    """
    eyes = subject.eyes[1]
    above = subject.top - eyes + AIR * subject.half_width
    below = eyes - subject.bottom
    height = above + min(above / EYE_LINE - above, below)
    needed = 2 * subject.half_width / aspect
    if needed <= height:
        return height, eyes + above - height / 2
    line = max(EYE_LINE, 1 - below / needed)
    return needed, eyes + needed * line - needed / 2


def _path(avatar: str | Path) -> Path:
    if isinstance(avatar, Path):
        return avatar
    folder = files("visavis") / "avatars"
    path = Path(str(folder / avatar / f"{avatar}.glb"))
    if avatar.isidentifier() and path.is_file():
        return path
    if avatar.lower().endswith(".glb"):
        return Path(avatar).expanduser()
    raise VisavisError("NO_AVATAR", f"There is no avatar {avatar!r}; name one of ours or a .glb file.")


# -- memory ---------------------------------------------------------------------------------------------
def _scene(image: Image, head: Head, size: Size, background: Background) -> raster.Scene:
    width, height = size
    stride = -(-width // 4) * 4
    pixels = np.full((height, stride, 4), 255, np.uint8)
    pixels[:, :width, :3] = background.paint(width, height)
    seen, centre = framed(head.subject, width / height)
    eyes = head.subject.eyes
    distance = seen / 2 / tan(radians(FIELD_OF_VIEW / 2))
    spans = np.tile(np.array([width, 0], np.int32), (height, 1))
    parts = (raster.Part * len(head.parts))(*(_part(image, part, head) for part in head.parts))
    return raster.Scene(
        parts=len(parts),
        width=width,
        height=height,
        stride=stride,
        tones=TONES,
        tone_scale=(TONES - 1) / BRIGHTEST,
        part=image.put(parts),
        rig=_rig(head),
        camera=(eyes[0], centre, eyes[2] + distance),
        focal=height / seen * distance,
        pivot=head.pivot,
        neck=head.neck,
        tone=image.put(_tones()),
        background=image.put(pixels),
        now=image.put(spans),
        before=image.put(np.tile(np.array([0, width], np.int32), (height, 1))),
        depth=image.room(stride * height * 16 + 64),
        colour=image.room(stride * height * 16 + 64),
        out=image.room(width * height * 3 + 16),
    )


def _rig(head: Head) -> raster.Rig:
    rig = head.rig
    return raster.Rig(
        rig.L1, rig.L2, rig.L3, rig.key, rig.fill, rig.sky, rig.ground, rig.term, rig.rim, rig.exposure
    )


def _part(image: Image, part: Part, head: Head) -> raster.Part:
    count = len(part.positions)
    shapes = [part.shapes.get(index) for index in range(COUNT)]
    shade = np.zeros((count, 4), np.float32)
    if part.lighting == BAKED:
        shade[:, :3] = part.light[:, :3] ** 2 * 4 * head.rig.exposure
    elif part.lighting == PAINTED:
        shade[:] = part.tint ** np.array([1 / 2.2, 1 / 2.2, 1 / 2.2, 1], np.float32)
    found = raster.Part(
        vertices=count,
        triangles=len(part.triangles),
        lighting=part.lighting,
        cover=part.cover,
        two_sided=part.two_sided,
        follows=part.follows,
        wrap=part.wrap,
        cutoff=part.cutoff,
        rest=image.put(np.hstack([part.positions, part.normals])),
        screen=image.room(count * 16),
        shade=image.put(shade),
        indices=image.put(np.ascontiguousarray(_nearest_first(part))),
    )
    if any(shapes):
        moves = [shape for shape in shapes if shape]
        sizes = [len(shape.vertices) if shape else 0 for shape in shapes]
        found.shaped = image.room(count * 24)
        found.offsets = image.put(np.cumsum([0, *sizes]).astype(np.uint32))
        found.moved = image.put(np.concatenate([shape.vertices for shape in moves]))
        found.moves = image.put(np.concatenate([shape.moves for shape in moves]))
    if part.lighting == LIT:
        found.tint = image.put(part.tint)
        found.light = image.put(np.ascontiguousarray(part.light[:, :2]))
    if part.texture is not None and part.uv is not None:
        found.uv = image.put(part.uv)
        found.texture = image.put(_texture(image, part.texture))
    return found


def _nearest_first(part: Part) -> NDArray[np.uint32]:
    """What is in front is drawn first, so that little is drawn in vain; what lets light through, last."""
    depth = part.positions[part.triangles, 2].sum(1)
    return part.triangles[np.argsort(depth if part.cover == raster.BLENDED else -depth, kind="stable")]


def _texture(image: Image, pixels: NDArray[np.uint8]) -> raster.Texture:
    rows, columns = (_power(side) for side in pixels.shape[:2])
    level = scaled(pixels, columns, rows).astype(np.float32)
    level[..., :3] = np.sqrt(_linear(level[..., :3] / 255)) * 255
    texture = raster.Texture(width_log2=columns.bit_length() - 1, height_log2=rows.bit_length() - 1)
    while texture.levels < LEVELS:
        wrapped = np.pad(level, ((0, 1), (0, 1), (0, 0)), mode="wrap")
        texture.level[texture.levels] = image.put((wrapped + 0.5).astype(np.uint8))
        texture.levels += 1
        if level.shape[:2] == (1, 1):
            break
        for axis in (0, 1):
            if level.shape[axis] > 1:
                even, odd = (
                    (slice(None),) * axis + (slice(0, None, 2),),
                    (slice(None),) * axis + (slice(1, None, 2),),
                )
                level = np.asarray((level[even] + level[odd]) / 2, np.float32)
    return texture


def _power(side: int) -> int:
    """The power of two that is not larger."""
    return int(min(1 << (int(side).bit_length() - 1), LARGEST_TEXTURE))


def _linear(shown: NDArray[np.floating]) -> NDArray[np.float32]:
    """sRGB values in 0..1 to light."""
    light = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _tones() -> NDArray[np.uint8]:
    """The filmic curve and sRGB: uint8[TONES]."""
    x = np.linspace(0, BRIGHTEST, TONES)
    y = np.clip(x * (2.35 * x + 0.06) / (x * (2.25 * x + 0.66) + 0.16), 0, 1)
    shown = np.where(y <= 0.0031308, 12.92 * y, 1.055 * np.maximum(y, 1e-9) ** (1 / 2.4) - 0.055)
    return (shown * 255 + 0.5).astype(np.uint8)


def _sizeof(structure: raster.Scene) -> int:
    return len(bytes(structure))
