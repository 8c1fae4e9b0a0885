"""What counts as flat, and when a server was late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from bench.leaks import BLOCKS, EVERY, FEW_BLOCKS, SLOPES, TELLING_MINUTES, Held, growth, left
from bench.pulse import PROMPT, Pulse
from tests import vtime

QUIET = Held(memory=200.0, tasks=6, threads=6, files=18, sessions=0, connections=1)
BUSY = Held(memory=250.0, tasks=260, threads=6, files=70, sessions=50, connections=50)


def hour(change: Callable[[float], Held]) -> list[tuple[float, Held]]:
    """Samples of an hour; `change` is what is held after so many hours."""
    return [(at, change(at / 3600)) for at in (EVERY * number for number in range(int(3600 / EVERY)))]


@pytest.mark.parametrize("kind", SLOPES)
def test_a_line_that_rises_is_told_and_what_is_made_at_the_beginning_is_not(kind: str) -> None:
    def rising(by: float) -> list[tuple[float, Held]]:
        return hour(lambda at: replace(BUSY, **{kind: 100 + by * at}))

    assert growth(rising(10.0))[kind] == pytest.approx(10)
    assert not left(rising(SLOPES[kind] * 0.9), QUIET, QUIET, 0, 1000, 60)
    (found,) = left(rising(SLOPES[kind] * 1.1), QUIET, QUIET, 0, 1000, 60)
    assert found.startswith(kind)
    assert not left(rising(SLOPES[kind] * 9), QUIET, QUIET, 0, 1000, TELLING_MINUTES - 1)
    early = hour(lambda at: replace(BUSY, **{kind: 100 + 9 * SLOPES[kind] * min(at, 0.3)}))
    assert not left(early, QUIET, QUIET, 0, 1000, 60)


def test_more_people_are_no_leak() -> None:
    def crowd(at: float) -> Held:
        people = 25 + 25 * at + 5 * (at * 1000 % 2)
        return replace(QUIET, tasks=6 + 5 * people, files=18 + people, sessions=people, connections=people)

    found = growth(hour(crowd))
    assert [found["tasks"], found["files"]] == pytest.approx([0, 0], abs=0.1)


@pytest.mark.parametrize("kind", ["tasks", "threads", "files", "sessions", "connections"])
def test_what_is_left_when_all_are_gone_is_told(kind: str) -> None:
    samples, after = hour(lambda _: BUSY), replace(QUIET, **{kind: getattr(QUIET, kind) + 1})
    assert left(samples, QUIET, after, 0, 1000, 60) == [f"1 {kind} are left"]
    assert not left(samples, after, QUIET, 0, 1000, 60)


def test_objects_are_counted_by_the_answer() -> None:
    samples = hour(lambda _: BUSY)
    assert not left(samples, QUIET, QUIET, FEW_BLOCKS, 10, 60)
    assert left(samples, QUIET, QUIET, FEW_BLOCKS + 1, 10, 60)
    assert not left(samples, QUIET, QUIET, int(BLOCKS * 100_000), 100_000, 60)


def test_a_pulse_knows_when_nobody_answered() -> None:
    async def main() -> None:
        pulse = Pulse()
        for seconds in (PROMPT / 2, PROMPT * 3, PROMPT / 2):
            await pulse._ask(asyncio.sleep(seconds, 0.0))
        late = [at / 100 for at in range(100) if pulse.late(at / 100, at / 100 + 0.01)]
        assert late[0] == pytest.approx(PROMPT / 2 + 0.05, abs=0.011)
        assert late[-1] == pytest.approx(PROMPT * 3.5 + 0.05, abs=0.011)
        assert len(pulse.waits) == 3

    vtime.run(main())
