"""A reader of EBML, written from the specification and not from the writer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SEGMENT, CLUSTER, BLOCK_GROUP = 0x18538067, 0x1F43B675, 0xA0
TIME, SIMPLE_BLOCK, BLOCK, DISCARD = 0xE7, 0xA3, 0xA1, 0x75A2
PARENTS = {SEGMENT, CLUSTER, BLOCK_GROUP, 0x1A45DFA3, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x55B0}


@dataclass(frozen=True, slots=True)
class Element:
    """`size` is None where it is unknown."""

    identifier: int
    path: tuple[int, ...]
    size: int | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    track: int
    time: int
    keyframe: bool
    data: bytes
    discard: int = 0


def _number(data: bytes, at: int, *, marked: bool) -> tuple[int, int]:
    """A number of variable length and the position after it; an identifier keeps its length `marked`."""
    first = data[at]
    assert first, "no number is longer than 8 bytes"
    length = 9 - first.bit_length()
    number = int.from_bytes(data[at : at + length], "big")
    assert at + length <= len(data)
    return number if marked else number & ((1 << (7 * length)) - 1), at + length


def elements(data: bytes, path: tuple[int, ...] = ()) -> Iterator[Element]:
    """Every element of `data`, each before what is in it; sizes must add up exactly."""
    at = 0
    while at < len(data):
        identifier, at = _number(data, at, marked=True)
        start = at
        size, at = _number(data, at, marked=False)
        if size == (1 << (7 * (at - start))) - 1:
            yield Element(identifier, path, None, data[at:])
            yield from elements(data[at:], (*path, identifier))
            return
        assert at + size <= len(data), f"{identifier:x} is longer than what it is in"
        body = data[at : at + size]
        yield Element(identifier, path, size, body)
        if identifier in PARENTS:
            yield from elements(body, (*path, identifier))
        at += size


def values(data: bytes) -> dict[int, bytes]:
    """The last element of every kind."""
    return {element.identifier: element.body for element in elements(data)}


def frames(cluster: bytes) -> list[Frame]:
    """The frames of clusters, in the order in which they are stored."""
    found: list[Frame] = []
    start = None
    for element in elements(cluster):
        if element.identifier == CLUSTER:
            assert element.size is not None
            start = None
        elif element.identifier == TIME:
            start = int.from_bytes(element.body, "big")
        elif element.identifier in (SIMPLE_BLOCK, BLOCK):
            assert start is not None, "a cluster's time comes before its blocks"
            found.append(_frame(element, start))
        elif element.identifier == DISCARD:
            last, discard = found.pop(), int.from_bytes(element.body, "big", signed=True)
            found.append(Frame(last.track, last.time, last.keyframe, last.data, discard))
    return found


def _frame(element: Element, start: int) -> Frame:
    track, at = _number(element.body, 0, marked=False)
    offset = int.from_bytes(element.body[at : at + 2], "big", signed=True)
    flags = element.body[at + 2]
    assert not flags & 0x7F, "no lacing, nothing invisible or discardable"
    keyframe = element.identifier == BLOCK or bool(flags & 0x80)
    return Frame(track, start + offset, keyframe, element.body[at + 3 :])
