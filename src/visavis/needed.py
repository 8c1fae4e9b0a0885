"""When what is asked of a model is needed: said by those who ask, known to engines that ask others in turn,
also in their threads."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar

_needed: ContextVar[float | None] = ContextVar("needed", default=None)
"""On `time.monotonic`."""


def need(due: float) -> None:
    """What this task asks models for from now on is needed at `due`, by the loop's clock."""
    _needed.set(time.monotonic() + due - asyncio.get_running_loop().time())


def left() -> float | None:
    """Seconds until what is being asked for is needed, negative when it is late; None when nobody said so."""
    needed = _needed.get()
    return None if needed is None else needed - time.monotonic()
