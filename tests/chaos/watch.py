"""What must never happen, whatever the weather: an exception that nobody handled, something left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class Census:
    """What a server holds."""

    sessions: int
    talks: int
    lines: int
    tasks: int
    threads: int
    files: int
    temporary: int

    @classmethod
    def of(cls, app: FastAPI) -> Census:
        gc.collect()
        return cls(
            len(app.state.sessions),
            len(app.state.talks),
            len(app.state.lines),
            len(asyncio.all_tasks()),
            threading.active_count(),
            len(list(FILES.iterdir())) if FILES.is_dir() else 0,
            len(list(Path(tempfile.gettempdir()).glob("visavis-*"))),
        )
