"""A recording and its transcript: when each phoneme is said.

The transcript is spoken by a synthesiser that knows its phonemes' times, and that speech is laid over the
recording (see `path`) by what two voices have in common when they say the same (see `ear`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visavis.alignment.ear import RATE, SAMPLE_RATE, Ear, silence
from visavis.alignment.path import best_path
from visavis.alignment.script import Script, Stretch, clauses, speak
from visavis.errors import VisavisError
from visavis.events import Phoneme, Word
from visavis.faces import FaceEngine
from visavis.faces.framing import Samples
from visavis.stages import TextToSpeech

MOST_CHARACTERS = 200_000
"""Of a transcript: about four hours."""
LEAST_SECONDS, FAINTEST = 0.2, -55.0
"""Of a recording; decibels of its loudest moment."""
FASTEST = 40.0
"""Characters that nobody says in a second."""
SLOWER, FASTER = 4.0, 3.0
"""How many times slower or faster than the synthesiser a speaker may be; noise counts as speech."""
UNLIKE = 0.93
"""A text that fits no better is another one."""
BRIEF = 0.06
"""Seconds of silence between two words that are not a pause: they are the second one's closure."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """What is said when, in seconds; what is between phonemes is silent. `fit`: how unlike text and recording
    are, against the text backwards; 1 is a text that has nothing to do with the recording."""

    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...]
    fit: float


def align(sound: Iterable[Samples], text: str, voice: TextToSpeech, net: FaceEngine) -> Aligned:
    """When `text` is said in `sound` (pieces of samples at `SAMPLE_RATE`).

    `voice` speaks the text's language and knows its phonemes; `net` is the face net, which hears both.
    Raises `VisavisError` when there is no speech, no text, or not this text.
    """
    check(text)
    heard, said = Ear(net), Ear(net)
    for piece in sound:
        heard.feed(piece)
    heard.close()
    seconds = heard.samples / SAMPLE_RATE
    if seconds < LEAST_SECONDS or heard.loudness < FAINTEST:
        raise VisavisError("NO_SPEECH", "Nothing is said in this recording that a text could be found in.")
    if len(text) > FASTEST * seconds:
        raise VisavisError(
            "TEXT_MISMATCH",
            f"Nobody says {len(text)} characters in {seconds:.1f} s: give the text of this recording alone.",
        )
    script = speak(text, voice, said)
    if not script.stretches:
        raise VisavisError("NO_TEXT", "Nothing in the text can be pronounced in its language.")
    noise = heard.noise()
    levels = heard.levels()
    times, owners = _states(script, said, int((levels > noise.threshold).sum()))
    fit, states = _lay_over(heard, said, times, owners < 0)
    if fit > UNLIKE:
        raise VisavisError(
            "TEXT_MISMATCH",
            "The text does not fit what is said (or noise is nearly as loud as the voice): check that it is "
            "the text of this recording, in its language, all of it and nothing else.",
        )
    phonemes = list(_phonemes(script.stretches, times, owners, states))
    return Aligned(tuple(_words(script, phonemes)), tuple(phoneme for _, phoneme in phonemes), fit)


def check(text: str) -> None:
    """Raises `VisavisError` when there is nothing to say in `text`, or far too much."""
    if not any(clauses(text[:MOST_CHARACTERS])):
        raise VisavisError("NO_TEXT", "The text is empty: give the words that are said.")
    if len(text) > MOST_CHARACTERS:
        raise VisavisError(
            "TEXT_TOO_LONG", f"A text of {len(text)} characters: at most {MOST_CHARACTERS} can be aligned."
        )


def _states(script: Script, said: Ear, heard: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Of every state its time in the synthesiser's speech and its stretch, -1 for a silence.

    There are about as many states as columns of speech were heard, so that both voices are equally fast.
    """
    speech = said.levels() > said.noise().threshold
    spoken = sum(int(speech[round(s.start * RATE) : round(s.end * RATE)].sum()) for s in script.stretches)
    ratio = heard / max(1, spoken)
    if not 1 / FASTER <= ratio <= SLOWER:
        raise VisavisError(
            "TEXT_MISMATCH",
            f"The text takes about {spoken / RATE:.1f} s to say, but {heard / RATE:.1f} s of the recording "
            "are speech: give the text of this recording, all of it and nothing else.",
        )
    times, owners = [0.0], [-1]
    for index, stretch in enumerate(script.stretches):
        length = stretch.end - stretch.start
        count = max(1, round(length * RATE * ratio))
        times += [*(stretch.start + (np.arange(count) + 0.5) / count * length), 0.0]
        owners += [index] * count + [-1]
    return np.array(times), np.array(owners)


def _lay_over(
    heard: Ear, said: Ear, times: NDArray[np.float64], silent: NDArray[np.bool_]
) -> tuple[float, NDArray[np.intp]]:
    """How well the text fits (see `Aligned`), and the state of every column that was heard."""
    noise, levels = heard.noise(), heard.levels()
    columns, quiet = heard.columns(noise), silence(levels, noise)
    states = _between(said.columns(noise), times * RATE - 0.5)
    path = best_path(columns, states, silent, quiet)
    backwards = best_path(columns, states[::-1].copy(), silent[::-1].copy(), quiet)
    pauses = float(quiet[levels <= noise.threshold].sum())
    return (path.cost - pauses) / max(backwards.cost - pauses, 1e-6), path.states


def _between(columns: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Columns at fractional positions."""
    at = np.clip(at, 0, len(columns) - 1)
    before = at.astype(np.intp)
    part = (at - before).astype(np.float32)[:, None]
    result: NDArray[np.float32] = (
        columns[before] * (1 - part) + columns[np.minimum(before + 1, len(columns) - 1)] * part
    )
    return result


def _phonemes(
    stretches: list[Stretch],
    times: NDArray[np.float64],
    owners: NDArray[np.intp],
    states: NDArray[np.intp],
) -> Iterator[tuple[int, Phoneme]]:
    """Every phoneme at its time in the recording, with the word it is of."""
    owner = owners[states]
    columns = np.flatnonzero(owner >= 0)
    edges = np.searchsorted(owner[columns], np.arange(len(stretches) + 1))
    end = 0.0
    for index, stretch in enumerate(stretches):
        own = columns[edges[index] : edges[index + 1]]
        if not len(own):  # left out: no time at all
            continue
        first, last = own[0] / RATE, (own[-1] + 1) / RATE
        if first - end < BRIEF:
            first = end
        said, when = _knots(times[states[own]], (own + 0.5) / RATE)
        inside = np.interp(
            [p.start for p in stretch.phonemes[1:]],
            [stretch.start, *said, stretch.end],
            [first, *when, last],
        )
        bounds = [first, *inside.tolist(), last]
        for phoneme, start, stop in zip(stretch.phonemes, bounds[:-1], bounds[1:], strict=True):
            if stop > start:
                yield stretch.word, replace(phoneme, start=float(start), end=float(stop))
        end = last


def _knots(
    said: NDArray[np.float64], heard: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each time of the synthesiser once, and the middle of the columns in which it was heard."""
    once, first, counts = np.unique(said, return_index=True, return_counts=True)
    return once, heard[first] + (counts - 1) / (2 * RATE)


def _words(script: Script, phonemes: list[tuple[int, Phoneme]]) -> Iterator[Word]:
    spans: dict[int, tuple[float, float]] = {}
    for word, phoneme in phonemes:
        spans[word] = (spans.get(word, (phoneme.start, 0.0))[0], phoneme.end)
    at = 0.0
    for index, text in enumerate(script.words):
        start, at = spans.get(index, (at, at))
        yield Word(text, start, at)
