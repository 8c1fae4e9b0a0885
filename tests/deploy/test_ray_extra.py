"""Visavis on Ray, as far as it can be told without Ray; `make test-ray` runs it on a real cluster."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import yaml

from visavis.errors import ExtraMissing
from visavis.garbage import THRESHOLD
from visavis.server.run import SWITCH
from visavis.settings import RemoteStageSettings, StageSettings
from visavis.stages.remote_wire import KINDS

FILE = Path(__file__).parents[2] / "deploy" / "ray" / "visavis.yaml"


def test_without_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "visavis.deploy.ray", raising=False)
    with pytest.raises(ExtraMissing, match=r"visavis\[ray\]"):
        import visavis.deploy.ray  # noqa: F401


def test_a_replica_settles_as_a_server_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_TYPE", "scripted")
    monkeypatch.setenv("VISAVIS_FACE__ENGINE", "energy")
    monkeypatch.setitem(sys.modules, "ray", Mock())
    monkeypatch.delitem(sys.modules, "visavis.deploy.ray", raising=False)
    done = Mock()
    for kept_for_the_process in ("gc.freeze", "gc.set_threshold", "gc.unfreeze", "sys.setswitchinterval"):
        monkeypatch.setattr(kept_for_the_process, getattr(done, kept_for_the_process.split(".")[1]))
    from visavis.deploy.ray import _server

    async def main() -> None:
        app = _server()
        assert done.mock_calls == []
        async with app.router.lifespan_context(app):
            assert done.mock_calls == [
                call.freeze(),
                call.set_threshold(*THRESHOLD),
                call.setswitchinterval(SWITCH),
            ]
        assert done.mock_calls[-1] == call.unfreeze()

    try:
        asyncio.run(main())
    finally:
        sys.modules.pop("visavis.deploy.ray", None)  # it has no Ray


def test_the_file_of_the_cluster_uses_the_stages_that_it_starts() -> None:
    told = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    server, *stages = told["applications"]
    env = server["runtime_env"]["env_vars"]
    port = told["http_options"]["port"]
    assert stages
    for stage in stages:
        kind = stage["args"]["kind"]
        assert kind in KINDS and stage["deployments"][0]["name"] == kind
        assert env.pop(f"VISAVIS_STAGES__{kind.upper()}") == "remote"
        address = env.pop(f"VISAVIS_REMOTE_STAGES__{kind.upper()}")
        assert address == f"http://127.0.0.1:{port}{stage['route_prefix']}"
    assert set(env) == {"VISAVIS_REMOTE_STAGES__START_SECONDS"}
    assert set(KINDS) - {"face"} < set(StageSettings.model_fields)
    assert set(KINDS) < set(RemoteStageSettings.model_fields)
