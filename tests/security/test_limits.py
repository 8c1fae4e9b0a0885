"""Limits at their boundary, on a clock of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.security import limits
from visavis.security.limits import Bucket, Counts, Rates


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    bucket = Bucket(rate=2, burst=3, now=100)
    assert [bucket.take(1, 100) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(1, 100) == 0.5
    assert not bucket.take(1, 100.49)
    assert bucket.take(1, 100.5)
    assert not bucket.take(1, 100.5)


def test_a_pause_is_worth_no_more_than_a_burst() -> None:
    bucket = Bucket(rate=1, burst=2, now=0)
    assert [bucket.take(1, 1000) for _ in range(3)] == [True, True, False]


def test_what_is_larger_than_a_burst_passes_once_and_is_paid_back() -> None:
    bucket = Bucket(rate=10, burst=20, now=0)
    assert bucket.take(50, 0)
    assert bucket.wait(1, 0) == pytest.approx(3.1)
    assert not bucket.take(50, 4.5)
    assert bucket.take(50, 5.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(rate=1, burst=1, now=10)
    assert bucket.take(1, 10)
    assert not bucket.take(1, 5)
    assert not bucket.take(1, 10.5)


@given(st.lists(st.floats(0, 2), max_size=100), st.floats(0.5, 20), st.integers(1, 30))
def test_never_more_than_burst_and_rate_allow(pauses: list[float], rate: float, burst: int) -> None:
    bucket, now, passed = Bucket(rate, burst, 0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(1, now)
        assert passed <= burst + rate * now + 1e-6


def test_a_hundred_requests_a_minute_and_not_one_more() -> None:
    rates = Rates(100 / 60, 100)
    assert [rates.take("a", 0) for _ in range(100)] == [0.0] * 100
    assert rates.take("a", 0) == pytest.approx(0.6)
    assert rates.take("b", 0) == 0, "another address is another matter"
    assert rates.take("a", 0.59) > 0
    assert rates.take("a", 0.6001) == 0
    assert rates.take("a", 0.6001) > 0


def test_what_does_not_count_after_all_is_given_back() -> None:
    rates = Rates(1, 1)
    assert rates.take("a", 0) == 0
    rates.give_back("a")
    assert rates.wait("a", 0) == 0
    rates.give_back("nobody")
    assert len(rates) == 1


def test_addresses_that_are_quiet_again_are_forgotten() -> None:
    rates = Rates(1, 2)
    for number in range(10):
        rates.take(str(number), number)
    assert len(rates) <= 3
    rates.take("new", 100)
    assert len(rates) == 1


def test_no_flood_of_addresses_takes_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_KEYS", 5)
    rates = Rates(0.001, 2)
    for number in range(50):
        rates.take(str(number), 0)
    assert len(rates) == 5


def test_so_many_at_a_time() -> None:
    counts = Counts(2)
    assert [counts.enter("a") for _ in range(3)] == [True, True, False]
    assert counts.enter("b")
    counts.leave("a")
    assert counts.enter("a")
    for key in "aab":
        counts.leave(key)
    assert len(counts) == 0
    assert all(Counts(0).enter("a") for _ in range(1000))
