"""What a head becomes in the memory of the compiled loops: vertices, textures, light, camera, background."""

from __future__ import annotations

from ctypes import sizeof
from dataclasses import replace
from itertools import product
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import COUNT, Weights
from visavis.video import Picture, Size, raster
from visavis.video.background import Background, Gradient
from visavis.video.head import Head, Part, Shape, Subject
from visavis.video.head_motion import LARGEST, Pose
from visavis.video.images import scaled
from visavis.video.raster import BAKED, BAND, BLENDED, LEVELS, LIT, PAINTED, TILE, Image, Kernel, Memory

FIELD_OF_VIEW = 20
"""Degrees, of the height."""
EYE_LINE = 1 / 3
"""Where the eyes should be, as part of the picture's height from its top."""
AIR = 0.2
"""Above the hair, as part of the face's half width."""
LARGEST_TEXTURE = 1024
PART_SHIFT = 24
LAYER = 0.005
"""Metres: triangles within it count as equally deep."""
BRIGHTEST, TONES = 3.0, 6144
"""The tone curve's range of linear light, and its steps."""


class Stage:
    """The beginning of every memory in which this head is drawn."""

    def __init__(self, kernel: Kernel, head: Head, size: Size, background: Background) -> None:
        self.image = Image(kernel)
        self._scene = _scene(self.image, head, size, background)
        self.at = self.image.room(sizeof(raster.Scene))

    def set(self, memory: Memory, weights: Weights, pose: Pose) -> None:
        """What the next call of the compiled loops shows."""
        scene = raster.Scene.from_buffer_copy(self._scene)
        scene.weights[:] = weights.tolist()
        scene.rotation[:] = pose.rotation().ravel().tolist()
        scene.breath = pose.breath
        memory.bytes[self.at : self.at + sizeof(scene)] = np.frombuffer(bytes(scene), np.uint8)

    def out(self, memory: Memory, size: int) -> NDArray[np.uint8]:
        """A copy of what the last call wrote."""
        return memory.bytes[self._scene.out : self._scene.out + size].copy()


def seen(kernel: Kernel, head: Head, size: Size) -> Head:
    """The head without what no pose and no face lets see (most hair is behind other hair).

    Whatever a blendshape moves stays.
    """
    stage = Stage(kernel, head, size, Gradient((0, 0, 0), (0, 0, 0)))
    memory = Memory.of(stage.image)
    random = np.random.default_rng(0)
    for k, (pitch, yaw, roll) in enumerate([(0, 0, 0), *product((-LARGEST, LARGEST), repeat=3)]):
        weights = random.random(COUNT, np.float32) * (k > 0)
        stage.set(memory, weights, Pose(pitch, yaw, roll, k % 2))
        memory("probe", stage.at)
    marks = stage.out(memory, sum(len(part.triangles) for part in head.parts)).astype(bool)
    edges = np.cumsum([0, *(len(part.triangles) for part in head.parts)])
    kept = [
        _only(part, marks[begin:end]) for part, begin, end in zip(head.parts, edges, edges[1:], strict=False)
    ]
    return replace(head, parts=tuple(part for part in kept if len(part.triangles)))


def _only(part: Part, marks: NDArray[np.bool_]) -> Part:
    """The triangles that are marked, move, or let light through, and the vertices they need."""
    if part.cover == BLENDED:
        return part
    moves = np.zeros(len(part.positions), bool)
    for shape in part.shapes.values():
        moves[shape.vertices] = True
    triangles = part.triangles[marks | moves[part.triangles].any(1)]
    used, corners = np.unique(triangles, return_inverse=True)
    place = np.full(len(moves), -1)
    place[used] = np.arange(len(used))
    shapes = {}
    for index, shape in part.shapes.items():
        there = place[shape.vertices] >= 0
        shapes[index] = Shape(place[shape.vertices][there].astype(np.uint32), shape.moves[there])
    return replace(
        part,
        positions=part.positions[used],
        normals=part.normals[used],
        triangles=corners.reshape(-1, 3).astype(np.uint32),
        shapes=shapes,
        tint=part.tint[used],
        light=part.light[used],
        uv=None if part.uv is None else part.uv[used],
    )


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


def _scene(image: Image, head: Head, size: Size, background: Background) -> raster.Scene:
    width, height = size
    painted = background.paint(width, height)
    pixels, coarse = _padded(painted), _padded(_coarse(_coarse(painted, 0), 1))
    seen, centre = framed(head.subject, width / height)
    eyes = head.subject.eyes
    distance = seen / 2 / tan(radians(FIELD_OF_VIEW / 2))
    parts = (raster.Part * len(head.parts))(*(_part(image, part, head) for part in head.parts))
    triangles, bands, columns = 0, -(-height // BAND), -(-width // TILE)
    for part in parts:
        part.number, triangles = triangles, triangles + part.triangles
    return raster.Scene(
        parts=len(parts),
        triangles=triangles,
        width=width,
        height=height,
        stride=pixels.shape[1],
        coarse_stride=coarse.shape[1],
        tone_scale=(TONES - 1) / BRIGHTEST,
        brightest=TONES - 1,
        part=image.put(parts),
        order=image.put(_nearest_first(head)),
        rig=_rig(head),
        camera=(eyes[0], centre, eyes[2] + distance),
        focal=height / seen * distance,
        pivot=head.pivot,
        tone=image.put(_tones()),
        background=image.put(pixels),
        coarse_background=image.put(coarse),
        coarse=image.room(coarse.nbytes),
        now=image.put(np.tile(np.array([width, 0], np.int32), (bands * columns, 1))),
        before=image.room(bands * columns * 8),
        last=image.put(np.array([-1], np.int32)),
        cells=image.room((BAND * TILE + 4) * 32),
        hits=image.room(BAND * TILE * 4 + 64),
        visible=image.room(triangles * 12),
        sorted=image.room(triangles * bands * 4),
        ends=image.room(bands * 4),
        chosen=image.room(triangles * columns * 4),
        limits=image.room(columns * 4),
        out=image.room(max(width * height * 3, triangles)),
    )


def _padded(pixels: Picture) -> NDArray[np.uint8]:
    """Opaque, with an even number of rows, and of columns a multiple of four."""
    height, width = pixels.shape[:2]
    padded = np.full((height + height % 2, -(-width // 4) * 4, 4), 255, np.uint8)
    padded[:height, :width, :3] = pixels
    return padded


def _coarse(pixels: Picture, axis: int) -> Picture:
    """Three samples in the place of four, and one more, as `raster.c` enlarges them."""
    side = pixels.shape[axis]
    at = (np.arange(3 * -(-side // 4) + 1) * 4 / 3).clip(max=side - 1)
    low = at.astype(int)
    share = np.expand_dims(at - low, [1 - axis, 2])
    first, second = pixels.take(low, axis), pixels.take((low + 1).clip(max=side - 1), axis)
    return np.asarray(first + (second.astype(float) - first) * share + 0.5, np.uint8)


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
        wrap=part.wrap,
        cutoff=part.cutoff,
        rest=image.put(np.hstack([part.positions, part.normals])),
        follow=image.put(_follow(part, head.neck)),
        screen=image.room(count * 16),
        shade=image.put(shade),
        indices=image.put(part.triangles),
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


def _follow(part: Part, neck: tuple[float, float]) -> NDArray[np.float32]:
    """float32[n, 2]: the head turns as one, the neck follows less and less down to the collar; and the chest,
    which breathes."""
    height = part.positions[:, 1]
    turn = _smoothstep(*neck, height) * part.follows
    return np.stack([turn, 1 - _smoothstep(neck[0] - 0.02, neck[1], height)], 1).astype(np.float32)


def _smoothstep(begin: float, end: float, x: NDArray[np.float32]) -> NDArray[np.float64]:
    t = np.clip((x.astype(np.float64) - begin) / (end - begin), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _nearest_first(head: Head) -> NDArray[np.uint32]:
    """All triangles, as `raster.c` numbers them. What is in front is drawn first, so that little is drawn in
    vain, but what is about as deep in the order of the file, where neighbours share vertices and texels; what
    lets light through is drawn last and from behind."""
    numbers, depths, through = [], [], []
    for k, part in enumerate(head.parts):
        depth = part.positions[part.triangles, 2].mean(1)
        numbers.append(np.arange(len(depth), dtype=np.uint32) | k << PART_SHIFT)
        depths.append(depth if part.cover == BLENDED else -np.round(depth / LAYER))
        through.append(np.full(len(depth), part.cover == BLENDED))
    return np.concatenate(numbers)[np.lexsort((np.concatenate(depths), np.concatenate(through)))]


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
