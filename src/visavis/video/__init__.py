"""The avatar as pictures: an engine chosen by name, a renderer per avatar and size, a light view per viewer.

Engines come in through the entry points `visavis.renderers`; each names a function
`load(settings) -> RenderEngine`. All of it is blocking and runs in worker threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.arkit import Weights
from visavis.video.background import Background

Picture = NDArray[np.uint8]
"""uint8[height, width, 3]: RGB as displays show it, rows from the top."""
Size = tuple[int, int]
"""Width and height in pixels."""


class View(Protocol):
    """One avatar's life in pictures; one call at a time."""

    def render(self, weights: Weights, seconds: float, antialias: bool = True) -> Picture:
        """The picture of one moment, the caller's own: float32[52] weights, seconds since the view began.
        Without `antialias` it is a plainer one that takes half as long.

        Equal weights, seconds and seed give equal bytes. Weights that are no numbers count as 0.
        """
        ...


class Renderer(Protocol):
    """One avatar at one size before one background; immutable, shared by threads."""

    size: Size

    def open(self, seed: int = 0) -> View:
        """`seed` decides how the head sways."""
        ...


class RenderEngine(Protocol):
    """What a plug-in loads; shared by threads."""

    def renderer(self, avatar: str | Path, size: Size, background: Background | None = None) -> Renderer:
        """A renderer for one of the package's avatars or somebody's GLB file; the same one when asked again.

        Without a background it is the avatar's own. Raises `VisavisError`.
        """
        ...
