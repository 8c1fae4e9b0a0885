"""What the parts of the server take: calls, failures, and the durations of the last of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import update_wrapper
from threading import Lock
from typing import Any, ParamSpec, TypeVar

RECENT = 256
"""Durations that are kept."""
LONGEST_REASON = 300
"""Characters of an error that are kept."""
P = ParamSpec("P")
T = TypeVar("T")


class Meter:
    """Of one part, shared by all sessions; threads may use it at once. Durations are seconds."""

    def __init__(self) -> None:
        self.calls = 0
        """All of them, also those that failed."""
        self.errors = 0
        self.last_error: str | None = None
        self.warm_up: float | None = None
        """What loading it took; None until it is loaded."""
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._lock = Lock()

    def took(self, seconds: float) -> None:
        """A call succeeded."""
        with self._lock:
            self.calls += 1
            self._recent.append(seconds)

    def failed(self, error: Exception) -> None:
        """A call failed."""
        reason = str(error) or type(error).__name__
        with self._lock:
            self.calls += 1
            self.errors += 1
            self.last_error = reason[:LONGEST_REASON]

    def percentile(self, share: float) -> float | None:
        """The duration that `share` (0..1) of the recent calls did not exceed; None without calls."""
        with self._lock:
            durations = sorted(self._recent)
        return durations[min(int(share * len(durations)), len(durations) - 1)] if durations else None

    # -- measuring -----------------------------------------------------------------------------------------
    @contextmanager
    def timing(self) -> Iterator[None]:
        """While a call lasts."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.failed(error)
            raise
        self.took(time.perf_counter() - began)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """While it is loaded and warmed up."""
        began = time.perf_counter()
        yield
        self.warm_up = time.perf_counter() - began

    def timed(self, call: Callable[P, T]) -> Callable[P, T]:
        """`call`, measured where it runs."""

        def measured(*arguments: P.args, **named: P.kwargs) -> T:
            with self.timing():
                return call(*arguments, **named)

        return update_wrapper(measured, call, assigned=(), updated=())

    async def to_first(self, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """`pieces`, measured until the first of them is there."""
        began, waiting = time.perf_counter(), True
        async with aclosing(pieces):
            try:
                async for piece in pieces:
                    if waiting:
                        waiting = False
                        self.took(time.perf_counter() - began)
                    yield piece
            except Exception as error:
                self.failed(error)
                raise

    def figures(self) -> dict[str, Any]:
        """For people and programs; milliseconds."""
        return {
            "warm_up_ms": _ms(self.warm_up),
            "calls": self.calls,
            "errors": self.errors,
            "p50_ms": _ms(self.percentile(0.5)),
            "p95_ms": _ms(self.percentile(0.95)),
            "last_error": self.last_error,
        }


def stage(handler: str, engine: object, meter: Meter) -> dict[str, Any]:
    """What is known of a part; `engine` is None until it is loaded."""
    return {
        "handler": handler,
        "loaded": engine is not None,
        "model": getattr(engine, "model", None),
        "device": getattr(engine, "device", None),
        **meter.figures(),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
