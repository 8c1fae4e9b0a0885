"""Whole files: every picture and sample in its place, streamed, complete or not there."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from tests.video.pictures import decode, number, numbered, shift, voice

from visavis.errors import VisavisError
from visavis.video.files import PALETTE_PICTURES, Frame, write_video

RATE, FPS, COUNT = 24_000, 25, 70
SAID = voice(COUNT * RATE // FPS, RATE)


def frames(count: int = COUNT, fps: int = FPS) -> Iterator[Frame]:
    for k in range(count):
        yield numbered(k), SAID[k * RATE // fps : (k + 1) * RATE // fps].tobytes()


def codecs(path: Path) -> list[str]:
    with av.open(str(path), "r") as container:
        return [stream.codec_context.name for stream in container.streams]


@pytest.mark.parametrize(
    ("name", "h264", "expected"),
    [
        ("a.webm", False, ["vp9", "opus"]),
        ("a.MP4", False, ["vp9", "opus"]),
        ("a.mp4", True, ["h264", "aac"]),
    ],
)
def test_pictures_and_sound_come_back_in_step(
    name: str, h264: bool, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / name
    write_video(path, frames(), FPS, RATE, h264=h264)
    assert codecs(path) == expected
    pictures, times, heard, rate = decode(path)
    assert [number(picture) for _, picture in pictures] == list(range(COUNT))
    assert [time for time, _ in pictures] == pytest.approx([k / FPS for k in range(COUNT)], abs=0.001)
    assert np.abs(pictures[40][1].astype(int) - numbered(40)).mean() < 4
    reference = soxr.resample(SAID.astype(np.float64), RATE, 48_000)
    assert times[0] == 0
    assert rate == 48_000
    assert abs(shift(heard, reference)) <= 1
    # An MP4 says in its edit list where the sound ends; the decoder gives the rest of the last packet too.
    assert len(reference) <= len(heard) < len(reference) + 1024
    assert abs(shift(heard[len(reference) - 24_000 : len(reference)], reference[-24_000:])) <= 1


def test_the_index_of_an_mp4_comes_before_its_content(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames(5), FPS, RATE)
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("fps", [12, 25, 30, 50])
def test_a_gif_has_every_picture_at_its_time(fps: int, tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    write_video(path, frames(PALETTE_PICTURES + 15, fps), fps, RATE)
    assert codecs(path) == ["gif"]
    assert path.read_bytes()[:6] == b"GIF89a"
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in path.read_bytes(), "it repeats for ever"
    pictures, _, _, _ = decode(path)
    assert [number(picture) for _, picture in pictures] == list(range(PALETTE_PICTURES + 15))
    assert [time for time, _ in pictures] == pytest.approx(
        [k / fps for k in range(PALETTE_PICTURES + 15)], abs=0.0051
    )
    # Dithered with 255 colours: close to the picture in the mean of small squares.
    seen, meant = (p[32:96].reshape(8, 8, 24, 8, 3).mean((1, 3)) for p in (pictures[60][1], numbered(60)))
    assert np.abs(seen - meant).mean() < 4


@pytest.mark.parametrize("name", ["a.webm", "a.gif"])
def test_pictures_are_not_kept(name: str, tmp_path: Path) -> None:
    alive: list[weakref.ref[object]] = []
    most = 0

    def coming() -> Iterator[Frame]:
        nonlocal most
        for picture, pcm in frames(70):
            alive.append(weakref.ref(picture))
            yield picture, pcm
            gc.collect(0)
            most = max(most, sum(reference() is not None for reference in alive))

    write_video(tmp_path / name, coming(), FPS, RATE)
    assert most <= (PALETTE_PICTURES + 2 if name.endswith("gif") else 12)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif"])
def test_a_file_is_complete_or_not_there(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"what was there before")

    def broken() -> Iterator[Frame]:
        yield from frames(60)
        raise RuntimeError("the renderer failed")

    with pytest.raises(RuntimeError, match="the renderer failed"):
        write_video(path, broken(), FPS, RATE)
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "fps", "h264", "reason"),
    [
        ("a.avi", 25, False, "can be written as .mp4, .webm, .gif"),
        ("a", 25, False, "can be written as"),
        ("a.webm", 25, True, "only an .mp4"),
        ("a.mp4", 0, False, "whole number from 1 to 60"),
        ("a.mp4", 29.97, False, "whole number"),
        ("a.mp4", float("nan"), False, "whole number"),
        ("a.mp4", 61, False, "whole number from 1 to 60"),
        ("a.gif", 60, False, "whole number from 1 to 50"),
        ("nowhere/a.mp4", 25, False, "Cannot write"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    name: str, fps: float, h264: bool, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(VisavisError, match=reason):
        write_video(tmp_path / name, frames(2), fps, RATE, h264=h264)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_no_video_can_have_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(VisavisError, match="even sides"):
        write_video(tmp_path / "a.mp4", [(np.zeros((95, 192, 3), np.uint8), b"")], FPS, RATE)
    with pytest.raises(VisavisError, match="nothing to show"):
        write_video(tmp_path / "a.mp4", [], FPS, RATE)
    with pytest.raises(ValueError, match="a picture is"):
        write_video(tmp_path / "a.mp4", [(numbered(0), b""), (numbered(0, 320), b"")], FPS, RATE)
    assert list(tmp_path.iterdir()) == []


def test_a_film_may_be_silent_or_heard_longer_than_seen(tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", ((numbered(k), b"") for k in range(10)), FPS, RATE)
    assert len(decode(tmp_path / "silent.mp4")[0]) == 10
    write_video(tmp_path / "long.webm", [(numbered(0), SAID.tobytes())], FPS, RATE)
    pictures, _, heard, _ = decode(tmp_path / "long.webm")
    assert len(pictures) == 1
    assert len(heard) == 2 * len(SAID)
