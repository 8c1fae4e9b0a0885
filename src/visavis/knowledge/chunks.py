"""A text cut into passages: each short enough to be read to a language model, and about one thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 700
"""Characters of a passage, about 170 tokens."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"(=+|-+)\s*$")
_FENCE = re.compile(r"(`{3,}|~{3,})")
_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)])\s+")
_TABLE_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?$")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_STRONG = re.compile(r"(\*{1,3}|_{2,3}|`+)(?=\S)([^*`]{0,200}?\S)\1")
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)]*(?:\s+|(?<=[。！？]))")


@dataclass(frozen=True, slots=True)
class Document:
    """A text with Markdown's headings and lists; `url` is empty when it has no address."""

    title: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: plain lines, each a paragraph, a list item or a part of one. `heading`: the headings that it
    stands below, outermost first, joined by ": "."""

    title: str
    url: str
    heading: str
    text: str


def cut(document: Document, longest: int = LONGEST) -> Iterator[Chunk]:
    """The passages of a document in order, at most `longest` characters each; no word is lost."""
    for heading, lines in _sections(document.text):
        packed: list[str] = []
        size = 0
        for line in lines:
            for part in _parts(line, longest):
                if packed and size + 1 + len(part) > longest:
                    yield Chunk(document.title, document.url, heading, "\n".join(packed))
                    packed, size = [], 0
                packed.append(part)
                size += len(part) + (len(packed) > 1)
        if packed:
            yield Chunk(document.title, document.url, heading, "\n".join(packed))


def plain(line: str) -> str:
    """A line without Markdown's marks."""
    line = _TAG.sub("", _LINK.sub(r"\1", line))
    return " ".join(_STRONG.sub(r"\2", line).split())


def sentences(text: str) -> list[str]:
    """The sentences of one line, with their marks."""
    found, at = [], 0
    for end in _SENTENCE_END.finditer(text):
        found.append(text[at : end.end()].strip())
        at = end.end()
    return [sentence for sentence in [*found, text[at:].strip()] if sentence]


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Headings with the plain lines below each."""
    path: dict[int, str] = {}
    lines: list[str] = []
    for level, line in _lines(text):
        if level == 0:
            lines.append(line)
            continue
        if lines:
            yield ": ".join(path.values()), lines
            lines = []
        path = {above: name for above, name in path.items() if above < level} | {level: line}
    if lines or path:
        yield ": ".join(path.values()), lines


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs and list items as one line each, with 0, and headings with their level."""
    waiting: list[str] = []  # the lines of a paragraph
    fence = ""
    for raw in text.splitlines():
        line = raw.strip()
        mark = _FENCE.match(line)
        if mark and (not fence or line.startswith(fence)):
            fence, line = ("" if fence else mark[1]), ""
        heading = None if fence else _HEADING.match(line)
        underlined = not fence and len(waiting) == 1 and _UNDERLINE.match(line)
        starts = not line or heading or fence or _ITEM.match(line) or line.startswith("|")
        if underlined:
            yield 1 if line.startswith("=") else 2, plain(waiting.pop())
            continue
        if starts and waiting:
            yield 0, plain(" ".join(waiting))
            waiting = []
        if heading and heading[2]:
            yield len(heading[1]), plain(heading[2])
        elif line and not heading and not _TABLE_RULE.match(line):
            waiting.append(_row(line) if line.startswith("|") else _ITEM.sub("", line, count=1))
    if waiting:
        yield 0, plain(" ".join(waiting))


def _row(line: str) -> str:
    """A table's row as it is read aloud."""
    return ", ".join(cell for part in line.strip("|").split("|") if (cell := part.strip()))


def _parts(line: str, longest: int) -> Iterator[str]:
    """A line in parts that fit: cut between sentences, else between words, else anywhere."""
    if len(line) <= longest:
        if line:
            yield line
        return
    part = ""
    for piece in _pieces(line, longest):
        if part and len(part) + 1 + len(piece) > longest:
            yield part
            part = ""
        part = f"{part} {piece}" if part else piece
    if part:
        yield part


def _pieces(line: str, longest: int) -> Iterator[str]:
    for sentence in sentences(line):
        if len(sentence) <= longest:
            yield sentence
            continue
        for word in sentence.split():
            yield from (word[at : at + longest] for at in range(0, len(word), longest))
