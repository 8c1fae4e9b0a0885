"""The one worker that moves all faces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from tests import vtime

from visavis.arkit import neutral
from visavis.events import Animated
from visavis.faces.animator import Animator


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


def work() -> Animated:
    return Animated(1, neutral(1))


def test_the_most_urgent_goes_first_and_waits_are_counted() -> None:
    order: list[str] = []

    async def main() -> Animator:
        animator = Animator(Slow(0.1))

        def ask(name: str, due: float, wanted: bool = True) -> None:
            animator.submit(due, work, lambda _: order.append(name), partial(bool, wanted))

        ask("at once", 9.0)
        ask("late", 3.0)
        ask("given up", 0.5, wanted=False)
        ask("soon", 1.0)
        assert animator.status() == {"waiting": 3, "jobs": 1, "waited": 3, "wait_s": 0.0}
        await asyncio.sleep(1)
        return animator

    animator = vtime.run(main())
    assert order == ["at once", "soon", "late"]
    # 0.1 s for the second and 0.2 s for the third; nobody waited for what was given up.
    assert animator.status() == {"waiting": 0, "jobs": 3, "waited": 3, "wait_s": 0.3}
