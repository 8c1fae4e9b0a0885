"""OpenTelemetry: a span for every turn, with the stages of its ledger as events."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from visavis import __version__
from visavis import events as ev
from visavis.errors import ExtraMissing
from visavis.settings import Settings

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
except ImportError as missing:
    raise ExtraMissing("traces.url is set, which needs OpenTelemetry", "otel") from missing

EXPORT_SECONDS = 3
"""The longest that spans may take to leave, also when the server stops."""
MOST_OPEN = 10_000
"""Turns that are remembered while they are spoken; one whose session ended in the middle is never told."""


@dataclass(slots=True)
class _Open:
    shown: int
    """When its first frame was sent: nanoseconds of wall-clock time."""
    ledger: dict[ev.Stage, int] = field(default_factory=dict)
    """Milliseconds from the end of speech."""


class Traces:
    """Hears all sessions, on the event loop's thread. Spans leave in a thread of the provider's."""

    def __init__(self, provider: TracerProvider, clock: Callable[[], int] = time.time_ns) -> None:
        self._provider, self._clock = provider, clock
        self._tracer = provider.get_tracer("visavis", __version__)
        self._open: dict[tuple[str, int], _Open] = {}

    def hear(self, session: str, effect: ev.Effect) -> None:
        """Take what comes of a conversation."""
        match effect:
            case ev.TurnStarted(turn) if (session, turn) not in self._open:
                self._open[session, turn] = _Open(self._clock())
                while len(self._open) > MOST_OPEN:
                    del self._open[next(iter(self._open))]
            case ev.TurnLedger(turn, ms) if (session, turn) in self._open:
                self._open[session, turn].ledger.update(ms)
            case ev.TurnEnded(turn) if (session, turn) in self._open:
                self._tell(session, effect, self._open.pop((session, turn)))

    def _tell(self, session: str, ended: ev.TurnEnded, turn: _Open) -> None:
        """The span of a turn: from the end of the user's speech until it was heard."""
        begin = turn.shown - turn.ledger.get("sent", 0) * 1_000_000
        span = self._tracer.start_span("turn", start_time=begin)
        span.set_attributes(
            {
                "visavis.session": session,
                "visavis.turn": ended.turn,
                "visavis.interrupted": ended.interrupted,
                "visavis.heard_seconds": ended.heard,
                "visavis.underruns": ended.underruns,
            }
        )
        for stage, ms in sorted(turn.ledger.items(), key=lambda reached: reached[1]):
            span.add_event(stage, timestamp=begin + ms * 1_000_000)
        span.end(self._clock())

    async def aclose(self) -> None:
        """Send what is left."""
        await anyio.to_thread.run_sync(self._provider.shutdown)


def load(settings: Settings) -> Traces:
    """To the collector at `traces.url`."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "visavis", "service.version": __version__})
    )
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(settings.traces.url, timeout=EXPORT_SECONDS))
    )
    return Traces(provider)
