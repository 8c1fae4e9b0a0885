"""Visavis on a real local Ray cluster. Ray is large: `make test-ray` has an environment of its own for it.

Two replicas of the server, which share a Redis, and the voice as a deployment of its own with two replicas.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
import yaml
from tests.redis_server import needs_redis, redis_server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

os.environ |= {"RAY_raylet_start_wait_time_s": "300"}  # on a busy machine
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # of this cluster, instead of one in the home directory
ray = pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
serve = pytest.importorskip("ray.serve", reason="Ray Serve is not installed: make test-ray")

pytestmark = needs_redis
PORT = 8017
SECRET = "between-two-replicas"
PATIENCE = 240.0
"""Seconds until what was started runs."""
ENVIRONMENT = {
    "VISAVIS_REMOTE_STAGES__TOKEN": SECRET,
    "VISAVIS_STAGES__TTS": "remote",
    "VISAVIS_STAGES__LLM": "tests.extras.ray_serve:brain",
    "VISAVIS_STAGES__ASR": "tests.extras.ray_serve:ears",
    "VISAVIS_REMOTE_STAGES__TTS": f"http://127.0.0.1:{PORT}/stages/tts",
    "VISAVIS_REMOTE_STAGES__START_SECONDS": str(PATIENCE),
    "AUTH_SECRET_KEY": "k" * 32,
}
LONG = "A lighthouse was afraid of the dark, so every evening it lit its lamp before the sun was down. " * 4


class Brain:
    async def reply(self, messages: Any, tools: Any = ()) -> Any:
        yield f"You said {messages[-1].text}"


class Ears:
    languages, detects = frozenset({"en"}), False


def brain(settings: Any) -> Brain:
    """Nothing here is about what is said."""
    return Brain()


def ears(settings: Any) -> Ears:
    return Ears()


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    root = str(Path(__file__).parents[2])
    paths = {"PYTHONPATH": f"{root}/src:{root}", "OMP_NUM_THREADS": "1"}
    ray.init(
        "local", num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": paths}
    )
    with TemporaryDirectory(prefix="visavis-") as folder, redis_server(Path(folder)) as redis:
        yield from applications(redis.url)
    ray.shutdown()


def applications(redis: str) -> Iterator[None]:
    serve.start(http_options={"port": PORT})
    from visavis.deploy.ray import server, stage

    voices = stage({"kind": "tts"})
    actor = {"num_cpus": 0.25}
    deploy("tts", voices, 2, {"VISAVIS_REMOTE_STAGES__TOKEN": SECRET}, "/stages/tts", actor)
    deploy("visavis", server({}), 2, ENVIRONMENT | {"VISAVIS_REDIS_URL": redis}, "/", actor)
    yield
    serve.shutdown()


def deploy(
    name: str, application: Any, replicas: int, env: dict[str, str], prefix: str, actor: dict[str, Any]
) -> None:
    chosen = application._bound_deployment
    options = chosen.options(
        num_replicas=replicas,
        max_ongoing_requests=32,
        ray_actor_options=actor | {"runtime_env": {"env_vars": env}},
    )
    serve.run(options.bind(), name=name, route_prefix=prefix)


def running(name: str) -> int:
    """Replicas of an application that run."""
    (deployment,) = serve.status().applications[name].deployments.values()
    return int(deployment.replica_states.get("RUNNING", 0))


def until(what: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


def places() -> set[frozenset[str]]:
    """The sessions of each replica of the server that has any."""
    found: set[frozenset[str]] = set()
    for _ in range(40):
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/metrics", headers={"Accept": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found.add(frozenset(session["session"] for session in json.load(answer)["sessions"]))
    return found - {frozenset()}


def actors() -> set[str]:
    """The names of the server's replicas."""
    everybody = ray.util.list_named_actors(all_namespaces=True)
    return {each["name"] for each in everybody if "SERVE_REPLICA::visavis#" in each["name"]}


async def talk(socket: ClientConnection, text: str) -> str:
    """What the avatar said to `text`."""
    await socket.send(json.dumps({"type": "text", "data": text}))
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 120))
        if message["type"] == "transcript_done" and message["role"] == "assistant":
            return str(message["text"])
        assert message["type"] != "error", message


async def conversations(count: int) -> set[frozenset[str]]:
    """So many at a time, all of which are answered; returns where they were."""
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(f"ws://127.0.0.1:{PORT}/ws", max_size=None))
            for _ in range(count)
        ]
        for socket in sockets:
            await socket.recv()
        answers = await asyncio.gather(*(talk(socket, f"number {n}") for n, socket in enumerate(sockets)))
        assert answers == [f"You said number {n}" for n in range(count)]
        return await asyncio.to_thread(places)


def test_sessions_are_spread_over_two_replicas_and_the_voice_is_scaled_apart() -> None:
    until(lambda: running("visavis") == 2 and running("tts") == 2)
    found = asyncio.run(conversations(8))
    assert len(found) == 2 and sum(map(len, found)) == 8


def test_the_calls_of_a_session_come_to_the_replica_that_has_it() -> None:
    async def main() -> None:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", timeout=120) as client:
            for _ in range(4):
                begun = await client.post("/api/v1/sessions", json={})
                path = f"/api/v1/sessions/{begun.json()['session_id']}"
                assert [(await client.get(path)).status_code for _ in range(8)] == [200] * 8
                assert (await client.delete(path)).status_code == 204

    asyncio.run(main())


def test_a_replica_that_is_killed_is_replaced_and_its_conversations_go_on() -> None:
    gone = min(actors())
    answers = asyncio.run(conversations_cut_by(lambda: ray.kill(ray.get_actor(gone, namespace="serve"))))
    whole = f"You said {LONG}".strip()
    assert {text for text, came_again in answers if not came_again} == {whole}
    resumed = [text for text, came_again in answers if came_again]
    assert resumed and all(text and whole.startswith(text) for text in resumed), "to where its voice was made"
    until(lambda: gone not in actors() and len(actors()) == 2 and running("visavis") == 2)
    found = asyncio.run(conversations(8))
    assert len(found) == 2 and sum(map(len, found)) == 8


async def conversations_cut_by(kill: Callable[[], None]) -> list[tuple[str, bool]]:
    """What each of eight people has heard in the end, and whether they came again to their conversation."""
    speaking = [asyncio.Event() for _ in range(8)]
    talks = [asyncio.create_task(to_the_end(event)) for event in speaking]
    await asyncio.gather(*(asyncio.wait_for(event.wait(), 120) for event in speaking))
    await asyncio.to_thread(kill)
    return await asyncio.gather(*talks)


async def to_the_end(speaking: asyncio.Event) -> tuple[str, bool]:
    """What the avatar says to `LONG`, over as many lines as it takes, and whether those were several; then
    the conversation goes on."""
    token, end = "", time.monotonic() + PATIENCE
    for lines in itertools.count():
        assert time.monotonic() < end
        with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError):
            async with connect(f"ws://127.0.0.1:{PORT}/ws", max_size=None) as socket:
                config = json.loads(await socket.recv())
                if token:
                    await socket.send(json.dumps({"type": "hello", "resume": token}))
                else:
                    token = config["resume"]
                    await socket.send(json.dumps({"type": "text", "data": LONG}))
                while True:
                    message = json.loads(await asyncio.wait_for(socket.recv(), 120))
                    if message["type"] == "sync_frame":
                        speaking.set()
                    if message["type"] == "transcript_done" and message["role"] == "assistant":
                        assert await talk(socket, "And now?") == "You said And now?"
                        return str(message["text"]), lines > 0
                    assert message["type"] != "config" or message["resumed"]
        await asyncio.sleep(0.5)
    raise AssertionError


def test_the_voice_scales_by_itself() -> None:
    from visavis.deploy.ray import stage

    deploy(
        "tts",
        stage({"kind": "tts"}),
        1,
        {"VISAVIS_REMOTE_STAGES__TOKEN": SECRET},
        "/stages/tts",
        {"num_cpus": 0.25},
    )
    until(lambda: running("tts") == 1)
    assert running("visavis") == 2
    asyncio.run(conversations(2))


def test_the_file_of_the_cluster_names_what_there_is() -> None:
    from visavis.deploy import ray as deployed

    told = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "ray" / "visavis.yaml").read_text())
    for application in told["applications"]:
        built = getattr(deployed, application["import_path"].partition(":")[2])
        assert (
            built(dict(application.get("args", {})))._bound_deployment.name
            == (application["deployments"][0]["name"])
        )
