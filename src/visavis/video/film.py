"""The talking avatar as a video file: a track and its sound, drawn frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from visavis.audio import BYTES
from visavis.events import Drawing
from visavis.track import Track
from visavis.video import Renderer
from visavis.video.drawn import DrawnView
from visavis.video.files import Frame, check, write_video

Progress = Callable[[float, float | None], None]
"""Told the seconds done and the seconds in all."""


def write_film(
    path: str | Path,
    track: Track,
    sound: Iterable[bytes],
    rate: int,
    renderer: Renderer,
    *,
    seed: int = 0,
    h264: bool = False,
    progress: Progress | None = None,
    drawings: Sequence[Drawing | None] = (),
) -> None:
    """Write the face of `track` with its `sound`, pieces of mono PCM16 at `rate` Hz, to `path`.

    As many frames a second as the track has. `seed` decides how the head sways. `drawings` has one for each
    frame when the face engine draws itself, whose renderer `renderer` is then. Memory is needed for the
    track, not for sound or pictures. Raises `VisavisError`; see `write_video`.
    """
    check(Path(path), track.fps, h264=h264)
    fps, view = int(track.fps), renderer.open(seed)

    def frames() -> Iterator[Frame]:
        heard = cut(sound, rate, fps, len(track))
        for number, (weights, pcm) in enumerate(zip(track.weights, heard, strict=True)):
            drawing = drawings[number] if drawings else None
            if drawing is not None and isinstance(view, DrawnView):
                yield view.show(drawing, number / fps), pcm
            else:
                yield view.render(weights, number / fps), pcm
            if progress is not None:
                progress((number + 1) / fps, track.seconds)

    write_video(path, frames(), fps, rate, h264=h264)


def cut(sound: Iterable[bytes], rate: int, fps: int, count: int) -> Iterator[bytes]:
    """The same sound in `count` pieces, each as long as its frame; the last has all that is left."""
    pieces, waiting = iter(sound), b""
    for number in range(count - 1):
        size = ((number + 1) * rate // fps - number * rate // fps) * BYTES
        while len(waiting) < size and (piece := next(pieces, None)) is not None:
            waiting += piece
        yield waiting[:size]
        waiting = waiting[size:]
    if count:
        yield b"".join([waiting, *pieces])
