"""The project's own track format, as one JSON document or as lines of it (docs/track.schema.json)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from visavis.arkit import COUNT, INDEX, NAMES, Weights
from visavis.events import Phoneme, Word
from visavis.track import Track

FORMAT, VERSION = "visavis-track", 1
DECIMALS = 4
BLOCK = 4096
"""Frames that are turned into text at once."""


def write(track: Track, file: BinaryIO) -> None:
    """One document."""
    file.write(orjson.dumps(_header(track))[:-1] + b',"frames":[')
    separator = b"\n"
    for frames in _blocks(track):
        for frame in frames:
            file.write(separator + orjson.dumps(frame, option=orjson.OPT_SERIALIZE_NUMPY))
            separator = b",\n"
    file.write(b"\n]}\n")


def write_lines(track: Track, file: BinaryIO) -> None:
    """A line with everything but the frames, then one line a frame."""
    file.write(orjson.dumps(_header(track)) + b"\n")
    for frames in _blocks(track):
        for frame in frames:
            file.write(orjson.dumps(frame, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")


def read(path: Path) -> Track:
    document = orjson.loads(path.read_bytes())
    return _track(document, document["frames"])


def read_lines(path: Path) -> Track:
    header, *frames = (orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip())
    return _track(header, frames)


def _header(track: Track) -> dict[str, Any]:
    header = {"format": FORMAT, "version": VERSION, "fps": track.fps, "names": track.names}
    optional = {
        "source": track.source,
        "text": track.text,
        "words": [asdict(word) for word in track.words],
        "phonemes": None if track.phonemes is None else [asdict(phoneme) for phoneme in track.phonemes],
    }
    return header | {name: value for name, value in optional.items() if value}


def _blocks(track: Track) -> list[Weights]:
    rounded = np.round(track.weights, DECIMALS)
    return [rounded[first : first + BLOCK] for first in range(0, len(rounded), BLOCK)]


def _track(header: dict[str, Any], frames: list[list[float]]) -> Track:
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise ValueError(f"it does not say format {FORMAT!r}, version {VERSION}")
    phonemes = header.get("phonemes")
    return Track(
        header["fps"],
        by_name(header["names"], np.array(frames, np.float32).reshape(len(frames), len(header["names"]))),
        tuple(Word(**word) for word in header.get("words", ())),
        None if phonemes is None else tuple(Phoneme(**phoneme) for phoneme in phonemes),
        header.get("text", ""),
        header.get("source", ""),
    )


def by_name(names: list[str], values: Weights) -> Weights:
    """Columns named in any order in the order of ARKit's names; shapes that are not there are zero."""
    weights = np.zeros((len(values), COUNT), np.float32)
    for column, name in enumerate(names):
        if name not in INDEX:
            raise ValueError(f"{name!r} is not one of the {len(NAMES)} ARKit blendshapes")
        weights[:, INDEX[name]] = values[:, column]
    return weights
