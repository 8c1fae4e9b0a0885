"""The folder of one LiteAvatar avatar: its background video, where its face is, how its mouth rests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from visavis.errors import VisavisError
from visavis.faces.liteavatar_sound import PARAMETERS, Floats, wrong
from visavis.video import Picture, Size
from visavis.video.images import read_image, scaled

MOST = 150
"""Frames of the video that are used."""
REFERENCE = 384
"""Pixels of either side of the pictures that the encoder sees."""
LARGEST, SMALLEST = 1920, 24
"""Pixels of the video's sides, and of the face's."""
EDGE, BLUR = 10.0, 15.0
"""Pixels along the face's edge that stay the video's, and how softly they end."""

VIDEO = "bg_video.mp4"
Box = tuple[int, int, int, int]
"""Top, bottom, left, right in pixels."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """What is drawn upon. `frames` and references are as many."""

    folder: Path
    frames: NDArray[np.uint8]
    """uint8[n, height, width, 3]: RGB."""
    fps: float
    box: Box
    """Where the drawn face goes."""
    mask: Floats
    """float32[box height, box width, 1]: how much of the video stays, 0..1."""
    rest: Floats
    """float32[32]."""

    def references(self) -> Iterator[Picture]:
        """uint8[384, 384, 3] for each frame: the face that the encoder sees. Raises `ConfigurationError`."""
        for number in range(len(self.frames)):
            file = _reference(self.folder, number)
            yield scaled(_image(file), REFERENCE, REFERENCE)

    def place(self, seconds: float) -> int:
        """The frame at a moment: to the end of the video, then backwards, and again."""
        count = len(self.frames)
        number = int(seconds * self.fps + 1e-6) % (2 * count)
        return number if number < count else 2 * count - 1 - number

    def with_face(self, number: int, face: Floats) -> Picture:
        """A frame of the video with a face in it: float32[h, w, 3] in -1..1, RGB."""
        picture: Picture = self.frames[number].copy()
        top, bottom, left, right = self.box
        # fmin and fmax let no NaN through, which has no place in a byte.
        pixels = np.fmax(np.fmin(face * 127.5 + 127.5, 255), 0).astype(np.uint8)
        inside = picture[top:bottom, left:right]
        drawn = scaled(pixels, right - left, bottom - top)
        inside[:] = drawn + (inside.astype(np.float32) - drawn) * self.mask
        return picture


def read_avatar(folder: Path, size: Size) -> Avatar:
    """The avatar in `folder`, its video cut and scaled to `size`, width and height, around the face.

    Memory is needed for 150 pictures of that size. Raises `ConfigurationError`.
    """
    count, box, rest = describe(folder)
    frames, fps, scale, (left, top) = _video(folder / VIDEO, count, box, size)
    y1, y2, x1, x2 = (round((v - o) * scale) for v, o in zip(box, (top, top, left, left), strict=True))
    mask = _mask(y2 - y1, x2 - x1, scale)
    return Avatar(folder, frames, fps, (y1, y2, x1, x2), mask, rest)


def describe(folder: Path) -> tuple[int, Box, Floats]:
    """How many pictures of its face the avatar in `folder` has, where the face is, and how its mouth rests.
    Raises `ConfigurationError`, also when there is no video."""
    if not folder.is_dir():
        packed = folder.with_name(folder.name + ".zip")
        found = (
            f"it is not unpacked; {packed.name} is beside it"
            if packed.is_file()
            else "there is no such folder"
        )
        raise wrong(folder, found)
    count = 0
    while count < MOST and _reference(folder, count).is_file():
        count += 1
    if not count:
        raise wrong(_reference(folder, 0), "there is no such file")
    box, rest = _face_box(folder / "face_box.txt"), _pose(folder / "neutral_pose.npy")
    there(folder, VIDEO)
    return count, box, rest


def there(folder: Path, *names: str) -> None:
    """Raises `ConfigurationError` when a file is not in `folder`."""
    for name in names:
        if not (folder / name).is_file():
            raise wrong(folder / name, "there is no such file")


def cut(width: int, height: int, box: Box, size: Size) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest part of a video that has the shape of `size`, around the
    face; all of it when the face would not be whole."""
    top, bottom, left, right = box
    scale = min(width / size[0], height / size[1])
    columns, rows = min(width, round(size[0] * scale)), min(height, round(size[1] * scale))
    x = min(max(0, (left + right - columns) // 2), width - columns)
    y = min(max(0, round((top + bottom) / 2 - 0.45 * rows)), height - rows)
    if x <= left < right <= x + columns and y <= top < bottom <= y + rows:
        return x, y, columns, rows
    return 0, 0, width, height


def _video(
    file: Path, count: int, box: Box, size: Size
) -> tuple[NDArray[np.uint8], float, float, tuple[int, int]]:
    """At most `count` frames, frames a second, their scale, and where they begin in the video."""
    import av

    try:
        with av.open(str(file), "r", options={"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2"}) as container:
            stream = container.streams.video[0]
            width, height = stream.width, stream.height
            if not max(width, height) <= LARGEST:
                raise wrong(file, f"it has {width} by {height} pixels; at most {LARGEST} a side are read")
            if not (box[1] <= height and box[3] <= width):
                raise wrong(file, f"it has {width} by {height} pixels, and face_box.txt ends outside of them")
            x, y, columns, rows = cut(width, height, box, size)
            scale = min(1.0, size[0] / columns, size[1] / rows)
            frames = []
            for frame in container.decode(stream):
                whole = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                part = whole[y : y + rows, x : x + columns]
                frames.append(scaled(part, round(columns * scale), round(rows * scale)))
                if len(frames) == count:
                    break
            fps = float(stream.average_rate or 30)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise wrong(file, f"it cannot be read as a video ({error})") from error
    if not frames:
        raise wrong(file, "there is no picture in it")
    return np.stack(frames), min(max(fps, 1.0), 120.0), scale, (x, y)


def _mask(rows: int, columns: int, scale: float) -> Floats:
    edge = max(1, round(EDGE * scale))
    mask = np.ones((rows, columns), np.float32)
    mask[edge:-edge, edge:-edge] = 0
    return np.asarray(gaussian_filter(mask, BLUR * scale, mode="mirror", radius=edge), np.float32)[..., None]


def _face_box(file: Path) -> Box:
    try:
        top, bottom, left, right = (
            int(word) for word in file.read_text(encoding="utf-8").splitlines()[0].split()
        )
    except (OSError, ValueError, IndexError) as error:
        raise wrong(file, f"expected are four whole numbers: top, bottom, left, right ({error})") from error
    if min(top, left) < 0 or bottom - top < SMALLEST or right - left < SMALLEST:
        raise wrong(file, f"a face from {left},{top} to {right},{bottom} is none (top, bottom, left, right)")
    return top, bottom, left, right


def _pose(file: Path) -> Floats:
    try:
        pose = np.load(file, allow_pickle=False).astype(np.float32).ravel()
    except (OSError, ValueError, EOFError) as error:
        raise wrong(file, f"it cannot be read as an array of numbers ({error})") from error
    if pose.shape != (PARAMETERS,) or not np.isfinite(pose).all():
        raise wrong(file, f"it has {pose.size} numbers, expected {PARAMETERS}")
    return np.asarray(pose)


def _reference(folder: Path, number: int) -> Path:
    return folder / "ref_frames" / f"ref_{number:05d}.jpg"


def _image(file: Path) -> Picture:
    try:
        return read_image(file.read_bytes(), str(file))[..., :3]
    except (OSError, VisavisError) as error:
        raise wrong(file, str(error)) from error
