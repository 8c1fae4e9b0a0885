"""A span for every turn."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.talk import Script, drive, reply

from visavis import events as ev
from visavis.conversation import Conversation
from visavis.tracing import Traces

BEGAN = 1_700_000_000.0
"""When the talk's clock was 0, in seconds of wall-clock time."""


def spans(script: Script, face_delay: float = 0.0) -> list[ReadableSpan]:
    exporter, now = InMemorySpanExporter(), 0.0
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider, lambda: round((BEGAN + now) * 1e9))
    for now, effect in drive(Conversation(), script, face_delay=face_delay):  # noqa: B007 - the clock reads it
        traces.hear("s1", effect)
    return list(exporter.get_finished_spans())


def since(ns: int | None) -> float:
    assert ns is not None
    return round(ns / 1e9 - BEGAN, 2)


def test_a_turn_is_a_span_from_the_end_of_speech_until_it_was_heard() -> None:
    _, events = reply(24_000, at=0.5, words=(ev.Word("heliotrope", 0.1, 0.4),))
    (span,) = spans([(0.0, ev.UserText("zeppelin")), *events], face_delay=0.25)
    assert span.name == "turn"
    assert (since(span.start_time), since(span.end_time)) == (0.0, 2.0)
    assert [(event.name, since(event.timestamp)) for event in span.events] == [
        ("speech_end", 0.0),
        ("first_audio", 0.5),
        ("first_frame", 0.75),
        ("sent", 0.75),
    ]
    assert dict(span.attributes or {}) == {
        "visavis.session": "s1",
        "visavis.turn": 1,
        "visavis.interrupted": False,
        "visavis.heard_seconds": 1.0,
        "visavis.underruns": 0,
    }
    assert "heliotrope" not in span.to_json()
    assert "zeppelin" not in span.to_json()


def test_a_turn_that_nobody_asked_for_begins_when_it_is_seen() -> None:
    _, events = reply(24_000, at=0.5)
    (span,) = spans(events)
    assert since(span.start_time) == 0.5
    assert span.events == ()


def test_an_interrupted_turn_says_so() -> None:
    _, events = reply(48_000)
    (span,) = spans([(0.0, ev.UserText("a")), *events, (0.5, ev.Interrupt())])
    assert (span.attributes or {})["visavis.interrupted"] is True
    assert since(span.end_time) == 0.5
