"""Words with times as captions, and captions as WebVTT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from visavis.events import Word

LINE = 42
"""Characters of a line; there are at most two."""
PAUSE = 1.5
"""Seconds of silence after which a new caption begins."""
SHORTEST = 0.8
"""Seconds that a caption is shown at least, unless the next one begins."""
READ = 15.0
"""Characters that are read in a second."""
_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption; milliseconds, its end after its start."""

    start: int
    end: int
    lines: tuple[str, ...]
    speaker: str = ""


def cues(words: Iterable[Word], speaker: str = "", shift: float = 0.0) -> list[Cue]:
    """Captions of `words` in order, `shift` seconds later; one ends before the next begins."""
    groups = list(_groups(_fitting(words)))
    starts: list[int] = []
    for group in groups:
        start = max(0, round((group[0].start + shift) * 1000))
        starts.append(max(start, starts[-1] + 1) if starts else start)
    made = []
    for index, (group, start) in enumerate(zip(groups, starts, strict=True)):
        end = max(round((group[-1].end + shift) * 1000), start + round(SHORTEST * 1000))
        if index + 1 < len(starts):
            end = min(end, starts[index + 1])
        made.append(Cue(start, end, tuple(_lines(group)), speaker))
    return made


def spread(text: str, start: float) -> list[Word]:
    """The words of a text without times, from `start` seconds on, as fast as they are read."""
    words = []
    for word in text.split():
        end = start + (len(word) + 1) / READ
        words.append(Word(word, start, end))
        start = end
    return words


def webvtt(captions: Iterable[Cue]) -> str:
    """A WebVTT file."""
    blocks = ["WEBVTT\n"]
    for cue in sorted(captions, key=lambda cue: (cue.start, cue.end)):
        voice = f"<v {escape(' '.join(cue.speaker.split()), quote=False)}>" if cue.speaker else ""
        text = "\n".join(escape(line, quote=False) for line in cue.lines)
        blocks.append(f"{_clock(cue.start)} --> {_clock(cue.end)}\n{voice}{text}\n")
    return "\n".join(blocks)


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


def _fitting(words: Iterable[Word]) -> Iterator[Word]:
    """Words without spaces that fit a line, longer ones in parts."""
    for word in words:
        parts = [part[at : at + LINE] for part in word.text.split() for at in range(0, len(part), LINE)]
        step = (word.end - word.start) / max(1, len(parts))
        for index, part in enumerate(parts):
            yield Word(part, word.start + index * step, word.start + (index + 1) * step)


def _groups(words: Iterable[Word]) -> Iterator[list[Word]]:
    """The words of each caption: two lines at most, cut at pauses, and after sentences when it is long."""
    group: list[Word] = []
    for word in words:
        if group:
            paused = word.start - group[-1].end > PAUSE
            sentence = group[-1].text.endswith(_ENDS) and len(_lines(group)) > 1
            if paused or sentence or len(_lines([*group, word])) > 2:
                yield group
                group = []
        group.append(word)
    if group:
        yield group


def _lines(words: Sequence[Word]) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word.text) <= LINE:
            lines[-1] += f" {word.text}"
        else:
            lines.append(word.text)
    return lines
