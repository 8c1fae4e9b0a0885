"""Pictures of face engines that draw themselves, in the place of a rendered head."""

from __future__ import annotations

import numpy as np
import structlog

from visavis.arkit import Weights
from visavis.events import Drawing
from visavis.video import Picture, Size
from visavis.video.images import scaled

_log = structlog.get_logger()


class DrawnRenderer:
    """Such an engine as a `visavis.video.Renderer`: a frame without a drawing is its idle picture."""

    def __init__(self, idle: Drawing, size: Size) -> None:
        self._idle, self.size = idle, size

    def open(self, seed: int = 0) -> DrawnView:
        return DrawnView(self._idle, self.size)


class DrawnView:
    """See `visavis.video.View`."""

    def __init__(self, idle: Drawing, size: Size) -> None:
        self._idle, self._size = idle, size
        self._last: Picture | None = None

    def render(self, weights: Weights, seconds: float, antialias: bool = True) -> Picture:
        return self.show(self._idle, seconds)

    def show(self, drawing: Drawing, seconds: float) -> Picture:
        """A drawing at the view's size; when it fails, the last picture stays, or black before the first."""
        try:
            self._last = fitted(drawing(seconds), self._size)
        except Exception:  # a plug-in may raise anything, and the stream goes on
            _log.exception("the face engine failed to draw a picture")
        if self._last is None:
            self._last = np.zeros((self._size[1], self._size[0], 3), np.uint8)
        return self._last


def fitted(picture: Picture, size: Size) -> Picture:
    """All of `picture` as large as it fits into width and height, black on both sides of it.

    Raises `ValueError` when it is none.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture is uint8[height, width, 3], not {picture.dtype}{list(picture.shape)}")
    (width, height), (rows, columns) = size, picture.shape[:2]
    if (columns, rows) == size:
        return picture
    scale = min(width / columns, height / rows)
    inside = scaled(picture, max(1, round(columns * scale)), max(1, round(rows * scale)))
    rows, columns = inside.shape[:2]
    top, left = (height - rows) // 2, (width - columns) // 2
    whole = np.zeros((height, width, 3), np.uint8)
    whole[top : top + rows, left : left + columns] = inside
    return whole
