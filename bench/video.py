"""What pictures cost: processor time of one frame, drawn and encoded in every way, on one core.

    python -m bench.video
    python -m bench.video --size 512x512 --avatar daniel

The built-in voice says a few sentences, and the avatar is drawn at 25 frames a second. Processor time is of
all threads, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.report import Row, table
from visavis import plugins
from visavis.audio import BYTES, Media
from visavis.cli.video import parse_size
from visavis.say import speak
from visavis.settings import Settings
from visavis.track import Track
from visavis.video import Picture, Renderer, jpeg
from visavis.video.files import Frame, write_video
from visavis.video.film import cut
from visavis.video.webm import LiveWebM

Result = TypeVar("Result")
FPS = 25
TEXT = "Hello! My name is Mia. Pleased to meet you. Would you like to hear about the blue moon over the pool?"
FILES = (
    ("WebM", "a.webm", False),
    ("MP4", "a.mp4", False),
    ("MP4, H.264", "a.mp4", True),
    ("GIF", "a.gif", False),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.video", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--avatar", default="mia")
    options = parser.parse_args()
    size = parse_size(options.size)
    spoken = speak(TEXT, Settings())
    track = Track(spoken.media.fps, spoken.weights).at(FPS)
    engine = plugins.load("renderers", "software", Settings())
    drawn, pictures = _draw(engine.renderer(options.avatar, size), track, antialias=True)
    plain, _ = _draw(engine.renderer(options.avatar, size), track, antialias=False)
    rate = spoken.media.rate
    frames = list(zip(pictures, cut([spoken.pcm], rate, FPS, len(pictures)), strict=True))
    rows = [Row("draw", "ms", drawn), Row("draw, no anti-aliasing", "ms", plain)]
    rows += _jpeg(pictures) + _live(frames, rate, np.array(drawn)) + _idle(frames, rate)
    rows += [row for what, name, h264 in FILES for row in _file(what, name, h264, frames, rate)]
    print(table(f"{options.avatar}, {options.size}, {len(pictures)} frames, processor time", rows))


def _draw(renderer: Renderer, track: Track, *, antialias: bool) -> tuple[list[float], list[Picture]]:
    view = renderer.open()
    view.render(track.weights[0], 0.0, antialias)  # the first picture fills caches
    pictures: list[Picture] = []
    times = []
    for number, weights in enumerate(track.weights):
        picture, spent = _timed(partial(view.render, weights, number / FPS, antialias))
        pictures.append(picture)
        times.append(spent)
    return times, pictures


def _jpeg(pictures: list[Picture]) -> list[Row]:
    encoded = [_timed(partial(jpeg.encode, picture)) for picture in pictures]
    return [
        Row("JPEG", "ms", [spent for _, spent in encoded]),
        Row("JPEG", "kB", [len(content) / 1000 for content, _ in encoded]),
    ]


def _live(frames: list[Frame], rate: int, drawn: np.ndarray) -> list[Row]:
    times, size = _stream(frames, rate)
    return [
        Row("live WebM", "ms", times),
        Row("live WebM, drawing included", "ms", list(np.array(times) + drawn)),
        Row("live WebM", "kbit/s", [size * 8 * FPS / len(frames) / 1000]),
    ]


def _idle(frames: list[Frame], rate: int) -> list[Row]:
    silence = bytes(Media(rate, FPS).edge(1) * BYTES)
    times, size = _stream([(frames[0][0], silence)] * len(frames), rate)
    return [
        Row("live WebM, nothing moves", "ms", times),
        Row("live WebM, nothing moves", "kbit/s", [size * 8 * FPS / len(frames) / 1000]),
    ]


def _stream(frames: list[Frame], rate: int) -> tuple[list[float], int]:
    height, width = frames[0][0].shape[:2]
    live, size = LiveWebM(FPS, width, height, rate), 0
    times = []
    for picture, pcm in frames:
        segments, spent = _timed(partial(live.feed, pcm, [picture]))
        times.append(spent)
        size += sum(len(segment.data) for segment in segments)
    return times, size


def _file(what: str, name: str, h264: bool, frames: list[Frame], rate: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        _, spent = _timed(partial(write_video, path, frames, FPS, rate, h264=h264))
        kilobits = path.stat().st_size * 8 * FPS / len(frames) / 1000
    return [Row(f"{what} file", "ms", [spent / len(frames)]), Row(f"{what} file", "kbit/s", [kilobits])]


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What comes of `work`, and its milliseconds of processor time, of all threads."""
    began = time.process_time()
    result = work()
    return result, (time.process_time() - began) * 1000


if __name__ == "__main__":
    main()
