"""Reads recordings, which may be of anybody: bounded, and what is wrong is a sentence."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from visavis.errors import VisavisError
from visavis.recording import FORMAT, INPUTS, OUTPUTS
from visavis.recording.folder import GZIP
from visavis.recording.lines import Line

PIECE = 1 << 16
LONGEST_LINE = 16 << 20
LARGEST = 4 << 30
"""Bytes, unpacked."""


@dataclass(slots=True)
class Step:
    """An input, and the lines that came of it."""

    input: Line
    outputs: list[bytes] = field(default_factory=list)

    @property
    def at(self) -> float:
        """Seconds on the clock of the recording."""
        return float(self.input["t"])


class Recording:
    """A recording on the disk. What is read of it raises `VisavisError` when it is not as it should be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = enumerate(self._read(), 1)
        number, line = next(self._lines, (0, b""))
        self.header = self._parsed(number, line)
        if self.header.get("kind") != "recording":
            raise self._bad("it is not a recording")
        if self.header.get("format") != FORMAT:
            raise self._bad(f"it has format {self.header.get('format')!r}, this version reads {FORMAT}")

    def steps(self) -> Iterator[Step]:
        """Everything that came in, in order; the last one also of a file that breaks off."""
        step: Step | None = None
        try:
            for number, line in self._lines:
                kind = _kind(line)
                if kind in OUTPUTS:
                    if step is None:
                        raise self._bad(f"line {number} is an output of nothing")
                    step.outputs.append(line)
                elif kind in INPUTS:
                    if step is not None:
                        yield step
                    step = Step(self._parsed(number, line))
                else:
                    raise self._bad(f"line {number} is not of a recording")
        except BrokenOff:
            if step is not None:
                yield step
            raise
        if step is None or step.input["kind"] != "end":
            raise BrokenOff(self.path)
        yield step

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            data = orjson.loads(line)
            return dict(data) | ({"t": float(data["t"])})
        except (orjson.JSONDecodeError, TypeError, ValueError, KeyError):
            raise self._bad(f"line {number} is not of a recording") from None

    def _read(self) -> Iterator[bytes]:
        """Whole lines with their ends."""
        unpacker, rest, total = zlib.decompressobj(GZIP), b"", 0
        try:
            with self.path.open("rb") as file:
                while data := unpacker.unconsumed_tail or file.read(PIECE):
                    rest += unpacker.decompress(data, PIECE)
                    *lines, rest = rest.splitlines(keepends=True) or [b""]
                    if rest.endswith(b"\n"):
                        lines, rest = [*lines, rest], b""
                    total += sum(map(len, lines))
                    if len(rest) > LONGEST_LINE or total > LARGEST:
                        raise self._bad("it is too large")
                    yield from lines
        except OSError as error:
            raise self._bad(error.strerror or "it cannot be opened") from error
        except zlib.error:
            raise self._bad("it is not gzipped, or damaged") from None
        if not unpacker.eof:
            raise BrokenOff(self.path)

    def _bad(self, why: str) -> VisavisError:
        return VisavisError("BAD_RECORDING", f"{self.path} cannot be replayed: {why}.")


class BrokenOff(VisavisError):
    """The recording ends in the middle: its server was killed, or its disk was full."""

    def __init__(self, path: Path, message: str = "") -> None:
        super().__init__("RECORDING_BROKEN_OFF", message or f"{path} breaks off.")


def _kind(line: bytes) -> str:
    """Without parsing it: every line begins with its kind."""
    begin, end = b'{"kind":"', line.find(b'"', 9)
    return line[9:end].decode("ascii", "replace") if line.startswith(begin) and end > 0 else ""
