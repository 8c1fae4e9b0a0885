"""How well the shipped engine moves the mouth for voices whose phonemes are known and that it never heard.

python -m training.evaluate CACHE MODEL...
"""

from __future__ import annotations

import pickle
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench.lipsync.gates import Counts, count

from training.speech import Utterance
from visavis.arkit import INDEX
from visavis.faces.net import NATIVE, NetEngine

MEASURED = {
    "jawOpen": 0.24, "mouthPucker": 0.28, "mouthFunnel": 0.32, "mouthSmileLeft": 0.31,
    "mouthLowerDownLeft": 0.36, "mouthUpperUpLeft": 0.32,
}  # fmt: skip
"""95th percentiles in the running speech of a real face capture."""
VALIDATED = 2
"""Files of Kokoro's held-out voices that training has looked at; they are not scored."""


def spoken(cache: Path) -> Iterator[tuple[str, Utterance]]:
    """The test utterances, with the name of their engine."""
    for folder in sorted((cache / "speech").glob("*-test")):
        name = folder.name.removesuffix("-test")
        for shard in sorted(folder.glob("*.pickle"))[VALIDATED if name == "kokoro" else 0 :]:
            for one in pickle.loads(shard.read_bytes()):
                yield name, one


def row(name: str, counts: Counts) -> str:
    """One line of the table."""
    shares = " | ".join(
        f"{100 * np.mean(hits):.0f} % of {len(hits)}" if hits else "-"
        for hits in (counts.closed, counts.rounded, counts.opened, counts.silent)
    )
    return f"| {name} | {shares} | {counts.skew:+.1f} |"


def main(cache: Path, models: list[Path]) -> None:
    found = list(spoken(cache))
    for model in models:
        engine = NetEngine(model.read_bytes())
        counts: defaultdict[str, Counts] = defaultdict(Counts)
        faces = []
        for name, one in found:
            face = engine.open(NATIVE, 0).feed(one.samples.tobytes(), None, True)
            faces.append(face)
            for key in {name, f"{name} {one.language}"}:
                counts[key].add(count(one.phonemes, face))
        print(f"\n{model}\n\n| voices | p b m closed | rounded | open | silent | onset, frames |")
        print("|---|---|---|---|---|---|")
        for key in sorted(counts):
            print(row(key, counts[key]))
        frames = np.concatenate(faces)
        print("\n| shape | mean | 95th percentile | measured |\n|---|---|---|---|")
        for shape, wanted in MEASURED.items():
            values = frames[:, INDEX[shape]]
            print(f"| {shape} | {values.mean():.3f} | {np.percentile(values, 95):.3f} | {wanted:.2f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
