"""Several real servers that share a real Redis: any of them will do, and one may die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import httpx2
import pytest
import redis
from bench.failover import Talker, killed
from bench.marked import speech
from tests.deploy.test_many_files import needs_nginx, nginx, reached
from tests.process import Server, certificate, server
from tests.redis_server import RedisServer, needs_redis, redis_server
from tests.server.test_middleware_auth import KEY, forged
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from visavis.server.hop import HEADER

pytestmark = needs_redis
ROOT = Path(__file__).parents[2]
SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    "AGENT_TYPE": "bench.marked:load",
    "AUTH_SECRET_KEY": KEY,
    "AUTH_ENABLED": "true",
    "AUTH_ENABLE_RATE_LIMITING": "false",
    "VISAVIS_FACE__ENGINE": "energy",
    "VISAVIS_SCRIPTED__SPEED": "20",
    "VISAVIS_VIDEO__FPS": "30",
}
PATIENCE = 60.0


@dataclass
class House:
    """Two servers that stay, and what another one needs to join them."""

    redis: RedisServer
    servers: list[Server]
    folder: Path

    def another(self, **settings: str) -> Any:
        return server(self.folder, **SETTINGS, VISAVIS_REDIS_URL=self.redis.url, **settings)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with TemporaryDirectory(prefix="visavis-") as name, ExitStack() as stack:
        folder = Path(name)
        redis = stack.enter_context(redis_server(folder))
        house = House(redis, [], folder)
        house.servers += [stack.enter_context(house.another()) for _ in range(2)]
        yield house


def bearer(subject: str = "ann", scope: str = "talk read") -> dict[str, str]:
    hour = int(time.time()) + 3600
    return {"Authorization": f"Bearer {forged(sub=subject, scope=scope, jti=subject, exp=hour)}"}


def client(at: Server, subject: str = "ann", **headers: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=at.http, headers=bearer(subject) | headers, timeout=PATIENCE)


def talker(
    name: str, *places: Server, kind: Literal["widget", "api"] = "widget", seconds: float = 8.0
) -> Talker:
    return Talker(name, [place.http for place in places], seconds, kind, bearer())


async def begun(at: httpx2.AsyncClient, **wanted: Any) -> str:
    answer = await at.post("/api/v1/sessions", json={"output": "weights", **wanted})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session_id"])


# -- any server will do --------------------------------------------------------------------------------------
def test_every_call_of_a_session_can_go_to_any_server(house: House) -> None:
    async def main() -> None:
        one, two = house.servers
        async with client(one) as here, client(two) as there:
            session = await begun(here, metadata={"customer": 7})
            path = f"/api/v1/sessions/{session}"
            found = (await there.get(path)).json()
            assert (found["metadata"], found["ws_url"]) == (
                {"customer": 7},
                f"ws://127.0.0.1:{two.port}{path}/ws",
            )
            reply = await there.post(f"{path}/text", json={"text": "ann 0.5"}, params={"wait": "true"})
            assert (reply.status_code, reply.json()["turn_id"]) == (200, "turn_1")
            assert (await there.patch(path, json={"avatar": "daniel"})).json()["avatar"] == "daniel"
            assert (await here.get(path)).json()["transcript"][0]["text"] == "ann 0.5"
            wrong = await there.post(f"{path}/text", json={"txt": 1})
            assert (wrong.status_code, wrong.json()["code"]) == (422, "BAD_REQUEST")
            assert wrong.headers["x-content-type-options"] == "nosniff"
            assert len(wrong.headers.get_list("date")) == 1
            noise = await there.post(f"{path}/audio", content=bytes(300_000), headers={"Content-Type": "a/b"})
            assert noise.status_code == 415
            assert (await there.delete(path)).status_code == 204
            for each in (here, there):
                gone = await each.get(path)
                assert (gone.status_code, gone.json()["code"]) == (410, "SESSION_ENDED")

    asyncio.run(main())


def test_streams_come_through_another_server_as_they_are_made(house: House) -> None:
    async def main() -> None:
        one, two = house.servers
        async with client(one) as here, client(two) as there:
            path = f"/api/v1/sessions/{await begun(here)}"
            frames = 0
            async with there.stream("GET", f"{path}/avatar", params={"format": "weights"}) as events:
                assert events.headers["content-type"].startswith("text/event-stream")
                await here.post(f"{path}/text", json={"text": "ann 20.00"})
                async for line in events.aiter_lines():
                    frames += line == "event: frame"
                    if frames == 30:  # of 600: the answer goes on
                        assert (await here.get(path)).json()["state"] == "speaking"
                        break
            headers = bearer()
            url = f"{two.ws.removesuffix('/ws')}{path}/ws"
            async with connect(url, additional_headers=headers, max_size=None) as socket:
                await socket.send(json.dumps({"type": "ping"}))
                while json.loads(await socket.recv())["type"] != "pong":
                    pass
                assert (await there.delete(path)).status_code == 204
                async with asyncio.timeout(PATIENCE):
                    await socket.wait_closed()
                assert socket.close_code == 1000

    asyncio.run(main())


def test_a_page_that_asks_here_and_there_is_answered(house: House) -> None:
    async def main() -> None:
        one, two = house.servers
        async with client(one) as here, client(two) as there:
            session = (await here.post("/api/session")).json()["sessionId"]
            started = await there.post("/api/muse/start", json={"sessionId": session, "text": "hello"})
            assert started.json() == {"mode": "mse", "url": f"/api/muse/stream/{session}"}
            unknown = {"sessionId": "x" * 20, "text": "hello"}
            assert (await there.post("/api/muse/start", json=unknown)).status_code == 404

    asyncio.run(main())


def test_the_sessions_of_others_are_not_there_at_any_server(house: House) -> None:
    async def main() -> None:
        one, two = house.servers
        async with client(one) as here, client(two, "bob") as bob, client(one, "bob") as bob_too:
            session = await begun(here)
            for each in (bob, bob_too):
                answer = await each.get(f"/api/v1/sessions/{session}")
                assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_SESSION")
            forged = {HEADER: f"0;x;127.0.0.1;http;{'0' * 64}"}
            refused = await bob.get(f"/api/v1/sessions/{session}", headers=forged)
            assert refused.status_code == 403
            with pytest.raises(InvalidStatus):
                await connect(two.ws, additional_headers=bearer() | forged)

    asyncio.run(main())


def test_a_widget_that_comes_back_to_another_server_goes_on(house: House) -> None:
    async def main() -> None:
        one, two = house.servers
        ann = talker("ann", one, two, seconds=4)
        asking = asyncio.create_task(ann.run())
        while len(ann.frames) < 30:
            ann.new.clear()
            await asyncio.wait_for(ann.new.wait(), PATIENCE)
        assert ann.line is not None
        ann.line.transport.abort()
        await asyncio.wait_for(asking, PATIENCE)
        assert ann.lost == 0
        wrong = Talker("eve", [two.http], headers=bearer("eve"), resume=ann.resume)
        with pytest.raises(AssertionError, match="over"):
            await wrong.run()

    asyncio.run(main())


@needs_nginx
def test_talks_with_tls_in_front_of_servers_without_it(house: House, tmp_path: Path) -> None:
    async def main(address: str) -> None:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "chain.pem"))
        base = f"https://{address.replace('127.0.0.1', 'localhost')}"
        async with httpx2.AsyncClient(
            base_url=base, headers=bearer("tess"), verify=trusted, timeout=PATIENCE
        ) as client:
            await reached(client)
            session = await begun(client)
            path = f"/api/v1/sessions/{session}"
            url = (await client.get(path)).json()["ws_url"]
            assert url == f"{base.replace('https', 'wss')}{path}/ws"
            async with connect(url, ssl=trusted, additional_headers=bearer("tess"), max_size=None) as line:
                async with client.stream("GET", f"{path}/avatar", params={"format": "weights"}) as events:
                    await line.send(json.dumps({"type": "text_message", "data": "tess 0.3"}))
                    lines = [each async for each in taken(events.aiter_lines(), "event: turn_end")]
                assert lines.count("event: frame") == 9
            recording = {"content": bytes(2 << 20), "headers": {"Content-Type": "a/b"}}
            assert (await client.post(f"{path}/audio", **recording)).status_code == 415  # type: ignore[arg-type]
            widget = Talker("tess", [base], 1.0, "widget", bearer("tess"))
            with trusting(tmp_path / "chain.pem"):
                await asyncio.wait_for(widget.run(), PATIENCE)
            assert widget.lost == 0
            assert (await client.delete(path)).status_code == 204

    certificate(tmp_path)
    with nginx(tmp_path, *(server.port for server in house.servers), tls=True) as address:
        asyncio.run(main(address))


async def taken(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    """Up to that one."""
    async for line in lines:
        yield line
        if line == last:
            return


@contextmanager
def trusting(authority: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority))
        yield


# -- a server dies, or is stopped ----------------------------------------------------------------------------
def test_nothing_is_lost_when_a_server_is_killed_with_people_on_it(house: House) -> None:
    with house.another() as victim:
        kinds: tuple[Literal["widget", "api"], ...] = ("widget", "api")
        all = [talker(f"v-{n}", victim, *house.servers, kind=kinds[n % 2], seconds=10) for n in range(10)]
        asyncio.run(killed(all, victim.process.pid, 45, lambda: told(house, *all)))
    assert [each.lost for each in all] == [0] * 10
    assert max(len(each.codes) for each in all) >= 2, "somebody was in the middle of an answer"


def test_the_rest_of_a_long_reply_is_spoken_elsewhere_when_a_server_stops(house: House) -> None:
    async def main() -> None:
        ann = talker("stopped", leaving, house.servers[0], seconds=6)
        asking = asyncio.create_task(ann.run())
        while len(ann.frames) < 30:
            ann.new.clear()
            await asyncio.wait_for(ann.new.wait(), PATIENCE)
        await told(house, ann)
        leaving.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asking, PATIENCE)
        assert (ann.lost, ann.codes[0]) == (0, 1012)

    with house.another(VISAVIS_SERVER__DRAIN_SECONDS="0") as leaving:
        asyncio.run(main())


async def told(house: House, *all: Talker) -> None:
    """Redis knows all that the agents have made: how fast that is is not measured here."""
    with redis.Redis.from_url(house.redis.url) as client:
        for each in all:
            while not each.over and known(client, each) < len(speech(each.question)):
                await asyncio.sleep(0.05)


def known(client: Any, talker: Talker) -> int:
    """Bytes of sound of an answer that were heard, or stand in Redis."""
    standing = json.loads(client.hget(f"visavis:session:{talker.session}", "standing") or b"{}")
    spoken = standing.get("spoken")
    sound = client.lrange(f"visavis:sound:{talker.session}", 0, -1)
    return 0 if spoken is None else int(spoken["since"]) + sum(map(len, sound))


# -- Redis goes ----------------------------------------------------------------------------------------------
def test_while_redis_is_gone_what_is_here_goes_on_and_nobody_is_told_that_the_rest_is_over(
    house: House,
) -> None:
    async def until(there: httpx2.AsyncClient, path: str, status: int) -> httpx2.Response:
        async with asyncio.timeout(PATIENCE):
            while (answer := await there.get(path)).status_code != status:
                await asyncio.sleep(0.05)
        return answer

    async def main() -> None:
        one, two = house.servers
        async with client(one) as here, client(two) as there:
            path = f"/api/v1/sessions/{await begun(here)}"
            assert (await there.get(path)).status_code == 200
            house.redis.stop()
            answer = await until(there, path, 503)
            assert (answer.json()["code"], answer.headers["retry-after"]) == ("DIRECTORY_UNREACHABLE", "2")
            assert (await here.get(path)).status_code == 200
            house.redis.start()
            assert (await until(there, path, 200)).json()["session_id"] == path.rpartition("/")[2]

    asyncio.run(main())
