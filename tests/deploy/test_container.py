"""The container's files, and its steps as far as they run without Docker."""

from __future__ import annotations

import ast
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from tests.process import Server, server

from visavis.configuration import ALIASES, keys, load_settings, variable
from visavis.errors import ConfigurationError
from visavis.server.auth import Auth

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
NOT_OURS = {"PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONPATH"}
OF_PIP = {"PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_CACHE_DIR"}
OF_THE_DRIVER = {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, kind: str) -> list[str]:
        """Of this stage and what it is built on."""
        own = [text for step, text in self.steps if step == kind]
        return (STAGES[self.base].all(kind) if self.base in STAGES else []) + own

    @property
    def environment(self) -> dict[str, str]:
        pairs = [pair for text in self.all("ENV") for pair in re.findall(r"(\w+)=(\S+)", text)]
        return dict(pairs)


def stages() -> Iterator[Stage]:
    lines = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    stage: Stage | None = None
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        kind, _, text = line.partition(" ")
        if kind == "FROM":
            if stage is not None:
                yield stage
            base, _, name = text.partition(" AS ")
            stage = Stage(base, name)
        elif kind and stage is not None:
            stage.steps.append((kind, text))
    assert stage is not None
    yield stage


STAGES: dict[str, Stage] = {}
for found in stages():
    STAGES[found.name] = found
SERVED = ("production", "baked", "gpu", "dev")


# -- the Dockerfile ------------------------------------------------------------------------------------------
@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_a_linter_has_nothing_to_say() -> None:
    told = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def images() -> list[str]:
    bases = [stage.base for stage in STAGES.values() if stage.base not in STAGES]
    return bases + [service["image"] for service in SERVICES.values() if "build" not in service]


def test_images_are_named_without_a_host_and_with_a_version() -> None:
    assert len(images()) >= 3
    for image in images():
        assert re.fullmatch(r"[a-z]+(/[a-z-]+)?:[\w.${}-]+", image), image
        assert not image.endswith("latest")


def test_production_is_what_is_built_when_nothing_is_said() -> None:
    assert list(STAGES)[-1] == "production"
    assert set(SERVED) <= set(STAGES)


@pytest.mark.parametrize("name", SERVED)
def test_what_runs_is_nobody_who_owns_the_program(name: str) -> None:
    stage = STAGES[name]
    assert stage.all("USER") == ["10001:10001"]
    assert len(stage.all("HEALTHCHECK")) == len(stage.all("EXPOSE")) == 1
    assert all(text.startswith("[") for text in stage.all("ENTRYPOINT") + stage.all("CMD")), (
        "no shell between"
    )
    assert all("--chown" not in text for text in stage.all("COPY"))
    assert not stage.all("ADD")


def test_a_stage_that_runs_has_no_compiler_and_no_sources() -> None:
    for name in SERVED:
        copied = [text for text in STAGES[name].all("COPY") if not text.startswith("--from=")]
        assert copied == [], name
        assert all("-dev" not in text for text in STAGES[name].all("RUN"))


def test_packages_are_those_of_the_lock() -> None:
    [install, extras] = [text for text in STAGES["build"].all("RUN") if "pip install" in text]
    assert "pip install --require-hashes -r requirements.txt" in install
    assert "-c /tmp/constraints.txt" in extras
    for text in STAGES["runtime"].all("RUN"):
        assert "--no-install-recommends" in text
        assert "rm -rf /var/lib/apt/lists/*" in text


def test_settings_and_extras_are_there() -> None:
    named = {name for stage in STAGES.values() for name in stage.environment}
    named -= NOT_OURS | OF_PIP | OF_THE_DRIVER
    assert named == {"SERVER_HOST", "VISAVIS_ENV", "VISAVIS_MODELS", "VISAVIS_OFFLINE"}
    assert named <= set(ALIASES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = re.findall(r"ARG EXTRAS=(\S+)", TEXT) + re.findall(r'"\.\[([a-z,]+)\]"', TEXT)
    assert len(asked) == 2
    assert {extra for each in asked for extra in each.split(",")} <= set(project["optional-dependencies"])


def test_there_are_no_secrets_in_an_image() -> None:
    for stage in STAGES.values():
        for text in stage.all("ARG") + stage.all("ENV"):
            assert not re.search("key|token|secret|password", text, re.IGNORECASE), text
    assert not [path for path in context() if ".env" in path or "__pycache__" in path]


# -- compose -------------------------------------------------------------------------------------------------
def test_by_default_there_is_one_server_for_production_that_needs_tokens() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["visavis"]
    visavis = SERVICES["visavis"]
    assert visavis["build"]["target"] == "${VISAVIS_TARGET:-production}"
    assert visavis["environment"]["AUTH_ENABLED"] == "${AUTH_ENABLED:-true}"
    assert visavis["stop_grace_period"] == "30s"
    others = {name: service["profiles"] for name, service in SERVICES.items() if name != "visavis"}
    of_many = ("visavis-1", "visavis-2", "nginx", "prometheus", "grafana")
    assert others == {"dev": ["dev"], "redis": ["redis", "many"]} | {name: ["many"] for name in of_many}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_write_nothing_and_do_nothing_that_it_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "user" in service or service["build"]["target"].strip("${}").split(":-")[-1] in SERVED
    assert all("127.0.0.1:" in port for port in service.get("ports", ())), "not open to a network by itself"
    writable = [volume for volume in service.get("volumes", ()) if not volume.endswith(":ro")]
    assert {volume.partition(":")[0] for volume in writable} <= set(COMPOSE["volumes"])


def test_compose_names_settings_that_there_are() -> None:
    for service in SERVICES.values():
        assert set(service.get("environment", ())) <= set(ALIASES) | set(map(variable, keys()))


# -- the steps, without Docker -------------------------------------------------------------------------------
def context() -> set[str]:
    """Paths of the repository that Docker would be sent."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    kept = [rule[1:] for rule in rules if rule[0] == "!"]
    dropped = [rule for rule in rules[1:] if rule[0] != "!"]
    files = [file for keep in kept for file in (ROOT / keep, *(ROOT / keep).rglob("*")) if file.is_file()]
    paths = {file.relative_to(ROOT).as_posix() for file in files}
    return {
        path
        for path in paths
        if not any(fnmatch.fnmatch(path, f"*{drop.removeprefix('**')}/*") for drop in dropped)
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the image has it: built from what Docker is sent, by the steps of the stage `build`."""
    folder = tmp_path_factory.mktemp("image")
    source, installed = folder / "src", folder / "opt"
    for path in context():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    for text in STAGES["build"].all("COPY"):
        *copied, target = text.split()
        assert all((source / path).exists() for path in copied), text
        assert target == "./" or copied == [target]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    where = ["--no-build-isolation", "--no-index", "--target", str(installed), str(source)]
    subprocess.run([*pip, *where], check=True)
    return installed


def test_versions_of_extras_are_the_lock_without_its_hashes(tmp_path: Path) -> None:
    [install] = [text for text in STAGES["build"].all("RUN") if "sed" in text]
    script = install.partition("&& ")[2].replace("/tmp/constraints.txt", str(tmp_path / "constraints.txt"))
    subprocess.run(["sh", "-c", script], cwd=ROOT, check=True)
    lines = (tmp_path / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and line[0] != "#"]
    assert {"redis", "aiortc", "opentelemetry-sdk", "numpy"} <= {each.name for each in pinned}
    assert all(str(each.specifier).startswith("==") for each in pinned)


WATCH = """
import os, sys
def watch(event, arguments):
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    opened = event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & writes
    if opened or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        os.write(file, os.fsencode(os.path.abspath(arguments[0])) + b"\\n")
file = os.open(os.environ["WRITTEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(watch)
"""
"""What a process writes is written down by its interpreter."""


@pytest.fixture(scope="module")
def house(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """The server as the image starts it, with its volumes in a folder."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    for name in ("data", "models", "tmp"):
        (folder / name).mkdir()
    environment = STAGES["production"].environment
    command = json.loads(STAGES["production"].all("CMD")[-1])
    assert json.loads(STAGES["production"].all("ENTRYPOINT")[-1]) == ["visavis"]
    assert command == ["serve", "--no-open"]
    settings = {name: environment[name] for name in environment if name in ALIASES}
    settings |= {"VISAVIS_MODELS": str(folder / "models"), "HOME": str(folder / "data")}
    settings |= {"TMPDIR": str(folder / "tmp"), "WRITTEN": str(folder / "written"), "AGENT_TYPE": "scripted"}
    settings |= {"PYTHONPATH": os.pathsep.join((str(folder), str(image))), "PYTHONDONTWRITEBYTECODE": "1"}
    with server(folder / "data", **settings, AUTH_ENABLED="true", AUTH_SECRET_KEY="k" * 32) as started:
        yield started, folder


def healthy(port: int) -> bool:
    """What Docker finds out."""
    [check] = STAGES["production"].all("HEALTHCHECK")
    command = ast.literal_eval(check.partition("CMD ")[2])
    assert command[0] == "python"
    env = {**os.environ, "AVATAR_PORT": str(port)}
    asked = subprocess.run([sys.executable, *command[1:]], env=env, capture_output=True, check=False)
    return asked.returncode == 0


def test_the_server_that_is_installed_starts_and_is_healthy(house: tuple[Server, Path]) -> None:
    running, _ = house
    assert healthy(running.port)
    assert not healthy(1), "nobody is there"


def test_it_writes_nowhere_but_in_its_volumes(house: tuple[Server, Path]) -> None:
    running, folder = house
    assert healthy(running.port)
    written = set((folder / "written").read_text(encoding="utf-8").splitlines())
    allowed = tuple(str(folder / name) for name in ("data", "models", "tmp"))
    elsewhere = {path for path in written if not path.startswith((*allowed, "/dev/", "/proc/"))}
    assert elsewhere == set()


def test_what_is_written_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "WRITTEN": str(tmp_path / "written")}
    wrong = "import os; open('a', 'w').close(); os.mkdir('b'); os.rename('b', 'c'); os.remove('a')"
    subprocess.run([sys.executable, "-c", wrong], cwd=tmp_path, env=env, check=True)
    written = (tmp_path / "written").read_text(encoding="utf-8").splitlines()
    assert [Path(path).name for path in written] == ["a", "b", "b", "a"]


def test_without_a_key_a_container_does_not_start(tmp_path: Path) -> None:
    given = STAGES["production"].environment | {"AUTH_ENABLED": "true"}
    settings = load_settings({}, None, {name: given[name] for name in given if name in ALIASES}, tmp_path)
    with pytest.raises(ConfigurationError, match="AUTH_SECRET_KEY"):
        Auth(settings)
