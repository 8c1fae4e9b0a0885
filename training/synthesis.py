"""Speech for training and tests, kept on disk in small files, so that it can stop and go on at any time.

python -m training.synthesis CACHE ENGINE MINUTES [test]
"""

from __future__ import annotations

import fcntl
import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from training.engines import ENGINES
from training.speech import RATE, Utterance
from training.texts import HELD_OUT

SHARD = 60.0
"""Seconds of speech in one file."""


def shard(
    engine: object, texts: dict[str, list[str]], languages: dict[str, float], seed: str
) -> list[Utterance]:
    """About `SHARD` seconds of speech; the same for the same seed."""
    random, spoken, seconds = Random(seed), [], 0.0
    while seconds < SHARD:
        [language] = random.choices(list(languages), list(languages.values()))
        for found in engine.speak(random.choice(texts[language]), language, random):  # type: ignore[attr-defined]
            spoken.append(found)
            seconds += len(found.samples) / RATE
    return spoken


@contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Whether `file` is still to be made, and by this process: several may work on one folder."""
    lock = file.with_suffix(".lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield not file.exists()


def main(cache: Path, name: str, minutes: float, test: bool) -> None:
    kind = "test" if test else "train"
    texts = json.loads((cache / "texts.json").read_text())[kind]
    folder = cache / "speech" / f"{name}-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    engine = ENGINES[name](cache, test)
    languages = dict(engine.languages)
    if test:  # every language alike, and, where the engine has them, some that were never trained on
        languages = dict.fromkeys(languages, 1.0)
        if name == "espeak":
            languages |= dict.fromkeys(HELD_OUT, 1.0)
    for number in range(round(minutes * 60 / SHARD)):
        file = folder / f"{number:04}.pickle"
        with claimed(file) as mine:
            if mine:
                spoken = shard(engine, texts, languages, f"{name}-{kind}-{number}")
                part = file.with_suffix(".part")
                part.write_bytes(pickle.dumps(spoken))
                part.rename(file)
                print(file.parent.name, file.stem, len(spoken), "utterances", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), "test" in sys.argv[4:])
