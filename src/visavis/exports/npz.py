"""Tracks as NumPy arrays: `fps`, `names`, `weights`, and `pcm` and `rate` when the sound is kept."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from visavis.exports.json_track import by_name
from visavis.track import Sound, Track


def write(track: Track, file: BinaryIO) -> None:
    arrays: dict[str, Any] = {
        "fps": np.float64(track.fps),
        "names": np.array(track.names),
        "weights": track.weights,
        "source": np.array(track.source),
    }
    if track.sound is not None:
        arrays |= {"pcm": np.frombuffer(track.sound.pcm, "<i2"), "rate": np.int64(track.sound.rate)}
    np.savez_compressed(file, **arrays)


def read(path: Path) -> Track:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            sound = None
            if "pcm" in arrays:
                sound = Sound(arrays["pcm"].astype("<i2").tobytes(), int(arrays["rate"]))
            weights = by_name(arrays["names"].tolist(), arrays["weights"].astype(np.float32))
            return Track(float(arrays["fps"]), weights, source=str(arrays["source"]), sound=sound)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(str(error)) from error
