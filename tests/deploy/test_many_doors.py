"""A server whose clients come to somebody else's port has one of its own for the other servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest
from tests.redis_server import needs_redis, redis_server

from visavis.server import redis_state
from visavis.server.app import create_app
from visavis.server.directory import SERVERS
from visavis.server.redis_state import connected
from visavis.server.side_door import open_side_door
from visavis.settings import Settings

PATIENCE = 60.0


@needs_redis
def test_others_reach_it_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_state, "TIMEOUT", PATIENCE)  # on a busy machine

    async def main(url: str) -> None:
        told = {
            "agent": "scripted",
            "auth": {"secret_key": "k" * 32},
            "cluster": {"redis": url},
            "face": {"engine": "energy"},
        }
        settings = Settings.model_validate(told)
        app = create_app(settings)
        open_side_door(app, settings)
        async with httpx2.AsyncClient(base_url=app.state.address, timeout=PATIENCE) as other:
            async with app.router.lifespan_context(app), asyncio.timeout(PATIENCE):
                redis = connected(url, decode=True)
                (told_to_all,) = await redis.zrange(SERVERS, 0, -1)
                assert str(told_to_all).split()[1] == app.state.address
                await redis.aclose()
                assert (await other.get("/ready")).status_code == 200
            with pytest.raises(httpx2.ConnectError):
                await other.get("/ready")

    with TemporaryDirectory(prefix="visavis-") as folder, redis_server(Path(folder)) as running:
        asyncio.run(main(running.url))
