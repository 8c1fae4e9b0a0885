"""Speech on disk -> features and labels on disk: every utterance clean, and once as it might arrive.

python -m training.features CACHE
"""

from __future__ import annotations

import pickle
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training import augment
from training.labels import Labels, labels
from training.speech import Utterance, Wave
from visavis.faces.mel import SAMPLES, Features, MelStream

BREATH = 24
"""Most frames of near-silence before an utterance."""
OPUS = (0.9, 0.95, 0.97)
"""Compression of the codec that every `CODED`th of the changed copies goes through."""
CODED = 4


def clean(spoken: Utterance, random: Generator) -> tuple[Features, Labels]:
    """The features of an utterance after a breath, and its labels."""
    pause = int(random.integers(0, BREATH + 1))
    wave = np.concatenate([np.zeros(pause * SAMPLES, np.float32), spoken.wave()])
    wave += random.standard_normal(len(wave), np.float32) * np.float32(3e-4 * random.random())
    target = labels(spoken)
    return _features(wave, np.concatenate([np.zeros((pause, target.shape[1]), np.float32), target]))


def changed(spoken: list[Utterance], random: Generator) -> list[tuple[Features, Labels]]:
    """The utterances in rooms, on lines and by bodies that differ."""
    waves = [one.wave() for one in spoken]
    targets: list[Labels] = []
    heard: list[Wave] = []
    for one, wave in zip(spoken, waves, strict=True):
        factor = augment.speed(random)
        heard.append(augment.distorted(augment.played(wave, factor), waves, random))
        targets.append(labels(one, factor))
    coded = [i for i in range(len(heard)) if i % CODED == 0]
    compression = float(random.choice(OPUS))
    for index, wave in zip(coded, augment.opus([heard[i] for i in coded], compression), strict=True):
        heard[index] = wave
    return [_features(wave, target) for wave, target in zip(heard, targets, strict=True)]


def _features(wave: Wave, target: Labels) -> tuple[Features, Labels]:
    frames = min(len(wave) // SAMPLES, len(target))
    return MelStream()(wave[: frames * SAMPLES]), target[:frames]


def prepare(shard: Path, into: Path) -> None:
    """The features of one file of utterances; `lengths` are the frames of each."""
    spoken = pickle.loads(shard.read_bytes())
    random = np.random.default_rng(zlib.crc32(f"{shard.parent.name}/{shard.stem}".encode()))
    pairs = [clean(one, random) for one in spoken] + changed(spoken, random)
    part = into.with_suffix(".part.npz")
    np.savez(
        part,
        mel=np.concatenate([mel for mel, _ in pairs]).astype(np.float16),
        labels=np.concatenate([target for _, target in pairs]).astype(np.float16),
        lengths=np.array([len(mel) for mel, _ in pairs]),
        languages=np.array([one.language for one in spoken] * 2),
    )
    part.rename(into)


class Heard(NamedTuple):
    """What files of features hold: of all frames, and of each utterance."""

    mel: NDArray[np.float16]
    labels: NDArray[np.float16]
    lengths: NDArray[np.intp]
    engines: NDArray[np.str_]
    languages: NDArray[np.str_]


def read(files: list[Path]) -> Heard:
    parts = [np.load(file) for file in files]
    engines = [file.parent.name.removesuffix("-train") for file in files]
    return Heard(
        np.concatenate([part["mel"] for part in parts]),
        np.concatenate([part["labels"] for part in parts]),
        np.concatenate([part["lengths"] for part in parts]),
        np.repeat(engines, [len(part["lengths"]) for part in parts]),
        np.concatenate([part["languages"] for part in parts]),
    )


def main(cache: Path) -> None:
    for shard in sorted((cache / "speech").glob("*-train/*.pickle")):
        into = cache / "features" / shard.parent.name / f"{shard.stem}.npz"
        into.parent.mkdir(parents=True, exist_ok=True)
        if not into.exists():
            prepare(shard, into)
            print(into.parent.name, into.stem, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
