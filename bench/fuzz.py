"""A coverage-guided fuzzer for every wire: scripts that reach new code are kept, and changed further.

    pip install 'atheris>=3'
    python -m bench.fuzz widget --messages 1000000

WIRE is one of widget, api, frames (what clients send), page (bodies of its requests), remote, openai, gemini
(what agents elsewhere send). The messages go into the real server in this process, or into the real agent of
a session; only the network, the models and the time are left out. Each script is a conversation of its own,
on a virtual clock and in one thread. It runs until so many messages were taken, or until something happens
that must not: an exception that nobody handled, an error without a documented code, a task that does not end,
a conversation that ended by itself, or that somebody else noticed. Then it writes the script down, and
`--again FILE` tells it once more. What it has learned is kept in the corpus, build/fuzz/WIRE, for the next
time. Needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.fuzz_changes import Changes

NAMES = ("widget", "api", "frames", "page", "remote", "openai", "gemini")
OURS = ["visavis.wires", "visavis.server", "visavis.agents", "visavis.webm_reader", "visavis.json_values"]
"""What is to be reached: code that reads messages. The rest is run, but not watched."""
SIZE = 32_768
"""Bytes of a script."""
REPORT = 20_000
"""Messages between two lines of progress."""
SWEEP = 500
"""Scripts between two collections of garbage."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("wire", choices=NAMES)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--again", type=Path, help="tell the script of a finding once more")
    options = parser.parse_args()
    if options.again is not None:
        _again(options.wire, options.again.read_bytes())
        return
    import atheris  # only this program needs it

    with atheris.instrument_imports(include=OURS):
        from tests.chaos import seeds, targets, wires

    corpus = options.corpus / options.wire
    corpus.mkdir(parents=True, exist_ok=True)
    scripts = [targets.written(seed) for seed in seeds.SEEDS[options.wire]]
    for number, content in enumerate(scripts):
        (corpus / f"seed-{number}").write_bytes(content)
    words = corpus.with_suffix(".dict")
    words.write_text("\n".join(_words(b" ".join(scripts).decode(errors="replace"))), encoding="utf-8")
    changes = Changes(scripts, [act.encode() for act in seeds.ACTS[options.wire]])
    fuzzer = Fuzzer(options.wire, options.messages, targets.Teller(wires.WIRES[options.wire]()))

    def change(data: bytes, most: int, seed: int) -> bytes:
        return changes.change(data, most, seed, lambda line, size: bytes(atheris.Mutate(line, size)))

    limits = [f"-max_len={SIZE}", "-len_control=0", "-rss_limit_mb=4096", "-report_slow_units=600"]
    arguments = [sys.argv[0], *limits, f"-dict={words}", "-verbosity=0", str(corpus)]
    atheris.Setup(arguments, fuzzer.take, custom_mutator=change, custom_crossover=changes.cross)
    gc.collect()
    gc.freeze()
    gc.disable()
    atheris.Fuzz()


class Fuzzer:
    """Feeds scripts to a wire; ends the process after so many messages, or with a finding."""

    def __init__(
        self,
        wire: str,
        messages: int,
        tell: Any,
        end: Callable[[int], object] = os._exit,  # libFuzzer would end it with its own words
        folder: Path = Path(),
    ) -> None:
        self._wire, self._wanted, self._tell_wire = wire, messages, tell
        self._end, self._folder = end, folder
        self._taken, self._scripts = 0, 0
        self._began, self._cpu = time.monotonic(), time.process_time()

    def take(self, data: bytes) -> None:
        from tests.chaos.targets import script

        before = self._taken
        self._scripts += 1
        try:
            if self._scripts % SWEEP == 0:
                gc.collect()  # a task that was forgotten speaks up, and the next script hears it
            self._taken += self._tell_wire(script(data))
        except Exception as finding:
            file = self._folder / f"finding-{self._wire}-{self._taken}.txt"
            file.write_bytes(data)
            again = f"python -m bench.fuzz {self._wire} --again {file}"
            print(f"{self._wire}: {finding!r}\nafter {self._taken} messages; once more: {again}", flush=True)
            self._end(1)
        if self._taken // REPORT > before // REPORT or self._taken >= self._wanted:
            self._report()
        if self._taken >= self._wanted:
            self._end(0)

    def _report(self) -> None:
        wall, cpu = time.monotonic() - self._began, time.process_time() - self._cpu
        print(
            f"{self._wire}: {self._taken} messages in {self._scripts} conversations, {wall:.0f} s "
            f"({cpu:.0f} s of processor time), nothing unhandled",
            flush=True,
        )


def _again(wire: str, data: bytes) -> None:
    """The script of a finding, which raises what was found."""
    from tests.chaos import targets, wires

    tell = targets.Teller(wires.WIRES[wire]())
    print(f"{wire}: {tell(targets.script(data))} messages, and nothing happened")
    tell.close()


def _words(texts: str) -> list[str]:
    """A dictionary in libFuzzer's form: the names and values in `texts`."""
    return sorted({f'"{word}"' for word in re.findall(r'"([\w./+-]{1,40})"', texts)})


if __name__ == "__main__":
    main()
