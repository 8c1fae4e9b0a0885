"""The option `--captions`: when each word is said, as WebVTT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from visavis.captions import cues, webvtt
from visavis.cli.animate import progress_bar
from visavis.errors import VisavisError
from visavis.events import Word
from visavis.recognition import recognise
from visavis.settings import Settings
from visavis.track import Track

ENDING = ".vtt"


def check(out: Path) -> None:
    """Everything that can be wrong before the work begins. Raises `VisavisError`."""
    if out.suffix.lower() != ENDING:
        raise VisavisError("BAD_FORMAT", f"Captions are WebVTT: {out} must end in {ENDING}.")
    if not out.parent.is_dir():
        raise VisavisError("CANNOT_WRITE", f"Cannot write {out}: there is no folder {out.parent}.")


def write(out: Path, words: Sequence[Word]) -> None:
    """Write the captions of `words`. Raises `VisavisError`."""
    if not words:
        raise VisavisError("NO_WORDS", f"{out}: this voice does not tell when its words are said.")
    try:
        out.write_text(webvtt(cues(words)), encoding="utf-8")
    except OSError as error:
        raise VisavisError("CANNOT_WRITE", f"Cannot write {out}: {error.strerror}.") from error


def beside(
    save: Callable[[Track], None], out: Path, heard: Sequence[Word] | None = None
) -> Callable[[Track], None]:
    """`save`, which also writes the captions of the words that were `heard`, or else of the track."""

    def both(track: Track) -> None:
        save(track)
        write(out, track.words if heard is None else heard)

    return both


def hear(source: Path, settings: Settings) -> tuple[Word, ...]:
    """The words of a recording. Raises `VisavisError` when nobody speaks in it."""
    with progress_bar(source) as show:
        words = recognise(source, settings, show)
    if not words:
        raise VisavisError("NO_WORDS", f"{source}: no words were heard in it, so there are no captions.")
    return words
