"""Stills of avatars: what a page shows before the head is there."""

from __future__ import annotations

import io
from pathlib import Path

import av

from visavis.arkit import neutral
from visavis.video import Picture, RenderEngine, Size

STILLS: dict[str, tuple[Size, Size]] = {
    "poster": ((1280, 640), (1280, 640)),
    "thumb": ((336, 336), (256, 256)),
}
"""How large the person is drawn, and how much of the middle, from just below the top, is kept."""


def still(engine: RenderEngine, avatar: str | Path, kind: str) -> bytes:
    """The face at rest as WebP; `kind` is one of `STILLS`. Raises `VisavisError`."""
    size, (width, height) = STILLS[kind]
    picture = engine.renderer(avatar, size).open().render(neutral(1)[0], 0.0)
    top, left = (size[1] - height) // 16, (size[0] - width) // 2
    return _webp(picture[top : top + height, left : left + width])


def _webp(picture: Picture) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="webp") as container:
        stream = container.add_stream("libwebp", options={"quality": "84", "compression_level": "6"})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return file.getvalue()
