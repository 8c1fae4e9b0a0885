"""A port for the other servers, where somebody else serves the application to clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI

from visavis.server.reach import address_of
from visavis.server.run import bind, listening
from visavis.settings import Settings


class _Door(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are for whoever owns the process."""
        yield


def open_side_door(app: FastAPI, settings: Settings) -> None:
    """While `app` runs it is also served on a port of `server.host` that is free, and is known by it to the
    servers with which it shares a Redis. Raises `VisavisError`."""
    sock = bind(settings.server.host, 0)
    app.state.address = address_of(settings, sock.getsockname()[1])
    door, inside = _Door(listening(app, settings, lifespan="off")), app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inside(app) as state, anyio.create_task_group() as tasks:
            tasks.start_soon(door.serve, [sock])
            yield state
            door.should_exit = True

    app.router.lifespan_context = lifespan
