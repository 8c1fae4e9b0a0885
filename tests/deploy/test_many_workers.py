"""Several servers on one port of one machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import Mock

import httpx2
import pytest
from tests.process import Server, server
from tests.redis_server import needs_redis, redis_server

from visavis.errors import ConfigurationError
from visavis.server.reach import address_of
from visavis.server.workers import Crew, _work, check
from visavis.settings import Settings

KEY = "k" * 32
NO_AGENT = """
from visavis.errors import VisavisError

def load(settings):
    raise VisavisError("GONE", "The sky is gone.")
"""
PATIENCE = 60.0


def settings(**cluster: str) -> Settings:
    return Settings.model_validate({"cluster": cluster, "auth": {"secret_key": KEY}})


def test_more_than_one_worker_needs_a_redis_and_no_address() -> None:
    check(settings(), 1)
    check(settings(redis="redis://localhost"), 4)
    with pytest.raises(ConfigurationError, match=r"--workers needs cluster\.redis"):
        check(settings(), 2)
    with pytest.raises(ConfigurationError, match=r"cluster\.address is one address"):
        check(settings(redis="redis://localhost", address="http://10.0.0.7:8080"), 2)
    check(settings(redis="redis://localhost", worker_port="65534"), 2)
    with pytest.raises(ConfigurationError, match="at most 65533"):
        check(settings(redis="redis://localhost", worker_port="65534"), 3)


def test_where_the_others_reach_a_server() -> None:
    assert address_of(settings(), 8080) == ""
    assert address_of(settings(redis="unix:///redis.sock"), 8080) == "http://127.0.0.1:8080"
    given = settings(redis="redis://localhost", address="http://10.0.0.7:8080/")
    assert address_of(given, 1) == "http://10.0.0.7:8080"
    everywhere = {"host": "0.0.0.0", "port": 8080}
    told = {"server": everywhere, "cluster": {"redis": "redis://127.0.0.1:6379/0"}}
    assert address_of(Settings.model_validate(told), 9000) == "http://127.0.0.1:9000"
    told["server"] = {"host": "::1"}
    assert address_of(Settings.model_validate(told), 9000) == "http://[::1]:9000"
    told["server"] = {"ssl_certfile": "/chain.pem"}
    with pytest.raises(ConfigurationError, match=r"cluster\.address is not set: servers that speak TLS"):
        address_of(Settings.model_validate(told), 9000)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"VISAVIS_REDIS_URL": "redis://127.0.0.1:9/0"}, "cluster.redis: there is no Redis"),
        ({"AGENT_TYPE": "sky:load"}, "The sky is gone"),
    ],
)
@needs_redis
def test_what_keeps_them_from_starting_is_said_without_a_traceback(wrong: dict[str, str], said: str) -> None:
    with TemporaryDirectory(prefix="visavis-") as name, redis_server(Path(name)) as redis:
        told = {"VISAVIS_REDIS_URL": redis.url, "AUTH_SECRET_KEY": KEY, "AGENT_TYPE": "scripted", **wrong}
        told["PYTHONPATH"] = name
        (Path(name) / "sky.py").write_text(NO_AGENT)
        with (
            pytest.raises(AssertionError, match="did not start") as refused,
            server(Path(name), ("serve", "--workers", "2"), VISAVIS_FACE__ENGINE="energy", **told),
        ):
            pass
    assert said in str(refused.value) and "Traceback" not in str(refused.value)


@pytest.mark.parametrize(("given", "ports"), [("0", [0, 0]), ("9090", [9090, 9091])])
def test_each_worker_has_a_port_of_its_own(given: str, ports: list[int]) -> None:
    context = Mock()
    workers = Crew(settings(redis="redis://localhost", worker_port=given), Mock(), context)
    for place in range(2):
        workers._start(place, first=place == 0)
    assert [call.kwargs["args"][2] for call in context.Process.call_args_list] == ports


def test_a_workers_port_in_use_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for of_its_process in ("os.setpgrp", "visavis.logs.set_up", "visavis.server.workers._end_with_the_crew"):
        monkeypatch.setattr(of_its_process, Mock())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit):
            _work(settings(redis="redis://localhost"), Mock(), port, Mock())
    said = " ".join(capsys.readouterr().err.split())
    assert f"Port {port} on 127.0.0.1 is in use" in said and f"cluster.worker_port: {port + 1}" in said
    assert "--port" not in said


@pytest.fixture
def crew() -> Iterator[Server]:
    with TemporaryDirectory(prefix="visavis-") as name, redis_server(Path(name)) as redis:
        told = {"VISAVIS_REDIS_URL": redis.url, "AUTH_SECRET_KEY": KEY, "VISAVIS_FACE__ENGINE": "energy"}
        with server(Path(name), ("serve", "--workers", "2"), AGENT_TYPE="scripted", **told) as running:
            yield running


def workers(of: Server) -> set[int]:
    """Their processes: those of the crew's children that serve."""
    children = Path(f"/proc/{of.process.pid}/task/{of.process.pid}/children").read_text(encoding="ascii")
    command = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.split()}
    return {pid for pid, line in command.items() if b"spawn_main" in line}


@needs_redis
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_any_worker_answers_for_all_and_one_that_dies_is_started_anew(crew: Server) -> None:
    async def ask(method: str, path: str) -> httpx2.Response:
        """Over a line of its own, which any worker may take; again while one is dying."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with httpx2.AsyncClient(base_url=crew.http, timeout=PATIENCE) as client:
                        answer = await client.request(method, path, json={} if method == "POST" else None)
                    if answer.status_code != 503:
                        return answer
                except httpx2.HTTPError:
                    pass
                await asyncio.sleep(0.05)

    async def main() -> None:
        paths = []
        for _ in range(6):
            begun = await ask("POST", "/api/v1/sessions")
            assert begun.status_code == 201
            paths.append(f"/api/v1/sessions/{begun.json()['session_id']}")
        before = workers(crew)
        for _ in range(3):
            assert {(await ask("GET", path)).status_code for path in paths} == {200}
        os.kill(min(before), signal.SIGKILL)
        assert {(await ask("GET", path)).status_code for path in paths} == {200}
        async with asyncio.timeout(PATIENCE):
            while len(now := workers(crew)) < 2 or now == before:
                await asyncio.sleep(0.05)

    asyncio.run(main())
