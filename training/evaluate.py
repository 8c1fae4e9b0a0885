"""How well the shipped engine moves the mouth for voices whose phonemes are known and that it never heard.

python -m training.evaluate CACHE MODEL...

Every cell has one figure for each model, so that the spread over seeds is seen.
"""

from __future__ import annotations

import pickle
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from bench.lipsync.gates import Counts, count
from bench.lipsync.scores import speaking
from bench.lipsync.sizes import MEASURED

from training.speech import Utterance
from visavis.arkit import INDEX, Weights
from visavis.faces.net import NATIVE, NetEngine

VALIDATED = 2
"""Files of Kokoro's held-out voices that training has looked at; they are not scored."""
GATES: dict[str, Callable[[Counts], list[bool]]] = {
    "p b m closed": lambda counts: counts.closed,
    "others apart": lambda counts: counts.parted,
    "rounded": lambda counts: counts.rounded,
    "open": lambda counts: counts.opened,
    "silent": lambda counts: counts.silent,
}


def spoken(cache: Path) -> Iterator[tuple[str, Utterance]]:
    """The test utterances, with the name of their engine."""
    for folder in sorted((cache / "speech").glob("*-test")):
        name = folder.name.removesuffix("-test")
        for shard in sorted(folder.glob("*.pickle"))[VALIDATED if name == "kokoro" else 0 :]:
            for one in pickle.loads(shard.read_bytes()):
                yield name, one


def score(engine: NetEngine, said: list[tuple[str, Utterance]]) -> tuple[dict[str, Counts], Weights]:
    """The gates by engine and by language, and all frames in which there is speech."""
    counts: defaultdict[str, Counts] = defaultdict(Counts)
    moving = []
    for name, one in said:
        pcm = one.samples.tobytes()
        face = engine.open(NATIVE, 0).feed(pcm, None, True)
        moving.append(face[speaking(pcm, len(face))])
        for key in (name, f"{name} {one.language}"):
            counts[key].add(count(one.phonemes, face))
    return counts, np.concatenate(moving)


def row(name: str, found: list[Counts]) -> str:
    """One line of the table of gates."""
    cells = []
    for hits in GATES.values():
        shares = [f"{100 * np.mean(hits(counts)):.0f}" for counts in found if hits(counts)]
        cells.append(f"{' '.join(shares)} % of {len(hits(found[0]))}" if shares else "-")
    return f"| {name} | {' | '.join(cells)} | {' '.join(f'{counts.skew:+.1f}' for counts in found)} |"


def main(cache: Path, models: list[Path]) -> None:
    said = list(spoken(cache))
    scores = [score(NetEngine(model.read_bytes()), said) for model in models]
    print(", ".join(map(str, models)))
    print(f"\n| voices | {' | '.join(GATES)} | onset, frames |\n|{'---|' * (len(GATES) + 2)}")
    for key in sorted(scores[0][0]):
        print(row(key, [counts[key] for counts, _ in scores]))
    print("\n| shape | 95th percentile | measured |\n|---|---|---|")
    for shape, wanted in MEASURED.items():
        largest = (f"{np.percentile(moving[:, INDEX[shape]], 95):.3f}" for _, moving in scores)
        print(f"| {shape} | {' '.join(largest)} | {wanted:.2f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
