"""Scores face engines on recordings with measured curves and on speech with known phonemes.

    python -m bench.lipsync --sets ../captures '../videos/en_*' --engines net energy --plot curves.html

What a set is: bench/lipsync/clips.py. What the figures mean: docs/lipsync.md. Without --sets only the phoneme
gates are counted, on our own voice and, where it is installed, on espeak-ng in several languages.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from bench.lipsync import gates
from bench.lipsync.clips import Clip, read_set
from bench.lipsync.plot import Chart, page
from bench.lipsync.scores import (
    BLOCK,
    Curves,
    Score,
    best_lag,
    closures,
    correlated,
    curves_of,
    loudness,
    speaking,
)
from bench.lipsync.voices import Utterance, espeak, hibari
from visavis.arkit import INDEX, Weights, neutral
from visavis.audio import BYTES, Media
from visavis.errors import VisavisError
from visavis.events import Phoneme
from visavis.faces import FaceEngine
from visavis.faces.speech_face import TIMED
from visavis.faces.visemes import curves
from visavis.plugins import load
from visavis.settings import Settings
from visavis.stages.tts_hibari import Hibari

MEDIA = Media(24_000, 30)
PIECE = 3
"""Frames of sound an engine is given at once, as in a conversation."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a system says about one clip; `weights` when it makes any."""

    curves: Curves
    weights: Weights | None = None


System = Callable[[Clip], Told]


def animate(engine: FaceEngine, pcm: bytes, phonemes: tuple[Phoneme, ...] | None = None) -> Weights:
    """The face of a whole recording, streamed."""
    stream, size, parts = engine.open(MEDIA, 0), PIECE * MEDIA.edge(1) * BYTES, []
    for start in range(0, len(pcm), size):
        known = phonemes if start == 0 or phonemes is None else ()
        parts.append(stream.feed(pcm[start : start + size], known, start + size >= len(pcm)))
    return np.concatenate(parts) if parts else neutral(0)


def systems(engines: Mapping[str, FaceEngine]) -> dict[str, System]:
    """The engines that work by ear, and what they have to beat."""

    def hears(engine: FaceEngine) -> System:
        def tell(clip: Clip) -> Told:
            weights = animate(engine, clip.pcm)
            return Told(curves_of(weights), weights)

        return tell

    def energy(clip: Clip) -> Told:
        level = np.sqrt(loudness(clip.pcm, len(clip.truth["gap"])))
        return Told({"gap": level, "jaw": level})

    def zeros(clip: Clip) -> Told:
        weights = neutral(len(clip.truth["gap"]))
        return Told(curves_of(weights), weights)

    def shuffled(clip: Clip) -> Told:
        blocks = np.array_split(np.arange(len(clip.truth["gap"])), max(1, len(clip.truth["gap"]) // BLOCK))
        order = np.concatenate([blocks[i] for i in np.random.default_rng(0).permutation(len(blocks))])
        return Told({name: curve[order] for name, curve in clip.truth.items()})

    by_ear: dict[str, System] = {name: hears(engine) for name, engine in engines.items() if name != TIMED}
    return by_ear | {"RMS of the sound": energy, "shuffled truth": shuffled, "zeros": zeros}


def recordings(
    sets: Mapping[str, Sequence[Clip]], engines: Mapping[str, FaceEngine]
) -> tuple[list[str], list[Chart]]:
    """The rows of the table of recordings, and charts of every clip."""
    rows, drawn = [], {clip.name: dict[str, Curves]() for clips in sets.values() for clip in clips}
    lines: dict[str, list[str]] = {where: [] for where in sets}
    for name, system in systems(engines).items():
        told = {where: [system(clip) for clip in clips] for where, clips in sets.items()}
        everything = [
            (clip.truth["gap"], said.curves["gap"])
            for where, clips in sets.items()
            for clip, said in zip(clips, told[where], strict=True)
        ]
        lag = best_lag(everything)
        for where, clips in sets.items():
            lines[where].append(_row(where, name, clips, told[where], lag))
            for clip, said in zip(clips, told[where], strict=True):
                if name in engines:
                    drawn[clip.name][name] = {k: np.roll(curve, -lag) for k, curve in said.curves.items()}
    for where, clips in sets.items():
        rows += [*lines[where], _truth_row(where, clips)]
    charts = [
        Chart(f"{clip.name}, {name}", clip.truth[name], {k: v[name] for k, v in drawn[clip.name].items()})
        for clips in sets.values()
        for clip in clips
        for name in ("gap", "round")
        if name in clip.truth
    ]
    return rows, charts


def _row(where: str, name: str, clips: Sequence[Clip], told: Sequence[Told], lag: int) -> str:
    random = np.random.default_rng(0)

    def follows(curve: str) -> str:
        pairs = [
            (clip.truth[curve], said.curves[curve])
            for clip, said in zip(clips, told, strict=True)
            if curve in clip.truth and curve in said.curves
        ]
        return _figure(correlated(pairs, lag, random))

    shut = closures(
        (
            (clip.truth["gap"], said.curves["gap"], speaking(clip.pcm, len(clip.truth["gap"])))
            for clip, said in zip(clips, told, strict=True)
        ),
        lag,
        random,
    )
    size = _size(said.weights for said in told)
    return (
        f"| {where} | {name} | {follows('gap')} | {_figure(shut)} | {follows('round')} | {size} | {lag:+d} |"
    )


def _truth_row(where: str, clips: Sequence[Clip]) -> str:
    return f"| {where} | *measured* | | | | {_size(clip.weights for clip in clips)} | |"


def _size(weights: Iterable[Weights | None]) -> str:
    """Mean and 95th percentile of jawOpen, where it is known."""
    known = [part[:, INDEX["jawOpen"]] for part in weights if part is not None]
    if not known:
        return "- | -"
    jaw = np.concatenate(known)
    return f"{jaw.mean():.3f} | {np.percentile(jaw, 95):.3f}"


def _figure(score: Score | None) -> str:
    return "-" if score is None else f"{score.value:.3f} ({score.low:.2f} to {score.high:.2f})"


def known_speech(
    utterances: Sequence[Utterance], engines: Mapping[str, FaceEngine]
) -> tuple[list[str], list[Chart]]:
    """The rows of the table of phoneme gates, and a chart of one utterance of every voice."""
    voices = [(name, list(said)) for name, said in groupby(utterances, key=lambda said: said.voice)]
    faces = {
        name: [[animate(engine, said.pcm, said.phonemes) for said in spoken] for _, spoken in voices]
        for name, engine in engines.items()
    }
    rows = []
    for name, drawn in faces.items():
        counts = []
        for (voice, spoken), weights in zip(voices, drawn, strict=True):
            found = gates.Counts()
            for said, face in zip(spoken, weights, strict=True):
                found.add(gates.count(said.phonemes, face))
            counts.append((voice, found))
        rows += [_gate_row(voice, name, found) for voice, found in counts]
        together = gates.Counts()
        for _, found in counts:
            together.add(found)
        rows.append(_gate_row("**all**", name, together))
    charts = []
    for index, (voice, spoken) in enumerate(voices):
        exact = curves_of(curves(spoken[0].phonemes, len(next(iter(faces.values()))[index][0])))
        told = {name: curves_of(drawn[index][0]) for name, drawn in faces.items()}
        for curve in ("gap", "round"):
            lines = {name: shapes[curve] for name, shapes in told.items()}
            charts.append(Chart(f"{voice}, {curve}", exact[curve], lines, spoken[0].phonemes))
    return rows, charts


def _gate_row(voice: str, engine: str, found: gates.Counts) -> str:
    cells = " | ".join(_share(hits) for hits in (found.closed, found.rounded, found.opened, found.silent))
    return f"| {voice} | {engine} | {cells} | {found.skew:+.1f} |"


def _share(hits: Sequence[bool]) -> str:
    return f"{100 * np.mean(hits):.0f} % of {len(hits)}" if hits else "-"


def speech() -> Iterator[Utterance]:
    """All speech with known phonemes that can be had here."""
    yield from hibari(Hibari)
    yield from espeak()


def report(sets: Mapping[str, Sequence[Clip]], engines: Mapping[str, FaceEngine]) -> tuple[str, str]:
    """The tables as Markdown, and the charts as HTML."""
    rows, charts = recordings(sets, engines) if sets else ([], [])
    gate_rows, more = known_speech(list(speech()), engines)
    text = (
        "### Phoneme gates\n\n| voice | engine | p b m closed | rounded | open | silent | onset, frames |\n"
    )
    text += "\n".join(["|---|---|---:|---:|---:|---:|---:|", *gate_rows, ""])
    if rows:
        head = "| set | engine | gap r | closure AUC | round r | jaw mean | jaw p95 | lag |\n"
        text = "\n".join([f"### Recordings\n\n{head}|---|---|---|---|---|---:|---:|---:|", *rows, "", text])
    return text, page([*charts, *more])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lipsync", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--sets", nargs="*", default=[], metavar="DIR", help="folders or patterns of recordings"
    )
    parser.add_argument("--engines", nargs="*", default=["phonemes", "net", "energy"], metavar="NAME")
    parser.add_argument("--fps", type=float, default=30.0, help="of curves that do not tell theirs")
    parser.add_argument("--plot", type=Path, metavar="FILE.html", help="where to write the curves")
    options = parser.parse_args()
    try:
        sets = {Path(where).name: read_set(where, options.fps) for where in options.sets}
        engines = {name: load("faces", name, Settings()) for name in options.engines}
    except (ValueError, VisavisError) as error:
        parser.exit(2, f"{error}\n")
    text, html = report(sets, engines)
    print(text)
    if options.plot:
        options.plot.write_text(html, encoding="utf-8")


if __name__ == "__main__":
    main()
