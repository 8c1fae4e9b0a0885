"""Sound and pictures as a whole file: MP4, WebM or GIF, by the end of its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from visavis.audio import Resampler
from visavis.errors import VisavisError
from visavis.exports import write_whole
from visavis.video import Picture
from visavis.video.matroska import BT601, LIMITED_RANGE, SRGB_PRIMARIES, SRGB_TRANSFER
from visavis.video.yuv import Yuv

Frame = tuple[Picture, bytes]
"""A picture and the mono PCM16 that is heard from when it appears."""

HIGHEST_FPS: Mapping[str, int] = {".mp4": 60, ".webm": 60, ".gif": 50}
"""Frames a second by kind of file; browsers show faster GIFs slowly."""
SOUND_RATE = 48_000
"""Hz in the file."""
BITS_PER_PIXEL = 0.12
"""Of each picture, on average: 900 kbit/s at 640x480 and 25 pictures a second."""
KEYFRAME_SECONDS = 2
"""A player can jump to every second keyframe without decoding what comes before it."""
PALETTE_PICTURES = 50
"""A GIF's 256 colours are chosen from so many pictures at its beginning, which wait in memory meanwhile."""
EVERY = 3
RGB = av.VideoFormat("rgb24")


@dataclass(frozen=True, slots=True)
class Codecs:
    """Names and options as FFmpeg has them."""

    pictures: str
    sound: str
    options: Mapping[str, str] = field(default_factory=dict)


VP9 = Codecs("libvpx-vp9", "libopus", {"deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0"})
H264 = Codecs("libx264", "aac", {"preset": "veryfast"})

CONTAINERS: Mapping[str, dict[str, str]] = {
    ".mp4": {"movflags": "+faststart"},  # the index first, so that a browser need not fetch the end
    ".webm": {},
    ".gif": {},
}


def check(path: Path, fps: float, *, h264: bool = False) -> None:
    """Raises `VisavisError` when `path` is no video that can be written like that."""
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise VisavisError("BAD_FORMAT", f"{path}: a video can be written as {', '.join(CONTAINERS)}.")
    if not path.parent.is_dir():
        raise VisavisError("CANNOT_WRITE", f"Cannot write {path}: there is no folder {path.parent}.")
    if h264 and suffix != ".mp4":
        raise VisavisError("BAD_FORMAT", f"{path}: only an .mp4 can be in H.264.")
    if h264 and H264.pictures not in av.codecs_available:
        raise VisavisError("NO_H264", f"{path}: this installation of PyAV has no encoder for H.264 (x264).")
    highest = HIGHEST_FPS[suffix]
    if not 1 <= fps <= highest or fps != int(fps):
        raise VisavisError(
            "BAD_FPS", f"{path}: {fps:g} frames a second; choose a whole number from 1 to {highest}."
        )


def write_video(
    path: str | Path, frames: Iterable[Frame], fps: int, rate: int, *, h264: bool = False
) -> None:
    """Write `frames` to `path` as they come, `fps` a second, their sound at `rate` Hz; a GIF is silent.

    Pictures have even sides and one size. MP4 and WebM are in VP9 and Opus, which are free for everybody;
    `h264` chooses H.264 and AAC for an MP4 that older players understand, with the encoder x264 (GPL) in the
    FFmpeg that PyAV brings. An existing file is only replaced by a complete one. Raises `VisavisError`.
    """
    path = Path(path)
    check(path, fps, h264=h264)
    coming = iter(frames)
    first = next(coming, None)
    if first is None:
        raise VisavisError("NO_PICTURES", f"Cannot write {path}: there is nothing to show.")
    height, width = first[0].shape[:2]
    try:
        yuv = Yuv(width, height)
    except ValueError as error:
        raise VisavisError("BAD_SIZE", f"Cannot write {path}: {error}.") from error
    every = chain([first], coming)

    def write(file: BinaryIO) -> None:
        # By its name: the index of an MP4 is moved to the front by reading the file again.
        suffix = path.suffix.lower()
        with av.open(file.name, "w", suffix[1:], container_options=CONTAINERS[suffix]) as container:
            if suffix == ".gif":
                _write_gif(container, (picture for picture, _ in every), fps, width, height)
            else:
                _write_film(container, every, fps, rate, yuv, H264 if h264 else VP9)

    write_whole(path, write)


def _write_film(
    container: Any, frames: Iterable[Frame], fps: int, rate: int, yuv: Yuv, codecs: Codecs
) -> None:
    pictures = _pictures(container, codecs.pictures, fps, yuv.width, yuv.height, "yuv420p")
    pictures.codec_context.gop_size = KEYFRAME_SECONDS * fps
    pictures.options = dict(codecs.options)
    sound = container.add_stream(codecs.sound, rate=SOUND_RATE, layout="mono")
    resample, heard = Resampler(rate, SOUND_RATE), 0

    def hear(pcm: bytes) -> None:
        nonlocal heard
        samples = np.frombuffer(pcm, "<i2")
        if len(samples):
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, heard, Fraction(1, SOUND_RATE)
            container.mux(sound.encode(frame))
            heard += len(samples)

    for number, (picture, pcm) in enumerate(frames):
        container.mux(pictures.encode(_timed(yuv(picture), number, fps)))
        hear(resample(pcm))
    hear(resample(b"", last=True))
    container.mux(pictures.encode(None))
    container.mux(sound.encode(None))


def _write_gif(container: Any, pictures: Iterator[Picture], fps: int, width: int, height: int) -> None:
    stream = _pictures(container, "gif", fps, width, height, "pal8")
    first = list(islice(pictures, PALETTE_PICTURES))
    palette = _palette(first, fps, width, height)
    graph = av.filter.Graph()
    source = _buffer(graph, width, height, RGB, fps)
    colours = _buffer(graph, palette.width, palette.height, palette.format, fps)
    # An ordered pattern stands still where the picture does; only what changes is stored.
    dither = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle")
    sink = graph.add("buffersink")
    source.link_to(dither, 0, 0)
    colours.link_to(dither, 0, 1)
    dither.link_to(sink)
    graph.configure()
    colours.push(palette)
    colours.push(None)
    for number, picture in enumerate(chain(first, pictures)):
        source.push(_rgb(picture, number, fps))
        container.mux(stream.encode(_timed(sink.pull(), number, fps)))
    container.mux(stream.encode(None))


def _palette(pictures: list[Picture], fps: int, width: int, height: int) -> Any:
    """The 255 colours that show `pictures` best, and one for what has not changed."""
    graph = av.filter.Graph()
    source = _buffer(graph, width, height, RGB, fps)
    chosen, sink = graph.add("palettegen"), graph.add("buffersink")
    source.link_to(chosen)
    chosen.link_to(sink)
    graph.configure()
    for number, picture in enumerate(pictures[::EVERY]):
        source.push(_rgb(picture, number, fps))
    source.push(None)
    return _timed(sink.pull(), 0, fps)


def _buffer(graph: av.filter.Graph, width: int, height: int, pixels: av.VideoFormat, fps: int) -> Any:
    return graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, fps))


def _pictures(container: Any, codec: str, fps: int, width: int, height: int, pixels: str) -> Any:
    stream = container.add_stream(codec, rate=fps)
    stream.width, stream.height, stream.pix_fmt = width, height, pixels
    stream.codec_context.thread_count = 1
    if pixels == "yuv420p":
        stream.codec_context.bit_rate = round(BITS_PER_PIXEL * width * height * fps)
        stream.codec_context.color_range, stream.codec_context.colorspace = LIMITED_RANGE, BT601
        stream.codec_context.color_primaries = SRGB_PRIMARIES
        stream.codec_context.color_trc = SRGB_TRANSFER
    return stream


def _rgb(picture: Picture, number: int, fps: int) -> Any:
    return _timed(av.VideoFrame.from_ndarray(picture, format="rgb24"), number, fps)


def _timed(frame: Any, number: int, fps: int) -> Any:
    frame.pts, frame.time_base = number, Fraction(1, fps)
    return frame
