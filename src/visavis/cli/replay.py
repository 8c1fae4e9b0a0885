"""The command `visavis replay`."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import orjson

from visavis.recording.reader import BrokenOff
from visavis.recording.replay import Difference, Outcome, replay
from visavis.settings import Settings

LONGEST = 120
"""Characters of a value that are shown."""


def run(path: Path, settings: Settings, *, diff: bool, recorded_faces: bool) -> tuple[str, bool]:
    """What to tell of the replay of `path`, and whether it was identical. Raises `VisavisError`."""
    outcome = replay(path, settings, recorded_faces=recorded_faces)
    said = sentence(path, outcome)
    if diff and outcome.differences:
        said = "\n".join([said, *lines(outcome)])
    if outcome.broken_off and not outcome.different:
        raise BrokenOff(path, f"{said} There the file breaks off.")
    return said, not outcome.different


def sentence(path: Path, outcome: Outcome) -> str:
    """What came of it."""
    played = f"{outcome.inputs} inputs, {outcome.outputs} outputs, {outcome.seconds:.1f} s"
    if outcome.differences:
        first = outcome.differences[0]
        what = next(_changes(first), "")
        return (
            f"{path} ({played}): the replay differs at {outcome.different} of the inputs, "
            f"first {first.at:.3f} s after the beginning, at {_named(first.input)}: {what}"
        )
    faces = "faces moved again" if outcome.faces else "faces from the recording"
    if outcome.worst:
        faces += f", within {outcome.worst:.1g}"
    return f"{path} ({played}): the replay is byte-identical, {faces}."


def lines(outcome: Outcome) -> Iterator[str]:
    """The outputs that differ, message by message: - recorded, + replayed."""
    for difference in outcome.differences:
        yield f"@ {difference.at:.3f} s, {_named(difference.input)}"
        yield from _changes(difference)
    if (more := outcome.different - len(outcome.differences)) > 0:
        yield f"... and {more} more"


def _changes(difference: Difference) -> Iterator[str]:
    before, after = list(difference.recorded), list(difference.replayed)
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        old, new = [_flat(line) for line in before[a:b]], [_flat(line) for line in after[c:d]]
        for k in range(max(len(old), len(new))):
            if k >= len(new):
                yield f"- {_shown(old[k])}"
            elif k >= len(old):
                yield f"+ {_shown(new[k])}"
            else:
                yield from _apart(old[k], new[k])


def _apart(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Only what differs of two outputs of a kind."""
    if old.get("type") != new.get("type") or old.get("kind") != new.get("kind"):
        yield f"- {_shown(old)}"
        yield f"+ {_shown(new)}"
        return
    same = {key for key in old if key in new and old[key] == new[key]}
    named = {"kind", "type", "event", "turnId", "frameIndex"}
    for sign, line in (("-", old), ("+", new)):
        yield f"{sign} {_shown({key: value for key, value in line.items() if key not in same - named})}"


def _flat(line: bytes) -> dict[str, Any]:
    """A line with the fields of its message, and of the objects in it, side by side."""
    data = orjson.loads(line)
    text = data.pop("text", None) if data.get("kind") == "out" else None
    if isinstance(text, str):
        data |= orjson.loads(text)
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    return flat


def _shown(line: dict[str, Any]) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in line.items() if key not in ("line", "ms"))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:40]}... ({len(text)} characters)"


def _named(line: dict[str, Any]) -> str:
    """An input in a few words."""
    return f"{line['kind']} {_short(line.get('event') or line.get('text') or '')}".strip()
