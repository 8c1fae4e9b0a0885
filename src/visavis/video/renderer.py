"""The renderer that needs no GPU: a head's triangles by the processor, lit like the browser lights them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from visavis.arkit import COUNT, INDEX, Weights
from visavis.errors import VisavisError
from visavis.settings import Settings
from visavis.video import Picture, Size
from visavis.video.background import Background
from visavis.video.head import Head, load_head
from visavis.video.head_motion import Pose, Sway, keep_looking
from visavis.video.raster import Kernel, Memory
from visavis.video.raster_stage import Stage, seen

LARGEST = 1920
"""Pixels of either side."""
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
        self._stage = Stage(kernel, seen(kernel, head, size), size, background or head.background)
        self._free: list[Memory] = []

    def open(self, seed: int = 0) -> SoftwareView:
        return SoftwareView(self, seed)

    def draw(self, weights: Weights, pose: Pose, antialias: bool = True) -> Picture:
        """uint8[height, width, 3] of a face at 52 weights in 0..1, the head held like that."""
        width, height = self.size
        with self._memory() as memory:
            self._stage.set(memory, weights, pose)
            memory("draw", self._stage.at, int(antialias))
            return self._stage.out(memory, width * height * 3).reshape(height, width, 3)

    @contextmanager
    def _memory(self) -> Iterator[Memory]:
        """A memory nobody else uses: as many exist as threads ever drew at once."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = Memory.of(self._stage.image)
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
    safe: Weights = np.fmin(np.fmax(weights.astype(np.float32), 0.0), 1.0)  # no number becomes 0
    safe[MOUTH_CLOSE] = min(safe[MOUTH_CLOSE], safe[JAW_OPEN])
    return safe


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
