"""Scores face engines on recordings with measured curves and on speech with known phonemes.

    python -m bench.lipsync --sets ../captures '../videos/en_*' --engines net energy --plot curves.html

What a set is: bench/lipsync/clips.py. What the figures mean: docs/lipsync.md. Without --sets only speech with
known phonemes is scored: our own voice and, where it is installed, espeak-ng in several languages.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.lipsync import sizes
from bench.lipsync.clips import Clip, read_set
from bench.lipsync.plot import Chart, page
from bench.lipsync.tables import charts_of, draw, gate_rows, recordings, size_rows
from bench.lipsync.voices import espeak, hibari
from visavis.configuration import load_settings
from visavis.errors import VisavisError
from visavis.faces import FaceEngine
from visavis.plugins import load
from visavis.stages.tts_hibari import Hibari

RECORDINGS = (
    "| set | engine | gap r | closure AUC | round r | jaw mean | jaw p95 | lag |",
    "|---|---|---|---|---|---:|---:|---:|",
)
GATES = (
    "| voice | engine | p b m closed | others apart | rounded | open | silent | onset, frames |",
    "|---|---|---:|---:|---:|---:|---:|---:|",
)


def report(sets: Mapping[str, Sequence[Clip]], engines: Mapping[str, FaceEngine]) -> tuple[str, str]:
    """The tables as Markdown, and the charts as HTML."""
    parts: list[str] = []
    charts: list[Chart] = []
    if sets:
        rows, charts = recordings(sets, engines)
        parts += ["### Recordings", "", *RECORDINGS, *rows, ""]
    utterances = [*hibari(Hibari), *espeak()]
    faces = draw(utterances, engines)
    parts += ["### Phoneme gates", "", *GATES, *gate_rows(utterances, faces), ""]
    parts += ["### Size of movements in the same speech", "", *sizes.HEAD, *size_rows(utterances, faces), ""]
    return "\n".join(parts), page([*charts, *charts_of(utterances, faces)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lipsync", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sets", nargs="*", default=[], metavar="SET", help="folders or patterns")
    parser.add_argument("--engines", nargs="+", default=["phonemes", "net", "energy"], metavar="NAME")
    parser.add_argument("--fps", type=float, default=30.0, help="of curves that do not tell theirs")
    parser.add_argument("--plot", type=Path, metavar="FILE.html", help="where to write the curves")
    options = parser.parse_args()
    try:
        settings = load_settings({}, None, os.environ, Path.cwd())
        sets = {where: read_set(where, options.fps) for where in options.sets}
        engines = {name: load("faces", name, settings) for name in options.engines}
    except (ValueError, VisavisError) as error:
        parser.exit(2, f"{error}\n")
    named = {Path(where).name: clips for where, clips in sets.items()}
    text, html = report(named if len(named) == len(sets) else sets, engines)
    print(text)
    if options.plot:
        options.plot.write_text(html, encoding="utf-8")


if __name__ == "__main__":
    main()
