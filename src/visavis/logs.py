"""Logs: for people at a terminal, one JSON object a line for everything else.

What people say or hear is never logged above debug level, and secrets are never logged at all.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

SECRETS = frozenset({"authorization", "key", "api_key", "password", "secret", "token", "resume"})
"""Names under which a value is a secret."""
TALKATIVE = ("uvicorn", "websockets", "httpx2", "httpcore2", "asyncio")
"""Libraries that log URLs, and tokens in them, or whole messages, below warning level."""


def set_up(*, debug: bool, stream: TextIO | None = None) -> None:
    """Send the logs of this process, our own and those of the libraries, to `stream` (default: stderr)."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(stream))
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderers(stream: TextIO) -> list[Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if stream.isatty():
        # Plain tracebacks: the pretty ones print local variables, and those hold keys and people's words.
        pretty = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [strip, pretty]
    return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _hide_secrets(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return {key: "***" if key.lower() in SECRETS else value for key, value in event.items()}
