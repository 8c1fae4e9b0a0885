"""When a simulated model calls a function, and what it says then."""

from __future__ import annotations

import re
from collections.abc import Iterable

SAYS = "The answer is {}"
"""What it says once functions have returned."""


def wanted(text: str, names: Iterable[str]) -> tuple[str, str] | None:
    """The first function that the user names, with the JSON object of the message as its arguments."""
    name = next((name for name in names if name in text), None)
    found = re.search(r"\{.*\}", text)
    return (name, found.group() if found else "{}") if name else None
