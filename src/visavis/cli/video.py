"""`visavis animate IN OUT` and `visavis say TEXT OUT` when OUT is a video."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from visavis import plugins
from visavis.audio import to_pcm
from visavis.cli import captions as cli_captions
from visavis.cli.animate import keep, progress_bar, written
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


def is_video(out: Path, into: Path | None = None, **only_for_videos: object) -> bool:
    """Whether `out` is a video. Raises `VisavisError` for options that go with the other kind of file."""
    if out.name.startswith(".") and not out.suffix:
        named = out.with_name(f"face{out.name}")
        raise VisavisError("BAD_FORMAT", f"{out} is only the end of a name; a whole one is {named}.")
    if out.suffix.lower() in CONTAINERS:
        if into is not None:
            message = f"{out}: --into is only for a .glb; whose face is in a video says --avatar {into}."
            raise VisavisError("BAD_FORMAT", message)
        return True
    given = " and ".join(f"--{name}" for name, value in only_for_videos.items() if value)
    if given:
        raise VisavisError("BAD_FORMAT", f"{out}: only for a video ({', '.join(CONTAINERS)}): {given}.")
    return False


def saver(source: Path, out: Path, settings: Settings, look: Look) -> Callable[[Track], None]:
    """What films a track of the recording `source`, with its sound, as `out`. Raises `VisavisError`."""
    keep(source, out)
    renderer = _renderer(out, settings, look)

    def save(track: Track) -> None:
        with open_sound(source) as sound, progress_bar(out) as show:
            pieces = (to_pcm(samples) for samples in sound.pieces())
            seed = settings.assistant.seed
            write_film(out, track, pieces, sound.rate, renderer, seed=seed, h264=look.h264, progress=show)

    return save


def say(
    text: str,
    out: Path,
    settings: Settings,
    look: Look,
    *,
    by_ear: bool = False,
    captions: Path | None = None,
) -> str:
    """The avatar says `text` in the video `out`; returns a sentence about it. Raises `VisavisError`."""
    renderer = _renderer(out, settings, look)
    spoken = speak(text, settings, by_ear=by_ear)
    track = Track(spoken.media.fps, spoken.weights).at(look.fps)
    began = time.perf_counter()
    with progress_bar(out) as show:
        seed, rate = settings.assistant.seed, spoken.media.rate
        write_film(out, track, [spoken.pcm], rate, renderer, seed=seed, h264=look.h264, progress=show)
    if captions is not None:
        cli_captions.write(captions, spoken.words)
    return written(out, track, time.perf_counter() - began)


def parse_size(text: str) -> Size:
    """`640x480` as width and height in pixels. Raises `VisavisError` when it is no size."""
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip().lower())
    if not found:
        raise VisavisError("BAD_SIZE", f"The size {text!r} is not like 640x480, width and height in pixels.")
    return int(found[1]), int(found[2])


def _renderer(out: Path, settings: Settings, look: Look) -> Renderer:
    """What draws the video; everything that can be wrong before it is drawn is found here."""
    check(out, look.fps, h264=look.h264)
    width, height = parse_size(look.size) if look.size else (settings.video.width, settings.video.height)
    if width % 2 or height % 2:
        raise VisavisError("BAD_SIZE", f"A video has even sides, not {width}x{height}.")
    engine: RenderEngine = plugins.load("renderers", settings.video.renderer, settings)
    behind = backgrounds.parse(look.background or settings.video.background)
    return engine.renderer(settings.avatar, (width, height), behind)
