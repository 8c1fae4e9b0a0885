from __future__ import annotations

import io

import av
import numpy as np
import pytest
from tests.video.pictures import numbered

from visavis.video import Picture, jpeg


def decoded(data: bytes) -> Picture:
    with av.open(io.BytesIO(data), "r", format="mjpeg") as container:
        (frame,) = container.decode(video=0)
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def test_a_picture_comes_back_with_its_size_and_colours() -> None:
    picture = numbered(0b1011001110, 320, 241)
    seen = decoded(jpeg.encode(picture))
    assert seen.shape == picture.shape
    assert np.abs(seen.astype(int) - picture).mean() < 2.5


def test_red_is_red() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    assert decoded(jpeg.encode(red))[16, 16] == pytest.approx([255, 0, 0], abs=3)


def test_better_quality_is_more_bytes_and_fewer_errors() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    small, large = jpeg.encode(picture, 30), jpeg.encode(picture, 95)
    assert len(small) < len(large)
    assert (
        np.abs(decoded(large) - picture.astype(int)).mean()
        < np.abs(decoded(small) - picture.astype(int)).mean()
    )


def test_a_part_of_a_picture_needs_no_copy_first() -> None:
    picture = numbered(3, 320, 240)
    assert jpeg.encode(picture[::2, ::-1]) == jpeg.encode(picture[::2, ::-1].copy())


@pytest.mark.parametrize(
    ("picture", "quality", "reason"),
    [
        (np.zeros((8, 8, 4), np.uint8), 80, "uint8"),
        (np.zeros((8, 8), np.uint8), 80, "uint8"),
        (np.zeros((8, 8, 3), np.float32), 80, "float32"),
        (np.zeros((0, 8, 3), np.uint8), 80, "8x0"),
        (np.zeros((1, 8193, 3), np.uint8), 80, "8193x1"),
        (np.zeros((8, 8, 3), np.uint8), 0, "1 to 100"),
        (np.zeros((8, 8, 3), np.uint8), 101, "1 to 100"),
    ],
)
def test_what_is_no_picture_is_refused(picture: Picture, quality: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        jpeg.encode(picture, quality)
