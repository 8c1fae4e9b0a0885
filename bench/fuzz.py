"""A coverage-guided fuzzer for every wire: messages that reach new code are kept, and changed further.

    pip install 'atheris>=3'
    python -m bench.fuzz widget --messages 1000000

WIRE is one of widget, api, frames (what clients send), page (bodies of its requests), remote, openai, gemini
(what agents elsewhere send). The messages go into the real server in this process, or into the real agent of
a session; only the network is left out. It runs until so many messages were taken, or until something happens
that must not: an exception that nobody handled, an error without a documented code, a session that ended.
Then it writes down the messages since the connection began, and `--again FILE` tells them once more. What it
has learned is kept in the corpus, build/fuzz/WIRE, for the next time. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("widget", "api", "frames", "page", "remote", "openai", "gemini")
SIZE = 4096
"""Bytes of a script."""
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 63, 1e308, 0.5, "", "x", "\ud800", "A" * 300, [], {}, [[]], {"type": "text"},
    json.loads("[" * 300 + "]" * 300), {"\ud800": 1},
)  # fmt: skip
"""What a field may be instead."""
REPORT = 20_000
"""Messages between two lines of progress."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("wire", choices=NAMES)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--again", type=Path, help="tell the messages of a finding once more")
    options = parser.parse_args()
    import atheris  # only this program needs it

    with atheris.instrument_imports(include=["visavis.wires", "visavis.server", "visavis.agents"]):
        from tests.chaos import targets
        from tests.chaos.seeds import SEEDS

        fuzzer = Fuzzer(options.wire, options.messages, targets)
    if options.again is not None:
        fuzzer.again(options.again.read_bytes())
        return
    corpus = options.corpus / options.wire
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[options.wire]):
        (corpus / f"seed-{number}").write_bytes(targets.written(seed))
    words = corpus.with_suffix(".dict")
    texts = b" ".join(targets.written(seed) for seed in SEEDS[options.wire]).decode(errors="replace")
    words.write_text("\n".join(_words(texts)), encoding="utf-8")
    arguments = [sys.argv[0], f"-max_len={SIZE}", f"-dict={words}", "-verbosity=0", str(corpus)]
    atheris.Setup(arguments, fuzzer.take, custom_mutator=_mutate)
    atheris.Fuzz()


class Fuzzer:
    """Feeds scripts to a wire; ends the process after so many messages."""

    def __init__(self, wire: str, messages: int, targets: Any) -> None:
        self._wire, self._wanted, self._targets = wire, messages, targets
        self._tell_wire = targets.Teller(wire)
        self._taken, self._began, self._cpu = 0, time.monotonic(), time.process_time()
        self._told: list[bytes] = []
        """The scripts since the connection began, at least."""

    def take(self, data: bytes) -> None:
        self._told = [*self._told[-self._targets.LONGEST :], data]
        before = self._taken
        try:
            self._taken += self._tell_wire(self._targets.script(data))
        except Exception as finding:
            file = Path(f"finding-{self._wire}-{self._taken}.txt")
            file.write_bytes(b"\n".join(self._told))
            print(f"{self._wire}: {finding!r}\nafter {self._taken} messages, see {file}", flush=True)
            os._exit(1)  # libFuzzer would end it with its own words
        if self._taken // REPORT > before // REPORT or self._taken >= self._wanted:
            self._tell()
        if self._taken >= self._wanted:
            os._exit(0)

    def again(self, data: bytes) -> None:
        """The messages of a finding, all in the order that they had."""
        lines = data.split(b"\n")
        most = self._targets.MOST
        for begin in range(0, len(lines), most):
            self._tell_wire(self._targets.script(b"\n".join(lines[begin : begin + most])))
        print(f"{self._wire}: {len(lines)} messages, and nothing happened")

    def _tell(self) -> None:
        seconds, cpu = time.monotonic() - self._began, time.process_time() - self._cpu
        print(
            f"{self._wire}: {self._taken} messages in {seconds:.0f} s ({cpu:.0f} s of processor time), "
            "nothing unhandled",
            flush=True,
        )


def _mutate(data: bytes, most: int, seed: int) -> bytes:
    """Half of the changes are libFuzzer's, of bytes; the others keep a message JSON and change a value."""
    import atheris  # whose `Mutate` is another one once it runs

    luck = random.Random(seed)
    lines = data.split(b"\n")
    at = luck.randrange(len(lines))
    choice = luck.random()
    if choice < 0.1:
        lines.insert(at, luck.choice(lines))
    elif choice < 0.2:
        luck.shuffle(lines)
    elif choice < 0.5 and (message := _object(lines[at])) is not None:
        _change(message, luck)
        lines[at] = json.dumps(message).encode()
    else:
        return bytes(atheris.Mutate(data, most))
    return b"\n".join(lines)[:most]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _change(message: dict[str, Any], luck: random.Random) -> None:
    """One value somewhere in it."""
    key = luck.choice(list(message))
    inner = message[key]
    if isinstance(inner, dict) and inner and luck.random() < 0.7:
        _change(inner, luck)
    elif luck.random() < 0.2:
        del message[key]
    else:
        message[key] = luck.choice(VALUES)


def _words(texts: str) -> list[str]:
    """A dictionary in libFuzzer's form: the names and values in `texts`."""
    return sorted({f'"{word}"' for word in re.findall(r'"([\w./+-]{1,40})"', texts)})


if __name__ == "__main__":
    main()
