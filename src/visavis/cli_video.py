"""`visavis animate IN OUT` and `visavis say TEXT OUT` when OUT is a video."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from visavis import plugins
from visavis.animation import animate_file, load_face
from visavis.audio import to_pcm
from visavis.cli_animate import keep, progress_bar
from visavis.errors import VisavisError
from visavis.media_files import open_sound
from visavis.say import speak
from visavis.settings import Settings
from visavis.track import Track
from visavis.video import RenderEngine, Renderer, Size
from visavis.video import background as backgrounds
from visavis.video.files import CONTAINERS, check
from visavis.video.film import write_film


@dataclass(frozen=True, slots=True)
class Look:
    """The options: `size` like 640x480, `background` like the setting; without them the settings'."""

    fps: float = 30
    size: str | None = None
    background: str | None = None
    h264: bool = False


def is_video(out: Path, **only_for_videos: object) -> bool:
    """Whether `out` is a video. Raises `VisavisError` for options that only a video has when it is none."""
    if out.suffix.lower() in CONTAINERS:
        return True
    given = [name for name, value in only_for_videos.items() if value]
    if given:
        raise VisavisError("BAD_FORMAT", f"{out}: --{given[0]} is only for a video: {', '.join(CONTAINERS)}.")
    return False


def animate(source: Path, out: Path, settings: Settings, look: Look) -> str:
    """The avatar speaks the recording `source` in the video `out`; returns a sentence about what was written.

    The recording is read twice: once to be listened to, once to be heard. Raises `VisavisError`.
    """
    keep(source, out)
    renderer = _renderer(out, settings, look)
    face = load_face(settings.face.engine, settings)
    began, seed = time.perf_counter(), settings.assistant.seed
    with progress_bar(source) as show:
        track = animate_file(source, look.fps, face, life=settings.face.life, seed=seed, progress=show)
    with open_sound(source) as sound, progress_bar(out) as show:
        pieces: Iterator[bytes] = (to_pcm(samples) for samples in sound.pieces())
        write_film(out, track, pieces, sound.rate, renderer, seed=seed, h264=look.h264, progress=show)
    return _written(out, track, began)


def say(text: str, out: Path, settings: Settings, look: Look, *, by_ear: bool = False) -> str:
    """The avatar says `text` in the video `out`; as `animate`."""
    renderer = _renderer(out, settings, look)
    spoken = speak(text, settings, by_ear=by_ear)
    track = Track(spoken.media.fps, spoken.weights).at(look.fps)
    began = time.perf_counter()
    with progress_bar(out) as show:
        seed, rate = settings.assistant.seed, spoken.media.rate
        write_film(out, track, [spoken.pcm], rate, renderer, seed=seed, h264=look.h264, progress=show)
    return _written(out, track, began)


def parse_size(text: str) -> Size:
    """`640x480` as width and height in pixels. Raises `VisavisError` when it is no size."""
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip().lower())
    if not found:
        raise VisavisError("BAD_SIZE", f"The size {text!r} is not like 640x480, width and height in pixels.")
    return int(found[1]), int(found[2])


def _renderer(out: Path, settings: Settings, look: Look) -> Renderer:
    """What draws the video; everything that can be wrong before it is drawn is found here."""
    check(out, look.fps, h264=look.h264)
    if not out.parent.is_dir():
        raise VisavisError("CANNOT_WRITE", f"Cannot write {out}: there is no folder {out.parent}.")
    width, height = parse_size(look.size) if look.size else (settings.video.width, settings.video.height)
    if width % 2 or height % 2:
        raise VisavisError("BAD_SIZE", f"A video has even sides, not {width}x{height}.")
    engine: RenderEngine = plugins.load("renderers", settings.video.renderer, settings)
    behind = backgrounds.parse(look.background or settings.video.background)
    return engine.renderer(settings.avatar, (width, height), behind)


def _written(out: Path, track: Track, began: float) -> str:
    elapsed = time.perf_counter() - began
    return f"{out}: {track.seconds:.2f} s, {len(track)} frames, {track.seconds / elapsed:.1f} times real time"
