"""What must never happen, whatever the weather: an exception that nobody handled, something left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI
from structlog.typing import EventDict, WrappedLogger

FILES = Path("/proc/self/fd")
DOCS = Path(__file__).parents[2] / "docs"
CODE = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)`")
LOUD = frozenset({"error", "critical", "exception"})


def documented() -> frozenset[str]:
    """The codes of errors that the documentation names."""
    return frozenset(code for page in DOCS.glob("*.md") for code in CODE.findall(page.read_text()))


class Alarms(logging.Handler):
    """Everything that was logged as an error, and every exception that reached the event loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.raised: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.raised.append(record.getMessage())

    def of_structlog(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if method in LOUD:
            error = event.get("exc_info")
            error = sys.exc_info()[1] if error is True else error
            self.raised.append(f"{event['event']}: {error!r}")
        raise structlog.DropEvent

    def of_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.raised.append(f"{context['message']}: {context.get('exception')!r}")


@contextmanager
def alarms() -> Iterator[Alarms]:
    """Listens; inside a running event loop."""
    kept, loop = structlog.get_config(), asyncio.get_running_loop()
    found = Alarms()
    structlog.configure(processors=[found.of_structlog])
    logging.root.addHandler(found)
    loop.set_exception_handler(found.of_loop)
    try:
        yield found
    finally:
        loop.set_exception_handler(None)
        logging.root.removeHandler(found)
        structlog.configure(**kept)


POOLED = "AnyIO worker thread"
"""Threads that are kept for the next work: a pool, which is bounded."""


@dataclass(frozen=True)
class Census:
    """What a server holds, and the process that it runs in, by kind."""

    held: Counter[str]

    @classmethod
    def of(cls, app: FastAPI) -> Census:
        gc.collect()
        state = app.state
        held = Counter(sessions=len(state.sessions), talks=len(state.talks), lines=len(state.lines))
        held.update(f"task {task.get_coro()}".split(" at 0x")[0] for task in asyncio.all_tasks())
        held.update(f"thread {thread.name}" for thread in threading.enumerate() if thread.name != POOLED)
        held.update(f"file {opened}" for opened in _files())
        held.update(temporary=len(list(Path(tempfile.gettempdir()).glob("visavis-*"))))
        return cls(held)

    def left(self, before: Census) -> dict[str, int]:
        """What there is more of than before; what earlier tests left behind may meanwhile have gone."""
        return dict(self.held - before.held)


def _files() -> Iterator[str]:
    for entry in FILES.iterdir() if FILES.is_dir() else ():
        with suppress(FileNotFoundError):  # the folder itself, opened to list it
            yield str(entry.readlink()).split(":")[0]  # sockets and pipes have numbers
