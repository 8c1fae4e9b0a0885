"""What is deployed where there are several servers: compose, nginx in front of them, Kubernetes.

No cluster and no Docker was there: what is checked are the rules that the files have to keep, and with a real
nginx that calls arrive as they should.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
import yaml
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from websockets.asyncio.client import connect

from visavis.configuration import ALIASES, keys, variable
from visavis.server.routes_operations import OperationRoutes
from visavis.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
CONFIG = (DEPLOY / "nginx" / "visavis.conf").read_text(encoding="utf-8")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
KUBERNETES, BY_SESSIONS = DEPLOY / "kubernetes", DEPLOY / "kubernetes-by-sessions"
PATIENCE = 60.0


# -- compose -------------------------------------------------------------------------------------------------
def test_files_that_are_mounted_are_there() -> None:
    mounted = [
        volume.split(":")[0]
        for name, service in COMPOSE["services"].items()
        for volume in service.get("volumes", ())
        if volume.startswith("./") and name != "dev"
    ]
    assert len(mounted) == 4
    for path in mounted:
        assert (ROOT / path).exists(), path


def test_nginx_and_prometheus_know_every_server() -> None:
    servers = {name for name in COMPOSE["services"] if re.fullmatch(r"visavis-\d", name)}
    assert len(servers) == 2
    assert set(re.findall(r"server (visavis-\d):8080", CONFIG)) == servers
    many = yaml.safe_load((DEPLOY / "prometheus" / "many.yaml").read_text(encoding="utf-8"))
    [job] = many["scrape_configs"]
    assert set(job["static_configs"][0]["targets"]) == {f"{name}:8080" for name in servers}
    assert all((DEPLOY / "prometheus" / file).exists() for file in many["rule_files"])


# -- Kubernetes ----------------------------------------------------------------------------------------------
def resources() -> dict[tuple[str, str], dict[str, Any]]:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    all = [
        one for file in listed for one in yaml.safe_load_all((KUBERNETES / file).read_text(encoding="utf-8"))
    ]
    return {(one["kind"], one["metadata"]["name"]): one for one in all}


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = resources()["Deployment", name]["spec"]["template"]["spec"]
    return spec


def test_every_selector_finds_its_pods() -> None:
    for (kind, name), one in resources().items():
        match kind:
            case "Deployment":
                labels = one["spec"]["template"]["metadata"]["labels"]
                assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
            case "Service":
                target = resources()["Deployment", name]
                assert (
                    one["spec"]["selector"].items()
                    <= target["spec"]["template"]["metadata"]["labels"].items()
                )
                ports = {port["name"] for port in pod(name)["containers"][0]["ports"]}
                assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
            case "PodDisruptionBudget":
                assert one["spec"]["selector"]["matchLabels"] == {"app": name}
            case "NetworkPolicy":
                assert one["spec"]["podSelector"]["matchLabels"] == {"app": name}
            case "HorizontalPodAutoscaler":
                assert ("Deployment", one["spec"]["scaleTargetRef"]["name"]) in resources()
                assert one["spec"]["minReplicas"] >= 2


@pytest.mark.parametrize("name", ["visavis", "redis"])
def test_pods_keep_the_restricted_standard(name: str) -> None:
    spec = pod(name)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        allowed = container["securityContext"]
        assert (allowed["allowPrivilegeEscalation"], allowed["readOnlyRootFilesystem"]) == (False, True)
        assert allowed["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert not container["image"].endswith("latest")
        assert ":" in container["image"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_there_is_time_for_the_drain() -> None:
    spec = pod("visavis")
    [container] = spec["containers"]
    wait = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    slowest_client = 6
    assert spec["terminationGracePeriodSeconds"] > wait + Settings().server.drain_seconds + slowest_client
    unready = container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
    assert wait > unready


def test_settings_are_real_and_secrets_are_named_alone() -> None:
    [container] = pod("visavis")["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given.keys() - {"POD_IP"} <= set(ALIASES) | set(map(variable, keys()))
    assert not re.search("key|secret|password|redis", " ".join(given), re.IGNORECASE)
    [secret] = [each["secretRef"]["name"] for each in container["envFrom"]]
    example = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text(encoding="utf-8"))
    assert (example["metadata"]["name"], example["stringData"]["AUTH_SECRET_KEY"]) == (secret, "")
    assert example["stringData"].keys() <= set(ALIASES)
    assert ("Secret", secret) not in resources()


def test_probes_ask_for_what_there_is() -> None:
    [container] = pod("visavis")["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": Settings().server.port}
    routes = {getattr(route, "path", "") for route in OperationRoutes(Settings()).router().routes} | {
        "/health"
    }
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in routes and container[probe]["httpGet"]["port"] in ports
    assert container["livenessProbe"] == {
        "tcpSocket": {"port": "http"},
        "periodSeconds": 10,
        "failureThreshold": 6,
    }
    allowed = resources()["NetworkPolicy", "visavis"]["spec"]["ingress"][0]["ports"]
    assert [each["port"] for each in allowed] == [ports["http"]]


def kustomized(folder: Path) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return list(yaml.safe_load_all(made.stdout))


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@needs_kubectl
def test_kustomize_takes_the_manifests() -> None:
    assert len(kustomized(KUBERNETES)) == len(resources())


@needs_kubectl
def test_scaling_by_sessions_takes_the_place_of_scaling_by_processor() -> None:
    def known(all: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {(one["kind"], one["metadata"]["name"]) for one in all}

    usual, chosen = known(kustomized(KUBERNETES)), known(kustomized(BY_SESSIONS))
    assert usual ^ chosen == {("HorizontalPodAutoscaler", "visavis"), ("ScaledObject", "visavis")}


def test_it_scales_before_the_places_are_taken_by_figures_that_there_are() -> None:
    spec = yaml.safe_load((BY_SESSIONS / "scaling.yaml").read_text(encoding="utf-8"))["spec"]
    assert ("Deployment", spec["scaleTargetRef"]["name"]) in resources()
    assert 2 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    usual = resources()["HorizontalPodAutoscaler", "visavis"]["spec"]["behavior"]
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == usual
    [container] = pod("visavis")["containers"]
    [places] = [int(each["value"]) for each in container["env"] if each["name"].endswith("MAX_SESSIONS")]
    sessions, busy = (trigger["metadata"] for trigger in spec["triggers"])
    assert 0.5 * places <= int(sessions["threshold"]) <= 0.8 * places and busy["threshold"] == "1"
    documented = set(
        re.findall(r"`(visavis_\w+)`", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    )
    asked = set(re.findall(r"visavis_\w+", f"{sessions['query']} {busy['query']}"))
    assert asked == {"visavis_sessions", "visavis_busy"} <= documented
    jobs = set(re.findall(r'job="(\w+)"', f"{sessions['query']} {busy['query']}"))
    found = yaml.safe_load((DEPLOY / "prometheus" / "kubernetes.yaml").read_text(encoding="utf-8"))
    [job] = found["scrape_configs"]
    assert jobs == {job["job_name"]}
    assert all((DEPLOY / "prometheus" / file).exists() for file in found["rule_files"])
    namespace = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))["namespace"]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": [namespace]}}]
    kept = {
        rule["source_labels"][0][18:]: rule["regex"] for rule in job["relabel_configs"] if "regex" in rule
    }
    assert kept == {"pod_label_app": "visavis", "pod_container_port_name": "http"}


# -- Prometheus and Grafana ----------------------------------------------------------------------------------
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("name", ["prometheus", "many"])
def test_prometheus_takes_its_files(name: str) -> None:
    command = ["promtool", "check", "config", str(DEPLOY / "prometheus" / f"{name}.yaml")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0, checked.stderr


def test_grafana_finds_its_dashboard_and_prometheus() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    volumes = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    [provider] = yaml.safe_load((provisioning / "dashboards" / "visavis.yaml").read_text())["providers"]
    assert volumes["./deploy/grafana/visavis.json"] == f"{provider['options']['path']}/visavis.json"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in COMPOSE["services"]
    shown = json.loads((DEPLOY / "grafana" / "visavis.json").read_text(encoding="utf-8"))
    assert shown["templating"]["list"][0]["query"] == source["type"]
    places = [tuple(panel["gridPos"].values()) for panel in shown["panels"]]
    assert len(places) == len(set(places)) == len({panel["id"] for panel in shown["panels"]})


# -- nginx ---------------------------------------------------------------------------------------------------
def upstream(name: str) -> FastAPI:
    """Says what arrived; `down` is whether it lets nobody in."""
    app = FastAPI()
    app.state.down = False

    @app.get("/api/v1/sessions/{id}")
    async def read(request: Request, id: str) -> dict[str, Any]:
        return {"name": name, "for": request.headers["x-forwarded-for"], "host": request.headers["host"]}

    @app.post("/api/v1/sessions")
    async def create() -> Response:
        return JSONResponse({"name": name}, 503 if app.state.down else 201)

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def pieces() -> Any:
            yield b"data: 1\n\n"
            await asyncio.Event().wait()  # and nothing more for ever

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.websocket("/ws")
    async def widget(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json({"name": name, "said": await socket.receive_text()})
        await socket.close(1012, "come again")

    return app


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx(folder: Path, *ports: int, tls: bool = False) -> Iterator[str]:
    """Our configuration in a real nginx, with servers on these ports; its address. `tls`: with the
    certificate in the folder."""
    port, config = free_port(), CONFIG
    if tls:
        config = config.replace("listen 8080;", "").replace("# listen 8443", f"listen 127.0.0.1:{port}")
        config = config.replace("# ssl_", "ssl_").replace("/etc/nginx/tls", str(folder))
    for number, server in enumerate(ports, 1):
        config = config.replace(f"visavis-{number}:8080", f"127.0.0.1:{server}")
    config = config.replace("listen 8080", f"listen 127.0.0.1:{port}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"pid {folder}/pid;\nerror_log stderr;\ndaemon off;\nevents {{}}\nhttp {{\naccess_log off;\n"
    (folder / "nginx.conf").write_text(f"{whole}{temporary}{config}}}\n", encoding="utf-8")
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True, timeout=PATIENCE)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


async def serving(app: FastAPI, port: int) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    return server, task


async def reached(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                await client.get("/")
                return
            await asyncio.sleep(0.02)


@needs_nginx
def test_calls_come_through_nginx_whole_at_once_and_to_a_server_that_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        apps, ports = [upstream("1"), upstream("2")], [free_port(), free_port()]
        with nginx(tmp_path, *ports) as address:
            running = [await serving(app, port) for app, port in zip(apps, ports, strict=True)]
            async with httpx2.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as client:
                await reached(client)
                path = "/api/v1/sessions/s_1"
                told = (await client.get(path, headers={"X-Forwarded-For": "198.51.100.1"})).json()
                assert (told["for"], told["host"]) == ("198.51.100.1, 127.0.0.1", address)
                names = {(await client.get(path)).json()["name"] for _ in range(8)}
                assert names == {told["name"]}, "one session comes to one server"
                names = {(await client.get(f"/api/v1/sessions/s_{n}")).json()["name"] for n in range(40)}
                assert names == {"1", "2"}
                assert (await client.get("/metrics")).status_code == 404
                async with client.stream("GET", "/events") as events:
                    assert await anext(events.aiter_lines()) == "data: 1"
                async with connect(f"ws://{address}/ws") as line:
                    await line.send("hello")
                    assert json.loads(await line.recv())["said"] == "hello"
                    await line.wait_closed()
                    assert (line.close_code, line.close_reason) == (1012, "come again")
                apps[0].state.down = True
                begun = [(await client.post("/api/v1/sessions")) for _ in range(8)]
                assert {(each.status_code, each.json()["name"]) for each in begun} == {(201, "2")}
                server, task = running.pop(0)
                server.should_exit = True
                await task
                names = {(await client.get(f"/api/v1/sessions/s_{n}")).json()["name"] for n in range(20)}
                assert names == {"2"}
            for server, task in running:
                server.should_exit = server.force_exit = True
                await task

    asyncio.run(main())
