"""Reading messages that may be hostile: what is wrong is a `BadMessage` that says so."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
import pybase64

from visavis import events as ev
from visavis.json_values import LEVELS, too_deep
from visavis.wires import BadMessage

_T = TypeVar("_T", str, int)
LONGEST_ID = 200
LONGEST_ERROR = 4_000
"""Characters of an action's id, and of why it has no result."""
LARGEST_RESULT = 16_000
"""Bytes of JSON that an action may come to."""


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


def as_action_done(data: dict[str, Any], id: str) -> ev.ActionDone:
    """What came of an action, which the field `id` names."""
    call = as_field(data, id, str)
    if len(call) > LONGEST_ID:
        raise BadMessage("BAD_FIELD", f'"{id}" must be the one from the action.')
    if data.get("error") is not None:
        return ev.ActionDone(call, error=as_field(data, "error", str)[:LONGEST_ERROR] or "It failed.")
    result = data.get("result")
    if too_deep(result):
        raise BadMessage(
            "RESULT_TOO_LARGE", f"A result may have at most {LEVELS} levels of lists and objects."
        )
    if len(orjson.dumps(result)) > LARGEST_RESULT:
        raise BadMessage("RESULT_TOO_LARGE", f"A result may have at most {LARGEST_RESULT} bytes of JSON.")
    return ev.ActionDone(call, result)
