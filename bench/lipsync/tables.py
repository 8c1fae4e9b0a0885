"""Face engines on recordings with measured curves, and on speech with known phonemes: rows and charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.lipsync import gates, sizes
from bench.lipsync.clips import Clip
from bench.lipsync.plot import Chart
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
from bench.lipsync.voices import Utterance
from visavis.arkit import INDEX, Weights, neutral
from visavis.audio import BYTES, Media
from visavis.events import Phoneme
from visavis.faces import FaceEngine
from visavis.faces.speech_face import TIMED
from visavis.faces.visemes import curves

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


Faces = Mapping[str, Sequence[Weights]]
"""What every engine made of the same utterances."""


def draw(utterances: Sequence[Utterance], engines: Mapping[str, FaceEngine]) -> Faces:
    """The faces of speech with known phonemes."""
    return {
        name: [animate(engine, said.pcm, said.phonemes) for said in utterances]
        for name, engine in engines.items()
    }


def gate_rows(utterances: Sequence[Utterance], faces: Faces) -> list[str]:
    """The rows of the table of phoneme gates: every engine with every voice, and with all of them."""
    rows = []
    for name, drawn in faces.items():
        voices: dict[str, gates.Counts] = {}
        together = gates.Counts()
        for said, weights in zip(utterances, drawn, strict=True):
            found = gates.count(said.phonemes, weights)
            voices.setdefault(said.voice, gates.Counts()).add(found)
            together.add(found)
        rows += [_gate_row(voice, name, found) for voice, found in voices.items()]
        rows.append(_gate_row("**all**", name, together))
    return rows


def size_rows(utterances: Sequence[Utterance], faces: Faces) -> list[str]:
    """The rows of the table of movements' sizes."""
    rows = [
        sizes.row(name, [(said.pcm, face) for said, face in zip(utterances, drawn, strict=True)])
        for name, drawn in faces.items()
    ]
    return [*rows, sizes.measured()]


def charts_of(utterances: Sequence[Utterance], faces: Faces) -> list[Chart]:
    """Charts of the first utterance of every voice, beside the curves drawn from its phonemes."""
    charts = []
    first = {said.voice: index for index, said in reversed(list(enumerate(utterances)))}
    for voice, index in sorted(first.items(), key=lambda item: item[1]):
        said = utterances[index]
        told = {name: curves_of(drawn[index]) for name, drawn in faces.items()}
        exact = curves_of(curves(said.phonemes, MEDIA.covering(len(said.pcm) // BYTES)))
        charts += [
            Chart(f"{voice}, {name}", exact[name], {k: v[name] for k, v in told.items()}, said.phonemes)
            for name in ("gap", "round")
        ]
    return charts


def _gate_row(voice: str, engine: str, found: gates.Counts) -> str:
    cells = " | ".join(
        _share(hits) for hits in (found.closed, found.parted, found.rounded, found.opened, found.silent)
    )
    return f"| {voice} | {engine} | {cells} | {found.skew:+.1f} |"


def _share(hits: Sequence[bool]) -> str:
    return f"{100 * np.mean(hits):.0f} % of {len(hits)}" if hits else "-"
