"""Draws the stills of the avatars that come with Visavis: poster.webp and thumb.webp beside each head.

.venv/bin/python tools/avatar_stills.py
"""

from __future__ import annotations

import io

import av

from visavis.arkit import neutral
from visavis.exports.glb import built_in
from visavis.video import Picture, Size
from visavis.video.head_motion import Pose
from visavis.video.renderer import Software

AVATARS = ("mia", "daniel", "amara", "kenji", "elena", "pip")
STILLS: dict[str, tuple[Size, Size]] = {
    "poster": ((1280, 640), (1280, 640)),
    "thumb": ((336, 336), (256, 256)),
}
"""How large the person is drawn, and how much of the middle, from just below the top, is kept."""


def webp(picture: Picture) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="webp") as container:
        stream = container.add_stream("libwebp", options={"quality": "84", "compression_level": "6"})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def main() -> None:
    engine = Software()
    for name in AVATARS:
        for still, (size, (width, height)) in STILLS.items():
            picture = engine.renderer(name, size).draw(neutral(1)[0], Pose())
            top, left = (size[1] - height) // 16, (size[0] - width) // 2
            path = built_in(name).with_name(f"{still}.webp")
            path.write_bytes(webp(picture[top : top + height, left : left + width]))
            print(f"{path.parent.name}/{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
