"""Several servers that share a real Redis: together, while it is gone, and afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
import redis
from tests.asgi import Socket, call
from tests.ops.asking import get
from tests.process import Server, server
from tests.redis_server import RedisServer, needs_redis, redis_server
from tests.server.test_middleware_auth import KEY, bearer, forged, inside

from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.security.tokens import SET_BACK, BadToken
from visavis.security.users import TRIES
from visavis.server import redis_state
from visavis.server.auth import Auth
from visavis.server.middleware_auth import AuthMiddleware
from visavis.server.redis_state import LEASE_SECONDS, RedisState
from visavis.settings import Settings

pytestmark = needs_redis
PATIENCE = 20.0


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.setattr(redis_state, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(redis_state, "TIMEOUT", PATIENCE)
    with TemporaryDirectory(prefix="visavis-") as folder, redis_server(Path(folder)) as running:
        yield running


def made(running: RedisServer, **limits: Any) -> Auth:
    auth = {"enabled": True, "secret_key": KEY}
    cluster, server = {"redis": running.url}, {"host": "0.0.0.0"}
    told = {"auth": auth, "limits": limits, "cluster": cluster, "server": server}
    return Auth(Settings.model_validate(told))


def state(auth: Auth) -> RedisState:
    assert auth.redis is not None
    return auth.redis


@asynccontextmanager
async def servers(running: RedisServer, number: int, **limits: Any) -> AsyncIterator[list[Auth]]:
    """So many that share it."""
    async with anyio.create_task_group() as tasks:
        all = [made(running, **limits) for _ in range(number)]
        for auth in all:
            await tasks.start(state(auth).keep)
        try:
            yield all
        finally:
            tasks.cancel_scope.cancel()


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for something that happens in another process."""
    with anyio.fail_after(PATIENCE):
        while not (found if isinstance(found := true(), bool) else await found):
            await asyncio.sleep(0.01)


def alone(auth: Auth) -> Callable[[], bool]:
    return lambda: not state(auth).reachable


def together(*all: Auth) -> Callable[[], bool]:
    return lambda: all_reachable(all)


def all_reachable(all: tuple[Auth, ...]) -> bool:
    return all != () and min(state(auth).reachable for auth in all)


# -- together ------------------------------------------------------------------------------------------------
def test_requests_of_an_address_are_counted_by_all_servers_together(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 2, requests_per_minute=10) as all:
            apps = [AuthMiddleware(inside, auth) for auth in all]
            token = bearer(forged())
            answers = [await call(apps[number % 2], "GET", "/x", token) for number in range(11)]
            assert [answer.status for answer in answers] == [200] * 10 + [429]
            assert 0 < int(answers[-1].headers["retry-after"]) <= 6
            assert (await call(apps[0], "GET", "/x", token, client="198.51.100.1")).status == 200

    asyncio.run(main())


def test_requests_come_back_with_time(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 1, requests_per_minute=6000) as [auth]:
            assert auth.requests is not None
            ours = state(auth)
            assert await ours.take("x", 100, 1, 1) == 0
            wait = await ours.take("x", 100, 1, 1)
            assert wait is not None
            assert wait <= 0.01
            await until(lambda: _taken(ours))
            assert await ours.take("y", 0.001, 2, 2) == 0
            assert await ours.take("y", 0.001, 2, -1) == 0, "given back"
            assert await ours.take("y", 0.001, 2, 1) == 0
            for _ in range(3):
                refused = await ours.take("y", 0.001, 2, 1)
                assert refused == pytest.approx(1000, rel=0.01), "a refusal costs nothing"

    async def _taken(ours: RedisState) -> bool:
        return await ours.take("x", 100, 1, 1) == 0

    asyncio.run(main())


def test_what_is_remembered_for_rates_is_forgotten_by_itself(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 1) as [auth]:
            await state(auth).take("x", 10, 20, 20)
        with redis.Redis.from_url(shared.url) as client:
            assert 2000 < client.pttl("visavis:x") <= 3000

    asyncio.run(main())


def test_connections_are_counted_by_all_servers_together(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 2, connections_per_address=3, connections_per_token=2) as [one, two]:
            here, there = AuthMiddleware(inside, one), AuthMiddleware(inside, two)
            ann, bob = bearer(forged(sub="ann")), bearer(forged(sub="bob"))
            first, second = await opened(here, ann), await opened(there, ann)
            third = await opened(here, ann)
            assert third.closed == (1008, "RATE_LIMITED: Too many connections with this token.")
            await until(lambda: two.by_address.enter("203.0.113.9"))  # the place that the third had
            fourth = await opened(here, bob)
            assert fourth.closed == (1008, "RATE_LIMITED: Too many connections from this address.")
            await first.leave()
            await until(lambda: two.by_token.enter("ann"))
            await second.leave()

    asyncio.run(main())


async def opened(app: AuthMiddleware, who: dict[str, str]) -> Socket:
    """A WebSocket that was let in or not."""
    socket = await Socket(app, "/ws", who).open()
    await until(lambda: bool(socket.heard))
    await asyncio.sleep(0)
    return socket


def test_connections_of_a_server_that_died_are_not_counted_for_ever(shared: RedisServer) -> None:
    async def main() -> None:
        now = int(time.time())
        with redis.Redis.from_url(shared.url) as client:
            key = "visavis:connections-of-token"
            client.hset(f"{key}:ann", "dead", f"2@{now - LEASE_SECONDS - 1}")
            client.hset(f"{key}:bob", "busy", f"2@{now - LEASE_SECONDS // 2}")
            async with servers(shared, 1, connections_per_token=2) as [auth]:
                assert await auth.by_token.enter("ann")
                assert not await auth.by_token.enter("bob")
            assert not client.exists(f"{key}:ann"), "nobody is left"

    asyncio.run(main())


def test_a_server_that_stops_takes_its_connections_along(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 1, connections_per_token=1) as [other]:
            async with servers(shared, 1, connections_per_token=1) as [stopped]:
                assert await stopped.by_token.enter("ann")
                assert not await other.by_token.enter("ann")
            assert await other.by_token.enter("ann")

    asyncio.run(main())


def test_wrong_passwords_are_counted_by_all_servers_together(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 2) as all:
            waits = [await all[number % 2].throttle.begin("ann", "10.0.0.1") for number in range(TRIES + 1)]
            assert waits[:-1] == [0] * TRIES
            assert 50 < waits[-1] <= 60
            assert await all[0].throttle.begin("ann", "10.0.0.2") > 0, "the name, from everywhere"
            assert await all[1].throttle.begin("bob", "10.0.0.1") > 0, "the address, for every name"

    asyncio.run(main())


def test_a_token_that_was_revoked_is_refused_everywhere_and_what_is_open_ends(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 2) as [one, two]:
            token = one.user("ann")
            elsewhere = await opened(AuthMiddleware(inside, two), bearer(token))
            assert elsewhere.closed is None
            await one.revoke(one.read(token))
            await until(lambda: elsewhere.closed == (1008, "the token was revoked"))
            with pytest.raises(BadToken, match="revoked"):
                two.read(token)
            async with servers(shared, 1) as [new]:
                with pytest.raises(BadToken, match="revoked"):
                    new.read(token)

    asyncio.run(main())


def test_revoked_tokens_are_forgotten_a_while_after_they_would_have_expired(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 1) as [auth]:
            await state(auth).revoke("old", time.time() - SET_BACK - 1)
            await state(auth).revoke("new", time.time() + 60)
        with redis.Redis.from_url(shared.url) as client:
            assert client.zrange("visavis:revoked", 0, -1) == [b"new"]

    asyncio.run(main())


# -- gone, and back ------------------------------------------------------------------------------------------
def test_while_redis_is_gone_each_server_goes_by_what_it_has_counted(
    shared: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        limits = {"requests_per_minute": 10, "connections_per_token": 2}
        async with servers(shared, 2, **limits) as [one, two]:
            assert one.requests is not None
            assert [await one.requests.take("a") for _ in range(8)] == [0] * 8
            assert await one.by_token.enter("ann")
            shared.stop()
            answers = [await one.requests.take("a") for _ in range(3)]
            assert [wait > 0 for wait in answers] == [False, False, True], "nobody begins anew"
            assert await one.by_token.enter("ann")
            assert not await one.by_token.enter("ann")
            assert await two.by_token.enter("ann"), "it counts alone"
            await until(lambda: alone(one)() and alone(two)())
            shared.start()
            await until(together(one, two))
            assert state(one).losses == 1
            assert not await two.by_token.enter("ann"), "the three are known again"
            one.by_token.leave("ann")
            one.by_token.leave("ann")
            await until(lambda: two.by_token.enter("ann"))

    asyncio.run(main())
    said = capsys.readouterr().out
    assert said.count("Redis cannot be reached") == 2, "each server says it once"
    assert said.count("Redis is back") == 2
    assert "redis.sock" not in said


def test_a_token_that_is_revoked_while_redis_is_gone_is_refused_here_at_once_and_elsewhere_afterwards(
    shared: RedisServer,
) -> None:
    async def main() -> None:
        async with servers(shared, 2) as [one, two]:
            before, meanwhile = one.user("ann"), one.user("ann")
            await one.revoke(one.read(before))
            await until(lambda: bool(two.revoked()))
            shared.stop()
            await until(lambda: alone(one)() and alone(two)())
            await one.revoke(one.read(meanwhile))
            for auth, token in ((one, before), (two, before), (one, meanwhile)):
                with pytest.raises(BadToken, match="revoked"):
                    auth.read(token)
            assert two.read(meanwhile)
            shared.start()
            await until(lambda: len(two.revoked()) == 2)
            with pytest.raises(BadToken, match="revoked"):
                two.read(meanwhile)

    asyncio.run(main())


def test_a_redis_that_hangs_holds_nobody_up_for_long(
    shared: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_state, "TIMEOUT", 1.0)

    async def main() -> None:
        async with servers(shared, 1, requests_per_minute=2) as [auth]:
            assert auth.requests is not None
            assert await auth.requests.take("a") == 0
            shared.hang()
            assert await auth.requests.take("a") == 0
            assert not state(auth).reachable
            assert await auth.requests.take("a") > 0
            shared.go_on()
            await until(together(auth))

    asyncio.run(main())


def test_nonsense_in_redis_ends_nothing(shared: RedisServer) -> None:
    async def main() -> None:
        async with servers(shared, 1) as [auth]:
            with redis.Redis.from_url(shared.url) as client:
                client.publish("visavis:revoked", "nonsense")
                client.publish("visavis:revoked", b"\xff\xfe")
                client.set("visavis:wrong-passwords:name ann", "nonsense")
            assert await auth.throttle.begin("ann", "10.0.0.1") == 0
            await until(together(auth))

    asyncio.run(main())


@pytest.fixture
def running(shared: RedisServer, tmp_path: Path) -> Iterator[Server]:
    """A whole server."""
    with server(
        tmp_path, AGENT_TYPE="scripted", VISAVIS_REDIS_URL=shared.url, AUTH_SECRET_KEY=KEY
    ) as started:
        yield started


def test_a_whole_server_notices_when_redis_goes_and_comes(running: Server, shared: RedisServer) -> None:
    def down() -> bool:
        told = get(f"{running.http}/metrics")[2].decode()
        return "visavis_redis_down 1.0" in told

    async def main() -> None:
        assert not down()
        shared.stop()
        await until(down)
        shared.start()
        await until(lambda: not down())
        assert "visavis_redis_losses_total 1.0" in get(f"{running.http}/metrics")[2].decode()

    asyncio.run(main())


# -- the start -----------------------------------------------------------------------------------------------
def test_a_server_does_not_start_without_the_redis_it_was_told_of(tmp_path: Path) -> None:
    async def main() -> None:
        nowhere = f"unix://user:secret@{tmp_path}/none.sock"
        key = {"secret_key": KEY}
        auth = Auth(Settings.model_validate({"limits": {"redis": nowhere}, "auth": key}))
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            with pytest.raises(ConfigurationError, match=r"cluster\.redis") as error:
                await tasks.start(state(auth).keep)
        assert "secret" not in str(error.value)

    asyncio.run(main())


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost:6379"])
def test_what_is_no_redis_is_said_so_without_repeating_it(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="redis://localhost:6379/0") as error:
        load_settings({}, None, {"VISAVIS_REDIS_URL": f"{url}/secret"}, tmp_path)
    assert "VISAVIS_REDIS_URL" in str(error.value)
    assert "secret" not in str(error.value)
