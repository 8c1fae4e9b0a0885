"""Tracks as files: one module per format, chosen by the end of the file's name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from visavis.cast import built_in
from visavis.errors import VisavisError
from visavis.exports import csv_livelink, glb, json_track, npz
from visavis.track import Track

Writer = Callable[[Track, BinaryIO], None]

WRITERS: Mapping[str, Writer] = {
    ".json": json_track.write,
    ".jsonl": json_track.write_lines,
    ".npz": npz.write,
    ".csv": csv_livelink.write,
}
READERS: Mapping[str, Callable[[Path], Track]] = {
    ".json": json_track.read,
    ".jsonl": json_track.read_lines,
    ".npz": npz.read,
}
HEADS = ".glb"


def writer(path: Path, head: Path | None = None) -> Writer:
    """What writes a track as `path` says; `head`: see `Track.save`. Raises `VisavisError` if nothing does."""
    suffix = path.suffix.lower()
    if suffix == HEADS:
        return partial(glb.write, head=glb.Head.load(head or built_in()))
    if suffix not in WRITERS:
        known = ", ".join([*WRITERS, HEADS])
        raise VisavisError("BAD_FORMAT", f"{path}: a track can be written as {known}.")
    if head is not None:
        raise VisavisError("BAD_FORMAT", f"{path}: only a .glb has a head in it; {head} cannot go there.")
    return WRITERS[suffix]


def save(track: Track, path: Path, head: Path | None = None) -> None:
    """See `Track.save`."""
    write_whole(path, partial(writer(path, head), track))


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """A file that is complete or not there: an existing one stays until the new one is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as file:
                write(file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise VisavisError("CANNOT_WRITE", f"Cannot write {path}: {error.strerror}.") from error


def load(path: Path) -> Track:
    """See `Track.load`."""
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise VisavisError("BAD_FORMAT", f"{path}: a track can be read from {', '.join(READERS)}.")
    try:
        return read(path)
    except OSError as error:
        raise VisavisError("CANNOT_READ", f"Cannot read {path}: {error.strerror or error}.") from error
    except VisavisError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise VisavisError("BAD_TRACK", f"{path} is not a face track: {error}.") from error
