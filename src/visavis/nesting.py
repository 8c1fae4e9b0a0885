"""How deep JSON may go: less than what any reader or writer of it can take."""

from __future__ import annotations

from typing import Any

LEVELS = 64
"""Objects and lists inside one another."""


def too_deep(value: Any, levels: int = LEVELS) -> bool:
    """Whether a value, as JSON is read, has more levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return False
    return levels == 0 or any(too_deep(each, levels - 1) for each in inner)
