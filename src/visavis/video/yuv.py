"""RGB pictures as the frames that video encoders take."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from visavis.video import Picture

SMALLEST, LARGEST = 16, 4096
"""Pixels of width or height."""


class Yuv:
    """Pictures of one size -> frames with half the colour resolution (BT.601, limited range).

    Raises `ValueError` for a size that no encoder takes: sides are even, 16 to 4096 pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        if any(side % 2 or not SMALLEST <= side <= LARGEST for side in (width, height)):
            raise ValueError(f"video has even sides of {SMALLEST} to {LARGEST} pixels, not {width}x{height}")
        self.width, self.height = width, height
        self._shape = (height, width, 3)
        self._reformatter = VideoReformatter()

    def __call__(self, picture: Picture) -> av.VideoFrame:
        if picture.dtype != np.uint8 or picture.shape != self._shape:
            raise ValueError(
                f"a picture is uint8{list(self._shape)}, not {picture.dtype}{list(picture.shape)}"
            )
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture), format="rgb24")
        return self._reformatter.reformat(frame, format="yuv420p", threads=1)
