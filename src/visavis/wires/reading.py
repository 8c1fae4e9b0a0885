"""Reading messages that may be hostile: what is wrong is a `BadMessage` that says so."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
import pybase64

from visavis.wires import BadMessage

_T = TypeVar("_T", str, int)


def as_object(message: str) -> dict[str, Any]:
    try:
        data = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise BadMessage("BAD_JSON", f"This is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise BadMessage("BAD_MESSAGE", "A message must be a JSON object.")
    return data


def as_field(data: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = {"str": "a string", "int": "a whole number"}[kind.__name__]
        raise BadMessage("BAD_FIELD", f'"{name}" must be {wanted}.')
    return value


def as_choice(data: dict[str, Any], name: str, *choices: str) -> str:
    """One of `choices`; the first when there is nothing."""
    value = data.get(name, choices[0])
    if value not in choices:
        raise BadMessage("BAD_FIELD", f'"{name}" must be one of {", ".join(choices)}.')
    return str(value)


def as_base64(text: str, name: str = "data") -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise BadMessage("BAD_BASE64", f'"{name}" must be standard base64.') from None
