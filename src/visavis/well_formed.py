"""Text that can be written: JSON may hold halves of surrogate pairs, UTF-8 cannot."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")


def well_formed(value: T) -> T:
    """`value` with U+FFFD for every half of a surrogate pair, in strings and in whatever holds them.

    Looks into dataclasses, tuples, lists and dicts with their keys; what needs no change is the same object.
    """
    mended: Any = _mended(value)
    found: T = mended
    return found


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(_mended, value)) if value else value
    if isinstance(value, list):
        return list(map(_mended, value))
    if isinstance(value, dict):
        return {_mended(key): _mended(inner) for key, inner in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for field in fields(value):
            given = getattr(value, field.name)
            mended = _mended(given)
            if mended is not given and mended != given:
                changed[field.name] = mended
        return replace(value, **changed) if changed else value
    return value
