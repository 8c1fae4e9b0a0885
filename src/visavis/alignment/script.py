"""A transcript spoken by a synthesiser that knows when each phoneme sounds."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

from visavis.alignment.ear import SAMPLE_RATE, Ear
from visavis.audio import BYTES, to_float
from visavis.clauses import ClauseCutter
from visavis.events import Phoneme
from visavis.stages import Speech, TextToSpeech

LONGEST_CLAUSE = 1_000
"""Characters without a space after which a clause ends all the same."""
_STOPS = re.compile("([。！？；，、])")
_PARAGRAPHS = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A word, or a part of one, that is said without a pause: its phonemes, and which word it is of."""

    word: int
    phonemes: tuple[Phoneme, ...]

    @property
    def start(self) -> float:
        return self.phonemes[0].start

    @property
    def end(self) -> float:
        return self.phonemes[-1].end


@dataclass(slots=True)
class Script:
    """A text as it is spoken, in seconds of the synthesiser's time; between the stretches it is silent."""

    words: list[str] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)

    def add(self, said: Speech, start: float) -> None:
        """A clause that begins at `start`."""
        sounding = [(index, word) for index, word in enumerate(said.words) if word.end > word.start]
        starts = [word.start for _, word in sounding]

        def word_of(phoneme: Phoneme) -> int:
            """The word of a phoneme, or -1 for a silence, which is of none."""
            if phoneme.symbol == "sil" or not sounding:
                return -1
            return len(self.words) + sounding[max(0, bisect_right(starts, phoneme.start + 1e-6) - 1)][0]

        for word, phonemes in groupby(said.phonemes or (), word_of):
            moved = tuple(replace(p, start=p.start + start, end=p.end + start) for p in phonemes)
            if word >= 0:
                self.stretches.append(Stretch(word, moved))
        self.words += [word.text for word in said.words]


def speak(text: str, voice: TextToSpeech, ear: Ear) -> Script:
    """`text` said by `voice` and heard by `ear`."""
    script = Script()
    for clause in clauses(text):
        said = voice(clause)
        script.add(said, ear.samples / SAMPLE_RATE)
        ear.feed(to_float(said.pcm[: len(said.pcm) // BYTES * BYTES]))
    ear.close()
    return script


def clauses(text: str) -> Iterator[str]:
    """What can be said of a text, a sentence or less at a time."""
    cutter = ClauseCutter()
    for paragraph in _PARAGRAPHS.split(_STOPS.sub(r"\1 ", text)):
        for clause in cutter.feed(" ".join(paragraph.split()) + "\n"):
            yield from _cut(clause)
    for clause in cutter.close():
        yield from _cut(clause)


def _cut(clause: str) -> Iterator[str]:
    for start in range(0, len(clause), LONGEST_CLAUSE):
        yield clause[start : start + LONGEST_CLAUSE]
