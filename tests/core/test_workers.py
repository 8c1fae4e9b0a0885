"""The bounded pool of threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from tests import vtime

from visavis.errors import VisavisError
from visavis.workers import STUCK, Workers


def test_no_more_calls_at_once_than_the_limit() -> None:
    gate, lock = threading.Event(), threading.Lock()
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1

    async def main() -> Workers:
        workers = Workers(2)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(workers.run, work)
            while workers.queue.waited < 3:
                await anyio.lowlevel.checkpoint()
            assert not workers.idle
            gate.set()
        return workers

    workers = anyio.run(main)
    assert most <= 2 and workers.queue.jobs == 5 and workers.queue.waited == 3 and workers.idle


def test_results_and_errors_come_through() -> None:
    async def main() -> None:
        workers = Workers(1)
        assert await workers.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 7, 0)

    anyio.run(main)


def test_a_cancelled_caller_gets_no_result() -> None:
    started, gate = threading.Event(), threading.Event()

    def work() -> str:
        started.set()
        gate.wait(10)
        return "late"

    async def main() -> list[str]:
        results: list[str] = []
        workers = Workers(1)

        async def ask() -> None:
            results.append(await workers.run(work))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while not started.is_set():
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
            gate.set()
        return results

    assert anyio.run(main) == []


def test_the_most_urgent_waits_least_and_who_gives_up_leaves_its_place() -> None:
    order: list[str] = []
    gate = threading.Event()

    async def main() -> Workers:
        workers = Workers(1)
        async with anyio.create_task_group() as tasks:

            async def ask(name: str, due: float) -> None:
                await workers.run(order.append, name, due=due)

            async def give_up(scope: anyio.CancelScope) -> None:
                with scope:
                    await ask("given up", 0.0)

            scope = anyio.CancelScope()
            tasks.start_soon(workers.run, gate.wait, 10)
            for name, due in (("late", 3.0), ("soon", 1.0), ("between", 2.0)):
                tasks.start_soon(ask, name, due)
            tasks.start_soon(give_up, scope)
            while len(workers.queue) < 4:
                await anyio.lowlevel.checkpoint()
            assert workers.queue.before(2.5) == 3
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            assert workers.queue.before(2.5) == 2
            gate.set()
        return workers

    workers = anyio.run(main)
    assert order == ["soon", "between", "late"]
    assert workers.queue.jobs == 4 and workers.idle


def test_a_place_that_is_given_to_somebody_who_leaves_is_not_lost() -> None:
    gate = threading.Event()

    async def main() -> int:
        workers = Workers(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workers.run, gate.wait, 10)
            await anyio.lowlevel.checkpoint()
            scope = anyio.CancelScope()

            async def leave() -> None:
                with scope:
                    await workers.run(len, ())

            tasks.start_soon(leave)
            while len(workers.queue) < 1:
                await anyio.lowlevel.checkpoint()
            gate.set()
            while len(workers.queue):  # until its place is given, and before it knows
                await asyncio.sleep(0)
            scope.cancel()
        return await workers.run(len, "abc")

    assert anyio.run(main) == 3


def test_the_delay_follows_from_what_calls_took_and_who_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(call: Callable[[], Any], *, limiter: anyio.CapacityLimiter) -> Any:
        await asyncio.sleep(1.0)
        return call()

    monkeypatch.setattr(anyio.to_thread, "run_sync", slow)

    async def main() -> list[float]:
        workers = Workers(2)
        delays = [workers.delay(5.0)]
        async with anyio.create_task_group() as tasks:
            await workers.run(dict)
            delays.append(workers.delay(5.0))  # nobody is in the way
            for due in (0.0, 0.0, 4.0, 5.0, 5.5, 6.0):
                tasks.start_soon(partial(workers.run, dict, due=due))
            await asyncio.sleep(0.5)
            delays += [workers.delay(3.0), workers.delay(5.0), workers.delay(9.0)]
        return delays

    assert vtime.run(main()) == pytest.approx([0.0, 0.0, 0.0, 0.5, 2.0])


class Asked:
    """Somebody who waits for a call, and what became of it."""

    def __init__(self, workers: Workers, call: Callable[[], Any]) -> None:
        self.task = asyncio.ensure_future(self._ask(workers, call))

    async def _ask(self, workers: Workers, call: Callable[[], Any]) -> Any:
        try:
            return await workers.run(call)
        except VisavisError as error:
            return error.code


def test_a_call_that_never_returns_takes_its_thread_along_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads are stood for by futures, so that nothing hangs beside the virtual clock."""

    async def thread(call: Callable[[], Any], *, limiter: anyio.CapacityLimiter) -> Any:
        found = call()
        return await found if isinstance(found, asyncio.Future) else found

    monkeypatch.setattr(anyio.to_thread, "run_sync", thread)

    async def main() -> None:
        workers, free = Workers(2), [asyncio.get_running_loop().create_future() for _ in range(2)]
        first = Asked(workers, lambda: free[0])
        await asyncio.sleep(STUCK - 1)
        assert workers.lost() == 0
        assert await Asked(workers, lambda: "another thread").task == "another thread"
        second = Asked(workers, lambda: free[1])
        await asyncio.sleep(2)
        assert (workers.lost(), workers.problems()) == (1, [])
        assert await first.task == "MODEL_STUCK"
        waiting = Asked(workers, lambda: "in vain")
        await asyncio.sleep(STUCK)
        assert not waiting.task.done()
        assert workers.lost() == 2
        assert [await each.task for each in (second, waiting)] == ["MODEL_STUCK", "MODELS_STUCK"]
        assert await Asked(workers, lambda: "in vain").task == "MODELS_STUCK"
        assert "MODELS_STUCK" in workers.problems()[0]
        free[0].set_result(None)  # it returns after all
        await asyncio.sleep(0.1)
        assert (workers.lost(), workers.problems()) == (1, [])
        assert await Asked(workers, lambda: "again").task == "again"
        free[1].set_exception(ValueError("late"))
        await asyncio.sleep(0.1)
        assert workers.lost() == 0 and workers.idle

    vtime.run(main())
