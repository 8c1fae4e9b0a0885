"""The bounded pool of threads."""

from __future__ import annotations

import threading

import anyio
import pytest

from visavis.workers import Workers


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
            while workers.waited < 3:
                await anyio.lowlevel.checkpoint()
            assert not workers.idle
            gate.set()
        return workers

    workers = anyio.run(main)
    assert most <= 2 and workers.calls == 5 and workers.waited == 3 and workers.idle


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
