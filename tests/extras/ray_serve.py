"""Visavis on a real local Ray cluster. Ray is large: `make test-ray` has an environment of its own for it.

Two replicas of the server, and the voice as a deployment of its own with two replicas.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from websockets.asyncio.client import ClientConnection, connect

os.environ |= {"RAY_raylet_start_wait_time_s": "300"}  # on a busy machine
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # of this cluster, instead of one in the home directory
ray = pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
serve = pytest.importorskip("ray.serve", reason="Ray Serve is not installed: make test-ray")

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
}


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
    yield from applications()
    ray.shutdown()


def applications() -> Iterator[None]:
    serve.start(http_options={"port": PORT})
    from visavis.deploy.ray import server, stage

    voices = stage({"kind": "tts"})
    actor = {"num_cpus": 0.25}
    deploy("tts", voices, 2, {"VISAVIS_REMOTE_STAGES__TOKEN": SECRET}, "/stages/tts", actor)
    deploy("visavis", server({}), 2, ENVIRONMENT, "/", actor)
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


def test_a_replica_that_is_killed_is_replaced() -> None:
    before = actors()
    gone = min(before)
    ray.kill(ray.get_actor(gone, namespace="serve"))
    until(lambda: gone not in actors() and len(actors()) == 2 and running("visavis") == 2)
    found = asyncio.run(conversations(8))
    assert len(found) == 2 and sum(map(len, found)) == 8


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
