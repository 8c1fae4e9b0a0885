"""Logs: for people at a terminal, one JSON object a line for everything else.

What is logged while a session runs, wherever that is, carries its id and the number of the last turn. What
people say or hear is never logged above debug level, and secrets are never logged at all.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from visavis import events as ev
from visavis.settings import LogSettings

SECRETS = frozenset({"authorization", "key", "api_key", "password", "secret", "token", "resume"})
"""Names under which a value is a secret."""
TALKATIVE = ("uvicorn", "websockets", "httpx2", "httpcore2", "asyncio")
"""Libraries that log URLs, and tokens in them, or whole messages, below warning level."""
_log = structlog.get_logger()


def set_up(settings: LogSettings | None = None, *, debug: bool = False, stream: TextIO | None = None) -> None:
    """Send the logs of this process, our own and those of the libraries, to `stream` (default: stderr);
    `debug` is the level of that name."""
    settings, stream = settings or LogSettings(), stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_the_talk,
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
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(settings, stream))
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.DEBUG if debug else settings.level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_turns(session: str, effect: ev.Effect) -> None:
    """What comes of a conversation, as far as operators should know: how, never what."""
    match effect:
        case ev.TurnEnded(turn, _, interrupted, heard, underruns):
            told = {"interrupted": interrupted, "heard_s": round(heard, 2), "underruns": underruns}
            _log.info("turn ended", session=session, turn=turn, **told)
        case ev.TurnLedger(turn, ms):
            _log.info(
                "latency", session=session, turn=turn, **{f"{stage}_ms": at for stage, at in ms.items()}
            )
        case ev.Problem(code):
            _log.warning("the client was told of a problem", session=session, code=code)


def _renderers(settings: LogSettings, stream: TextIO) -> list[Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if settings.format == "console" or (settings.format == "auto" and stream.isatty()):
        # Plain tracebacks: the pretty ones print local variables, and those hold keys and people's words.
        pretty = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [strip, pretty]
    return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _name_the_talk(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A session binds itself as `talk`: which turn it is in changes. An event may name another session."""
    talk = event.pop("talk", None)
    if talk is not None and event.setdefault("session", talk.id) == talk.id:
        event.setdefault("turn", talk.turn)
    return event


def _hide_secrets(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return {key: "***" if key.lower() in SECRETS else value for key, value in event.items()}
