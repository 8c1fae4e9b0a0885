"""A connection to a provider that is made again whenever it is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Generic, TypeVar

import structlog

from visavis.errors import VisavisError

ASKED_WAIT = 1.0
"""Longest pause in seconds while somebody waits for an answer."""
FIRST_WAIT = 0.25
"""Seconds before the second attempt; the wait doubles with each further one."""
STABLE = 5.0
"""Seconds after which a connection counts as having worked."""
TELL_AFTER = 3
"""Failed attempts in a row before the user is told."""

C = TypeVar("C")


class Refused(VisavisError):
    """The provider does not want us; trying again is of no use until a person has changed something."""


class Upstream(Generic[C]):
    """Keeps one connection of a conversation.

    `dial` opens it or raises `VisavisError`. `serve` uses it; it returns to have a fresh one at once, and
    raises `VisavisError` when it was lost and the user has been told, if need be. What was lost is dialled
    again with growing waits, up to `longest_wait` seconds, until `run` is cancelled; after a refusal only
    when somebody asks. `tell` gets one error when none can be made at first, unless somebody who asks does.
    """

    def __init__(
        self,
        dial: Callable[[], AbstractAsyncContextManager[C]],
        serve: Callable[[C], Awaitable[None]],
        tell: Callable[[VisavisError], Awaitable[None]],
        *,
        longest_wait: float,
        patience: float,
    ) -> None:
        self._dial, self._serve, self._tell = dial, serve, tell
        self._longest_wait, self._patience = longest_wait, patience
        self._attempt: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._asked = asyncio.Event()
        self._asking = 0
        self._failures = 0
        self._told = False

    @property
    def connection(self) -> C | None:
        """The connection, if there is one now."""
        return self._attempt.result() if self._attempt.done() else None

    async def get(self) -> C:
        """The connection, waiting for it no longer than `patience`.

        Raises the `VisavisError` that kept it from being made.
        """
        if self._attempt.done():
            return self._attempt.result()
        self._failures = 0
        self._asked.set()
        self._asking += 1
        error: VisavisError | None = None
        try:
            async with asyncio.timeout(self._patience):
                while not isinstance(error, Refused):
                    try:
                        return await asyncio.shield(self._attempt)
                    except VisavisError as failure:
                        error = failure
        except TimeoutError:
            pass
        finally:
            self._asking -= 1
        self._told = True
        raise error or VisavisError("AGENT_TIMEOUT", "The agent takes too long to connect. Please try again.")

    async def run(self) -> None:
        """Connect, serve, and connect again; ends only when it is cancelled."""
        while True:
            error: VisavisError | None = None
            began = asyncio.get_running_loop().time()
            made = False
            try:
                async with self._dial() as connection:
                    made = True
                    self._attempt.set_result(connection)
                    try:
                        await self._serve(connection)
                    finally:
                        self.drop()
            except VisavisError as failure:
                error = failure
            if made:
                self._told = error is not None  # whoever serves has told what happened
                worked = error is None or asyncio.get_running_loop().time() - began > STABLE
                self._failures = 0 if worked else self._failures + 1
            else:
                self._failures += 1
                assert error is not None
                self._renew().set_exception(error)
                await self._report(error)
            await self._wait(error)

    def drop(self) -> None:
        """The connection is not to be used any more: `serve` is about to return, or has."""
        if self._attempt.done():
            self._renew()

    def _renew(self) -> asyncio.Future[C]:
        """From now on people wait for the next attempt; returns the last one."""
        last, self._attempt = self._attempt, asyncio.get_running_loop().create_future()
        self._asked.clear()
        last.add_done_callback(lambda done: done.exception())  # perhaps nobody waits for it
        return last

    async def _report(self, error: VisavisError) -> None:
        structlog.get_logger().warning("no connection to the agent", code=error.code, reason=str(error))
        lasting = isinstance(error, Refused) or self._failures >= TELL_AFTER
        if lasting and not self._told and not self._asking:
            self._told = True
            await self._tell(error)

    async def _wait(self, error: VisavisError | None) -> None:
        """The pause before the next attempt; somebody who asks ends it."""
        if isinstance(error, Refused):
            await self._asked.wait()
        elif self._failures > 0:
            # Many conversations lose the same server at the same moment: not all come back at the same one.
            doubled = FIRST_WAIT * 2.0 ** min(self._failures - 1, 16)
            seconds = min(self._longest_wait, doubled) * random.uniform(0.5, 1)
            if self._asking:
                await asyncio.sleep(min(seconds, ASKED_WAIT))
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._asked.wait()
