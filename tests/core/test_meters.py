"""What meters count and measure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from visavis.meters import RECENT, Meter, stage


def test_percentiles_are_of_the_recent_calls() -> None:
    meter = Meter()
    assert meter.percentile(0.5) is None
    for _ in range(50):
        meter.took(9.0)  # long ago
    for k in range(RECENT):
        meter.took(k / 1000)
    assert meter.calls == 50 + RECENT
    assert (meter.percentile(0.5), meter.percentile(0.95), meter.percentile(1.0)) == (0.128, 0.243, 0.255)


def test_failures_are_counted_with_the_last_reason() -> None:
    meter = Meter()
    divide = meter.timed(lambda a, b: a / b)
    assert divide(6, 3) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    with pytest.raises(TimeoutError), meter.timing():
        raise TimeoutError
    figures = meter.figures()
    assert (figures["calls"], figures["errors"], figures["last_error"]) == (3, 2, "TimeoutError")
    assert figures["p50_ms"] == figures["p95_ms"] >= 0
    meter.failed(ValueError("x" * 1000))
    assert meter.last_error == "x" * 300


def test_a_stream_is_measured_until_its_first_piece() -> None:
    closed = []

    async def pieces(broken: bool = False) -> AsyncGenerator[int, None]:
        try:
            yield 1
            if broken:
                raise ConnectionError("the line is dead")
            yield 2
        finally:
            closed.append(broken)

    async def use() -> None:
        assert [piece async for piece in meter.to_first(pieces())] == [1, 2]
        with pytest.raises(ConnectionError):
            _ = [piece async for piece in meter.to_first(pieces(broken=True))]
        async with aclosing(meter.to_first(pieces())) as left_early:
            await anext(left_early)

    meter = Meter()
    asyncio.run(use())
    assert (meter.calls, meter.errors, meter.last_error) == (4, 1, "the line is dead")
    assert closed == [False, True, False]


def test_a_stage_is_shown_with_what_it_says_of_itself() -> None:
    class Engine:
        model = "small"

    meter = Meter()
    assert (stage("mine", None, meter)["loaded"], stage("mine", None, meter)["warm_up_ms"]) == (False, None)
    with meter.loading():
        engine = Engine()
    shown = stage("mine", engine, meter)
    assert shown | {"handler": "mine", "loaded": True, "model": "small", "device": None} == shown
    assert shown["warm_up_ms"] >= 0
    assert shown["calls"] == 0
