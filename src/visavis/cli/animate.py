"""`visavis animate IN OUT`: a recording in, a face track out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from visavis import exports
from visavis.animation import animate_file, load_face
from visavis.errors import VisavisError
from visavis.settings import Settings
from visavis.track import Track
from visavis.track_stats import stats, table
from visavis.video.files import CONTAINERS

LONGEST_FILE = 1_000_000
"""Characters that are read of a transcript, more than can be aligned."""
MISSING = 0.5
"""Seconds of sound less than the file announces that are worth saying."""


class Transcript(NamedTuple):
    """What is said in a recording, and the code of its language."""

    text: str
    language: str


def read_text(given: str | None, language: str) -> Transcript | None:
    """The option `--text`: a text itself, `@FILE`, or the path of a .txt file; None when it was not given.

    Raises `VisavisError` when the file cannot be read or holds no text.
    """
    if given is None:
        return None
    if not given.startswith("@") and not (given.endswith(".txt") and len(given.split()) == 1):
        return Transcript(given, language)
    path = Path(given.removeprefix("@"))
    try:
        with path.open(encoding="utf-8-sig") as file:
            return Transcript(file.read(LONGEST_FILE), language)
    except OSError as error:
        raise VisavisError("CANNOT_READ", f"Cannot read the text {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise VisavisError("NOT_TEXT", f"{path} is not a text in UTF-8.") from error


def run(
    source: Path,
    out: Path,
    save: Callable[[Track], None],
    settings: Settings,
    *,
    fps: float,
    show_stats: bool,
    transcript: Transcript | None = None,
) -> str:
    """Animate `source` and `save` it as `out`, with a progress bar; returns a sentence about that.

    Everything that can be wrong without listening is found before listening. Raises `VisavisError`.
    """
    face = load_face(settings.face.engine, settings)
    began = time.perf_counter()
    announced: float | None = None
    with progress_bar(source) as show:

        def progress(done: float, total: float | None) -> None:
            nonlocal announced
            announced = total
            show(done, total)

        life, seed = settings.face.life, settings.assistant.seed
        text, language = transcript or (None, "")
        track = animate_file(
            source, fps, face, life=life, seed=seed, text=text, language=language, progress=progress
        )
    save(track)
    elapsed = time.perf_counter() - began
    if show_stats:
        Console().print(table(stats(track), elapsed))
    done = written(out, track, elapsed)
    if announced is not None and track.seconds < announced - MISSING:
        done += f"\n{source} should have {announced:.2f} s of sound; the rest is missing or damaged."
    return done


def saver(source: Path, out: Path, head: Path | None) -> Callable[[Track], None]:
    """What writes the track of `source` to `out`, into `head` if it is a .glb. Raises `VisavisError`."""
    keep(source, out)
    if head is not None:
        keep(head, out)
    if out.suffix.lower() not in (tracks := (*exports.WRITERS, exports.HEADS)):
        kinds = f"{', '.join(tracks)}, or as a video: {', '.join(CONTAINERS)}"
        raise VisavisError("BAD_FORMAT", f"{out}: a face can be written as {kinds}.")
    if not out.parent.is_dir():
        raise VisavisError("CANNOT_WRITE", f"Cannot write {out}: there is no folder {out.parent}.")
    write = exports.writer(out, head)
    return lambda track: exports.write_whole(out, partial(write, track))


def written(out: Path, track: Track, elapsed: float) -> str:
    """A sentence about a track or a video, and the seconds it took."""
    speed = track.seconds / elapsed
    times = f"{speed:.0f}" if speed >= 10 else f"{speed:.1f}"
    return f"{out}: {track.seconds:.2f} s, {len(track)} frames, {times} times real time"


def keep(source: Path, out: Path) -> None:
    """Raises `VisavisError` when `out` would overwrite `source`."""
    if out.exists() and source.exists() and out.samefile(source):
        raise VisavisError("CANNOT_WRITE", f"{out} would overwrite {source}; give the track another name.")


@contextmanager
def progress_bar(source: Path) -> Iterator[Callable[[float, float | None], None]]:
    """A bar on a terminal's standard error, and nothing elsewhere."""
    console = Console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(source.name), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total and max(total, done))
