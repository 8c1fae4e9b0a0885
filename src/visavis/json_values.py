"""JSON that others cannot write again: halves of surrogate pairs, endless nesting."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

LEVELS = 64
"""Objects and lists inside one another: less than what any reader or writer of JSON can take."""
_PLAIN = {bytes, float, int, bool, type(None)}
"""What holds no text."""


def too_deep(value: Any, levels: int = LEVELS) -> bool:
    """Whether a value has more levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return False
    return levels == 0 or any(too_deep(each, levels - 1) for each in inner)


def well_formed(value: T) -> T:
    """`value` with U+FFFD for every half of a surrogate pair, in strings and in whatever holds them.

    Looks into dataclasses, tuples, lists and dicts with their keys; what needs no change is the same object.
    What lies deeper than `LEVELS`, which `too_deep` is to refuse, is left as it is.
    """
    mended: Any = _mended(value, LEVELS + 2)  # the event, and a tuple in it
    found: T = mended
    return found


def _mended(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if levels == 0:
        return value
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_mended(inner, levels - 1) for inner in value) if value else value
    if isinstance(value, list):
        return [_mended(inner, levels - 1) for inner in value]
    if isinstance(value, dict):
        return {_mended(key, 1): _mended(inner, levels - 1) for key, inner in value.items()}
    changed = {}
    for name in _names(value.__class__):
        given = getattr(value, name)
        if type(given) not in _PLAIN:
            mended = _mended(given, levels - 1)
            if mended is not given and mended != given:
                changed[name] = mended
    return replace(value, **changed) if changed else value


@cache
def _names(kind: type) -> tuple[str, ...]:
    """A dataclass's fields; nothing else has any."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
