"""Media files as other programs write them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]
SOURCE_RATE = 24_000
PIECE = 4_800


def write(
    path: Path,
    samples: Samples,
    codec: str,
    rate: int = 48_000,
    *,
    layout: str = "mono",
    format: str | None = None,
    video: bool = False,
    delay: float = 0.0,
) -> Path:
    """`samples` (24 kHz) encoded; with `video`, beside a picture that begins `delay` seconds earlier."""
    sound = soxr.resample(samples, SOURCE_RATE, rate).astype(np.float32)
    with av.open(str(path), "w") as container:
        picture = (
            container.add_stream("mpeg4" if path.suffix == ".mp4" else "libvpx", rate=25) if video else None
        )
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = layout
        if format is not None:
            stream.format = format
        if picture is not None:
            _film(container, picture, len(sound) / rate + delay)
        converter = av.AudioResampler(stream.format, layout, rate)
        offset = round(delay * rate)
        for first in range(0, len(sound), PIECE):
            frame = av.AudioFrame.from_ndarray(sound[None, first : first + PIECE], "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, first + offset, Fraction(1, rate)
            _mux(container, stream, converter.resample(frame))
        _mux(container, stream, converter.resample(None))
        container.mux(stream.encode(None))
    return path


def without_packets(source: Path, path: Path, first: int, end: int) -> Path:
    """A copy in which the packets from `first` to `end` are missing and the others keep their times."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(whole.streams.audio[0])
        for number, packet in enumerate(whole.demux(whole.streams.audio[0])):
            if packet.dts is not None and not first <= number < end:
                packet.stream = stream
                container.mux(packet)
    return path


def silent_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        _film(container, stream, 1.0)
    return path


def _mux(container: Any, stream: Any, frames: list[Any]) -> None:
    for frame in frames:
        container.mux(stream.encode(frame))


def _film(container: Any, stream: Any, seconds: float) -> None:
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for _ in range(round(seconds * 25)):
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
    container.mux(stream.encode(None))
