"""A real server that somebody has talked to in every dialect of conversations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from tests.ops.asking import get, post
from tests.process import Server, server
from websockets.asyncio.client import connect

QUICK = {"AGENT_TYPE": "scripted", "VISAVIS_SCRIPTED__SECONDS": "0.5", "VISAVIS_SCRIPTED__SPEED": "20"}
SECRET = "heliotrope zeppelin"
"""What they say; it must be found nowhere."""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An api session stays open."""
    with server(tmp_path_factory.mktemp("ops"), **QUICK) as started:
        created = json.loads(post(f"{started.http}/api/v1/sessions", {"output": "weights"})[2])
        post(f"{started.http}/api/v1/sessions/{created['session_id']}/text?wait=true", {"text": SECRET})
        post(f"{started.http}/api/v1/sessions", {"output": "smoke"})
        get(f"{started.http}/api/v1/sessions/nobody")
        asyncio.run(_talk(started))
        yield started


async def _talk(started: Server) -> None:
    async with connect(started.ws, max_size=None) as socket:
        await socket.send("{")
        await socket.send(json.dumps({"type": "text", "data": SECRET}))
        async with asyncio.timeout(20):
            async for message in socket:
                if json.loads(message)["type"] == "avatar_state" and "Listening" in str(message):
                    return


@pytest.fixture(scope="session")
def scraped(running: Server) -> str:
    """Its metrics."""
    return get(f"{running.http}/metrics")[2].decode()
