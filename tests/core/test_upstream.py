"""How a lost connection is made again, on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests import vtime

from visavis.agents.upstream import TELL_AFTER, Refused, Upstream
from visavis.errors import VisavisError

LOST = VisavisError("LOST", "It was lost.")


class Provider:
    """Connections are numbers. `down` attempts fail first; a connection ends when the test says so."""

    def __init__(self, down: float = 0, error: VisavisError = LOST) -> None:
        self.down, self.error = down, error
        self.attempts: list[float] = []
        self.told: list[VisavisError] = []
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.upstream = Upstream(self.dial, self.serve, self.tell, longest_wait=10.0, patience=5.0)

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[int]:
        self.attempts.append(asyncio.get_running_loop().time())
        if len(self.attempts) <= self.down:
            raise self.error
        yield len(self.attempts)

    async def serve(self, connection: int) -> None:
        self.end = asyncio.get_running_loop().create_future()
        await self.end

    async def tell(self, error: VisavisError) -> None:
        self.told.append(error)


def play(script: Callable[[Provider], Awaitable[None]], down: float = 0, error: VisavisError = LOST) -> None:
    async def main() -> None:
        provider = Provider(down, error)
        running = asyncio.create_task(provider.upstream.run())
        try:
            await script(provider)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    vtime.run(main())


def test_the_waits_grow_to_the_longest_and_the_user_is_told_once() -> None:
    async def script(provider: Provider) -> None:
        await asyncio.sleep(200)
        waits = [b - a for a, b in zip(provider.attempts, provider.attempts[1:], strict=False)]
        for number, wait in enumerate(waits):
            expected = min(10.0, 0.25 * 2**number)
            assert expected / 2 <= wait <= expected
        assert len(waits) > 20
        assert provider.told == [LOST]
        assert provider.upstream.connection is None

    play(script, down=1e9)


def test_a_short_outage_is_not_told() -> None:
    async def script(provider: Provider) -> None:
        await asyncio.sleep(60)
        assert provider.upstream.connection == TELL_AFTER
        assert not provider.told

    play(script, down=TELL_AFTER - 1)


def test_who_asks_ends_the_wait_and_is_told_instead() -> None:
    async def script(provider: Provider) -> None:
        await asyncio.sleep(100)
        before, now = len(provider.attempts), asyncio.get_running_loop().time()
        with pytest.raises(VisavisError, match="It was lost"):
            await provider.upstream.get()
        assert provider.attempts[before] == now
        assert asyncio.get_running_loop().time() <= now + 5.0
        provider.down = 0
        assert await provider.upstream.get() == len(provider.attempts)
        assert provider.told == [LOST]

    play(script, down=1e9)


def test_a_refusal_is_tried_again_only_when_somebody_asks() -> None:
    refused = Refused("KEY", "The key is wrong.")

    async def script(provider: Provider) -> None:
        await asyncio.sleep(1000)
        assert len(provider.attempts) == 1
        assert provider.told == [refused]
        with pytest.raises(Refused):
            await provider.upstream.get()
        assert len(provider.attempts) == 2
        provider.down = 0
        assert await provider.upstream.get() == 3

    play(script, down=1e9, error=refused)


def test_a_connection_that_is_given_up_is_replaced_at_once() -> None:
    async def script(provider: Provider) -> None:
        assert await provider.upstream.get() == 1
        provider.upstream.drop()
        assert provider.upstream.connection is None
        provider.end.set_result(None)
        assert await provider.upstream.get() == 2
        assert provider.attempts == [0.0, 0.0]

    play(script)


def test_a_connection_that_is_lost_at_once_is_not_hammered() -> None:
    async def script(provider: Provider) -> None:
        for _ in range(6):
            await provider.upstream.get()
            provider.end.set_exception(LOST)
            await asyncio.sleep(30)
        assert len(provider.attempts) == 7
        assert not provider.told  # whoever serves has told

    play(script)
