"""The option `--captions`: when each word is said, as WebVTT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from visavis.captions import cues, webvtt
from visavis.errors import VisavisError
from visavis.events import Word
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


def beside(save: Callable[[Track], None], out: Path) -> Callable[[Track], None]:
    """`save`, which also writes the captions of the track."""
    check(out)

    def both(track: Track) -> None:
        save(track)
        write(out, track.words)

    return both
