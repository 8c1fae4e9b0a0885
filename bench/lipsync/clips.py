"""Recordings with measured curves: how a set of them is read from a folder.

A set is a folder, or a pattern such as `folder/en_*`. Every NAME.wav (16-bit PCM, any rate) in it needs
curves beside it, row k at k / fps seconds:

- NAME.npz with `bs` float[n, 52], the ARKit weights in the order of `visavis.arkit.NAMES`, or with any of the
  curves of `scores.Curves` as float[n] (a row of `gap` is enough), or with both: then the curves count and
  `bs` only tells how large movements are. An optional `fps` (30 when missing).
- NAME.csv with a header of blendshape names in any case, as Live Link Face and `visavis animate` write it,
  and one row a frame; `fps` is given on the command line.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.lipsync.scores import FPS, NAMES, Curve, Curves, curves_of
from visavis.agents.scripted import read_wav
from visavis.arkit import COUNT, INDEX, Weights

_COLUMNS = {name.lower(): index for name, index in INDEX.items()}


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording; curves and weights at `FPS`."""

    name: str
    pcm: bytes
    """PCM16 mono at 24 kHz."""
    truth: Curves
    weights: Weights | None
    """What was measured as ARKit weights, where it was."""


def read_set(where: str, fps: float) -> list[Clip]:
    """The clips of a folder or pattern in the order of their names; `fps` of curves that do not tell theirs.

    Raises `ValueError` naming the file that cannot be used.
    """
    path = Path(where)
    folder, pattern = (path, "*") if path.is_dir() else (path.parent, path.name)
    sounds = sorted(folder.glob(f"{pattern.removesuffix('.wav')}.wav"))
    if not sounds:
        raise ValueError(f"{where}: there is no WAV file.")
    return [_read(sound, fps) for sound in sounds]


def _read(sound: Path, fps: float) -> Clip:
    if (file := sound.with_suffix(".npz")).exists():
        with np.load(file, allow_pickle=False) as data:
            rate = float(data["fps"]) if "fps" in data else fps
            weights = _weights(data["bs"], file) if "bs" in data and len(data["bs"]) else None
            truth = {name: np.asarray(data[name], np.float64) for name in NAMES if name in data}
    elif (file := sound.with_suffix(".csv")).exists():
        rate, weights, truth = fps, _weights(_table(file), file), {}
    else:
        raise ValueError(f"{sound}: no curves beside it; expected {sound.stem}.npz or {sound.stem}.csv.")
    weights = None if weights is None else np.column_stack([_retimed(row, rate) for row in weights.T])
    truth = {name: _retimed(curve, rate) for name, curve in truth.items()}
    if not truth and weights is not None:
        truth = curves_of(weights)
    if "gap" not in truth:
        raise ValueError(f"{file}: holds neither weights (`bs`) nor a curve `gap`.")
    return Clip(sound.stem, read_wav(sound), truth, weights)


def _weights(values: NDArray[np.float64], file: Path) -> Weights:
    if values.ndim != 2 or values.shape[1] != COUNT:
        raise ValueError(f"{file}: weights of shape {values.shape}, expected [n, {COUNT}].")
    return np.nan_to_num(values).astype(np.float32)


def _table(file: Path) -> NDArray[np.float64]:
    """The blendshapes of a CSV file; columns that it lacks are 0."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        header, *rows = [row for row in csv.reader(lines) if row]
    values = np.zeros((len(rows), COUNT))
    for at, name in enumerate(header):
        index = _COLUMNS.get(name.strip().lower())
        if index is not None:
            values[:, index] = [float(row[at] or 0) for row in rows]
    return values


def _retimed(curve: Curve, fps: float) -> Curve:
    """A curve at `fps` -> at `FPS`."""
    if fps == FPS:
        return curve
    times = np.arange(int(len(curve) * FPS / fps)) / FPS
    result: Curve = np.interp(times, np.arange(len(curve)) / fps, curve)
    return result
