"""How long a picture takes: processor time of one thread, while a face talks and the head sways.

A core beside busy ones is slower: on a machine that does other things too, look at the fastest picture.

.venv/bin/python -m bench.render [--avatar mia ...] [--size 640x480 ...] [--frames 200]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bench.report import Row, table
from visavis.arkit import INDEX, Weights, neutral
from visavis.faces.life import Life
from visavis.video import RenderEngine, Size
from visavis.video.renderer import Software

FPS = 25
AVATARS = ("mia", "daniel", "amara", "kenji", "elena", "pip")


def talking(frames: int) -> Weights:
    """A face that speaks about four syllables a second, with everything that life adds: float32[n, 52]."""
    weights = neutral(frames)
    seconds = np.arange(frames) / FPS
    weights[:, INDEX["jawOpen"]] = 0.3 + 0.3 * np.sin(2 * np.pi * 4 * seconds)
    weights[:, INDEX["mouthFunnel"]] = 0.2 + 0.2 * np.sin(2 * np.pi * 1.3 * seconds)
    weights[:, INDEX["mouthClose"]] = 0.1
    return Life(seed=0, fps=FPS).apply(weights, 0, np.zeros(frames, np.float32))


def measure(engine: RenderEngine, avatar: str, size: Size, antialias: bool, frames: int) -> Row:
    view = engine.renderer(avatar, size).open()
    faces = talking(frames)
    view.render(faces[0], 0.0, antialias)  # memory is made at the first
    times = []
    for k, weights in enumerate(faces):
        began = time.thread_time()
        view.render(weights, k / FPS, antialias)
        times.append((time.thread_time() - began) * 1000)
    quality = "" if antialias else ", not anti-aliased"
    return Row(f"{avatar}, {size[0]}x{size[1]}{quality}, fastest {min(times):.1f}", "ms", times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--avatar", nargs="+", default=AVATARS)
    options.add_argument("--size", nargs="+", default=["640x480"])
    options.add_argument("--frames", type=int, default=200)
    chosen = options.parse_args()
    engine = Software()
    sizes = [(int(width), int(height)) for width, height in (size.split("x") for size in chosen.size)]
    rows = [
        measure(engine, avatar, size, antialias, chosen.frames)
        for avatar in chosen.avatar
        for size in sizes
        for antialias in (True, False)
    ]
    print(table("Processor time of a picture", rows))


if __name__ == "__main__":
    main()
