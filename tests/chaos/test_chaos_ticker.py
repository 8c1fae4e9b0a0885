"""The clock of all sessions on a loop whose timers, like some of uvloop, do not say when they are due."""

from __future__ import annotations

import asyncio
from typing import Any

from visavis.ticker import PERIOD, Look, Ticker


class Plain:
    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.cancel = timer.cancel


class Loop(asyncio.SelectorEventLoop):
    def call_at(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        return Plain(super().call_at(*arguments, **options))


class Often:
    """Has something to do soon again."""

    look: Look | None = None

    def __init__(self, ticker: Ticker) -> None:
        self._ticker, self.ticks = ticker, 0
        self.deadline: float | None = 0.0

    def tick(self, now: float, group: int) -> None:
        self.ticks += 1
        self.deadline = now + PERIOD / 4 if self.ticks < 3 else None
        self._ticker.watch(self)


def test_a_timer_need_not_tell_when_it_is_due() -> None:
    async def main() -> list[Any]:
        raised: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        ticker = Ticker()
        busy = [Often(ticker) for _ in range(3)]
        for one in busy:
            ticker.watch(one)
        while not raised and min(one.ticks for one in busy) < 3:
            await asyncio.sleep(0)
        return raised

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == []
