"""One picture as JPEG."""

from __future__ import annotations

import numpy as np
import simplejpeg

from visavis.video import Picture

LARGEST = 8192
"""Pixels of width or height."""


def encode(picture: Picture, quality: int = 80) -> bytes:
    """`picture`, RGB uint8[h, w, 3], as a JPEG file; `quality` 1 to 100.

    Raises `ValueError` for anything else.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture is uint8[h, w, 3], not {picture.dtype}{list(picture.shape)}")
    if not 0 < min(picture.shape[:2]) <= max(picture.shape[:2]) <= LARGEST:
        raise ValueError(
            f"a picture has 1 to {LARGEST} pixels a side, not {picture.shape[1]}x{picture.shape[0]}"
        )
    if not 1 <= quality <= 100:
        raise ValueError(f"a JPEG's quality is 1 to 100, not {quality}")
    pixels = np.ascontiguousarray(picture)
    # Half the colour resolution: what the eye does not see, and what video does too.
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
    return jpeg
