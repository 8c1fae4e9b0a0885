"""What is late for a while is too busy; what is late for a moment is not."""

from __future__ import annotations

import pytest

from visavis.lateness import LATE, MEMORY, MOMENT, Lateness


def noticed(*notices: tuple[float, float]) -> Lateness:
    """After notices (seconds late, when)."""
    found = Lateness()
    for seconds, now in notices:
        found.note(seconds, now)
    return found


def every(step: float, seconds: float, late: float, begin: float = 0.0) -> list[tuple[float, float]]:
    return [(late, begin + step * number) for number in range(round(seconds / step) + 1)]


@pytest.mark.parametrize("step", [1 / 120, 0.1, MOMENT])
def test_it_grows_while_all_is_late_however_often_that_is_noticed(step: float) -> None:
    found = noticed((0.0, 0.0), *every(step, MEMORY, 2 * LATE, step))
    assert found.share(step + MEMORY) == pytest.approx(1 - 1 / 2.718, abs=0.04)
    assert found.last == 2 * LATE


def test_it_is_forgotten_with_and_without_notices() -> None:
    late = every(0.1, 10 * MEMORY, 1.0)
    end = late[-1][1]
    assert noticed(*late).share(end) > 0.99
    assert noticed(*late).share(end + MEMORY) == pytest.approx(0.37, abs=0.01)
    again = noticed(*late, *every(0.1, MEMORY, 0.0, end))
    assert again.share(end + MEMORY) == pytest.approx(0.37, abs=0.01)
    assert again.last == 0.0


def test_a_single_moment_is_nothing_however_long_it_was() -> None:
    assert noticed((0.0, 0.0), (60.0, 60.0)).share(60.0) < 0.1
    assert noticed((60.0, 60.0)).share(60.0) < 0.1


def test_what_is_hardly_late_is_not() -> None:
    assert noticed(*every(0.1, 10.0, LATE)).share(10.0) == 0.0
