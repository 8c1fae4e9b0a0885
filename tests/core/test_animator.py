"""The one worker that moves all faces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from tests import vtime

from visavis.arkit import neutral
from visavis.events import Animated
from visavis.faces.animator import BEAT, HUNG, MOST, MOST_LEFT, SLACK, Animator


class Slow(Executor):
    """A worker that takes `seconds` of virtual time for each job."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def finish() -> None:
            future.set_result(fn(*args, **kwargs))

        asyncio.get_running_loop().call_later(self._seconds, finish)
        return future


class Worker:
    """Moves nothing, and keeps what it was given at once."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, moves: Sequence[Any]) -> list[Animated]:
        self.batches.append(list(moves))
        return [Animated(len(self.batches), neutral(1))] * len(moves)


def run(seconds: float, *jobs: tuple[float, str, float, bool]) -> tuple[Worker, Animator, list[str]]:
    """Ask for jobs (when, name, due, wanted) of a worker that takes `seconds` for a batch."""
    worker, order = Worker(), list[str]()

    async def main() -> Animator:
        animator, begun = Animator(Slow(seconds), worker), 0.0
        for at, name, due, wanted in jobs:
            await asyncio.sleep(at - begun)
            begun = at
            move: Any = name
            animator.submit(due, move, partial(_note, order, name), partial(bool, wanted), _lost)
        await asyncio.sleep(1)
        return animator

    return worker, vtime.run(main()), order


def test_the_most_urgent_go_first_together_and_waits_are_counted() -> None:
    worker, animator, order = run(
        0.1,
        (0.0, "at once", 9.0, True),
        (0.0, "late", 3.0, True),
        (0.0, "given up", 0.5, False),
        (0.0, "soon", 1.0, True),
    )
    assert worker.batches == [["at once"], ["soon", "late"]]
    assert order == ["at once", "soon", "late"]
    # 0.1 s for each of two; nobody waited for what was given up.
    assert animator.status() == {"waiting": 0, "jobs": 3, "waited": 3, "wait_s": 0.2}


def test_a_batch_is_never_larger_than_it_may_be() -> None:
    names = [f"job {number:02}" for number in range(MOST + 4)]
    worker, _, order = run(0.1, *((0.0, name, 1.0 + i, True) for i, name in enumerate(names)))
    assert [len(batch) for batch in worker.batches] == [1, MOST, 3]
    assert order == names


def test_who_comes_right_after_another_waits_a_beat_for_company_and_who_comes_alone_does_not() -> None:
    worker, animator, _ = run(
        0.001,
        (0.0, "first", 0.0, True),
        (BEAT / 2, "second", 0.0, True),
        (BEAT * 3 / 4, "third", 0.0, True),
        (BEAT * 5, "alone", 0.0, True),
    )
    assert worker.batches == [["first"], ["second", "third"], ["alone"]]
    assert animator.queue.wait_seconds == pytest.approx(BEAT * 3 / 4)


def test_faces_that_are_in_no_hurry_wait_longer_for_company_until_one_is() -> None:
    later, hurry = SLACK + 2 * BEAT, BEAT + SLACK / 2
    worker, animator, _ = run(
        0.001,
        (0.0, "first", 0.0, True),
        (BEAT / 2, "second", 9.0, True),
        (hurry, "third", 9.0, True),
        (later, "fourth", 9.0, True),
        (later + hurry, "at once", 0.0, True),
    )
    assert worker.batches == [["first"], ["second", "third"], ["at once", "fourth"]]
    assert animator.queue.wait_seconds == pytest.approx(BEAT / 2 + SLACK + SLACK / 2 + hurry)


def test_a_full_batch_waits_for_no_beat() -> None:
    jobs = [(0.0, "first", 1.0, True), *((0.002, f"job {n}", 1.0, True) for n in range(MOST))]
    worker, animator, _ = run(0.001, *jobs)
    assert [len(batch) for batch in worker.batches] == [1, MOST]
    assert animator.queue.wait_seconds == pytest.approx(0)


def _note(order: list[str], name: str, animated: Animated) -> None:
    order.append(name)


def _lost() -> None:
    raise AssertionError("the worker returned")


class EarlyLoop(vtime.VirtualLoop):
    """Its timers come a little early, as those of uvloop do."""

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_at(when - 0.0005, callback, *args, context=context)


def test_a_timer_that_comes_early_loses_nothing() -> None:
    loop, worker, order = EarlyLoop(), Worker(), list[str]()

    async def main() -> None:
        animator = Animator(Slow(0.001), worker)
        for name in ("first", "second"):
            move: Any = name
            animator.submit(1.0, move, partial(_note, order, name), lambda: True, _lost)
            await asyncio.sleep(0.003)
        await asyncio.sleep(1)

    with closing(loop):
        loop.run_until_complete(main())
    assert order == ["first", "second"]


class Hanging(Executor):
    """A worker that returns when it is let go."""

    def __init__(self) -> None:
        self.given: Future[Any] = Future()
        self.closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.given

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        assert not wait
        self.closed = True


def test_a_worker_that_does_not_return_is_left_behind_a_few_times() -> None:
    worker, told = Worker(), list[str]()

    def ask(animator: Animator, name: str) -> None:
        move: Any = name
        animator.submit(
            0.0, move, partial(_note, told, name), lambda: True, lambda: told.append(f"no {name}")
        )

    async def main() -> None:
        hanging = [Hanging() for _ in range(MOST_LEFT)]
        others: list[Executor] = [*hanging[1:], Slow(0.01), Slow(0.01)]
        animator = Animator(hanging[0], worker, lambda: others.pop(0))
        for number in range(MOST_LEFT - 1):
            told.clear()
            ask(animator, "stuck")
            await asyncio.sleep(HUNG - 0.1)
            assert not told
            await asyncio.sleep(0.2)
            assert told == ["no stuck"]
            assert (animator.left, animator.problems) == (number + 1, [])
            assert hanging[number].closed
        told.clear()
        ask(animator, "stuck")
        await asyncio.sleep(0.1)
        ask(animator, "waiting")
        await asyncio.sleep(HUNG)
        assert told == ["no stuck", "no waiting"]
        assert "FACES_STUCK" in animator.problems[0]
        ask(animator, "refused")
        await asyncio.sleep(0.1)
        assert told[-1] == "no refused"
        hanging[0].given.set_result([])  # it returns after all: there is room for one more
        await asyncio.sleep(0.1)
        assert (animator.left, animator.problems) == (MOST_LEFT - 1, [])
        ask(animator, "moved")
        await asyncio.sleep(2 * HUNG)
        assert told[-1] == "moved"
        animator.close()

    vtime.run(main())
