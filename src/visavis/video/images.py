"""Still images from files and out of models, decoded within bounds."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from visavis.errors import VisavisError

MAX_PIXELS = 4096 * 4096
FORMATS = "image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,mjpeg"


def read_image(content: bytes, where: str) -> NDArray[np.uint8]:
    """uint8[height, width, 4]: red, green, blue, alpha. Raises `VisavisError`, which names it by `where`."""
    import av

    bad = VisavisError("BAD_IMAGE", f"{where} is not an image that can be read; use a PNG, JPEG or WebP.")
    try:
        with av.open(BytesIO(content), "r", options={"format_whitelist": FORMATS}) as container:
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise VisavisError(
                    "BAD_IMAGE",
                    f"{where} has {stream.width} by {stream.height} pixels; at most {MAX_PIXELS} are read.",
                )
            stream.thread_type = "NONE"
            frame = next(container.decode(stream))
            if frame.width * frame.height > MAX_PIXELS:
                raise bad
            pixels = np.asarray(frame.to_ndarray(format="rgba"), np.uint8)
    except (av.FFmpegError, StopIteration, IndexError, ValueError, OSError) as error:
        raise bad from error
    return pixels


def scaled(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """uint8[height, width, channels] of 3 or 4 channels, filtered."""
    import av

    if pixels.shape[:2] == (height, width):
        return pixels
    form = "rgba" if pixels.shape[2] == 4 else "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=form)
    changed = frame.reformat(width, height, interpolation="AREA")
    return np.asarray(changed.to_ndarray(format=form), np.uint8)
