"""Counters of a server's conversations, for Prometheus; everything else is read when somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from visavis import events as ev

SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Bounds of the buckets."""
MOST_CODES = 100
"""Codes of errors that are told apart: agents make up their own."""
OTHER = "OTHER"
RECENT = 256
"""Turns whose latency is kept, and sessions whose last turn is."""


class Metrics:
    """Hears all sessions of a server, on the event loop's thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._stage = Histogram(
            "visavis_turn_stage_seconds",
            "From the end of the user's speech, or the text, to a stage of the answer.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._turns = Counter(
            "visavis_turns", "Turns of the avatar, by how they ended.", ["outcome"], registry=self.registry
        )
        self._heard = Counter("visavis_heard_seconds", "Speech that was heard.", registry=self.registry)
        self._underruns = Counter(
            "visavis_underruns", "Times a player had nothing left to play.", registry=self.registry
        )
        self._problems = Counter(
            "visavis_problems", "Errors that clients were told of, by code.", ["code"], registry=self.registry
        )
        self._refused = Counter(
            "visavis_refused_calls",
            "HTTP calls that got an error, by code.",
            ["code"],
            registry=self.registry,
        )
        self._codes: set[str] = set()
        self.frames = 0
        """Frames of avatars that left sessions."""
        self.latencies: deque[float] = deque(maxlen=RECENT)
        """Seconds to the first frame that was sent, of the last turns."""
        self.last: dict[str, Mapping[ev.Stage, int]] = {}
        """The ledger of the last turn, by session."""
        self._take: dict[type, Callable[[str, Any], None]] = {
            ev.Frames: self._count,
            ev.TurnLedger: self._ledger,
            ev.TurnEnded: self._ended,
            ev.Problem: self._problem,
        }

    def hear(self, session: str, effect: ev.Effect) -> None:
        """Take what comes of a conversation."""
        take = self._take.get(type(effect))
        if take is not None:
            take(session, effect)

    def _count(self, session: str, frames: ev.Frames) -> None:
        self.frames += len(frames.weights)

    def _ledger(self, session: str, ledger: ev.TurnLedger) -> None:
        for stage, ms in ledger.ms.items():
            if stage != "speech_end":
                self._stage.labels(stage).observe(ms / 1000)
        if "sent" in ledger.ms:
            self.latencies.append(ledger.ms["sent"] / 1000)
        self.last.pop(session, None)
        self.last[session] = ledger.ms
        while len(self.last) > RECENT:
            del self.last[next(iter(self.last))]

    def _ended(self, session: str, ended: ev.TurnEnded) -> None:
        self._turns.labels("interrupted" if ended.interrupted else "heard").inc()
        self._heard.inc(ended.heard)
        self._underruns.inc(ended.underruns)

    def _problem(self, session: str, problem: ev.Problem) -> None:
        self._problems.labels(self._known(problem.code)).inc()

    def refused(self, code: str) -> None:
        """An HTTP call got an error."""
        self._refused.labels(self._known(code)).inc()

    def _known(self, code: str) -> str:
        if len(self._codes) < MOST_CODES:
            self._codes.add(code)
        return code if code in self._codes else OTHER

    # -- asking --------------------------------------------------------------------------------------------
    def also(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Read these whenever somebody asks."""
        self.registry.register(_Read(read))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Read(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        """Nothing is read before somebody asks."""
        return ()


def gauge(name: str, about: str, values: Mapping[Any, float], *labels: str) -> Metric:
    """A value that goes up and down; `values` by tuples of those of the labels."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def counter(name: str, about: str, values: Mapping[Any, float], *labels: str) -> Metric:
    """One that only goes up; `_total` is added to its name."""
    family = CounterMetricFamily(name, about, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value that `share` (0..1) of them do not exceed; None without values."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
