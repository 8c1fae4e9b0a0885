"""The template of a handler works as it is written down: tested, configured, measured and closed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from tests.process import server
from typer.testing import CliRunner

from visavis import plugins
from visavis.cli.main import app
from visavis.errors import ConfigurationError
from visavis.settings import Settings

TEMPLATE = Path(__file__).parents[2] / "examples" / "handler_template"
PIPELINE = """
pipeline:
  tts: {handler: "visavis_tone:load", hertz: 180}
  asr: {handler: "tests.server.light:Ears"}
  llm: {handler: "tests.server.light:Echo"}
models: {root_path: models, cache_size: 1000}
"""


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [str(TEMPLATE), str(TEMPLATE.parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))


@pytest.mark.usefixtures("path")
def test_its_own_test_passes() -> None:
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TEMPLATE)]
    done = subprocess.run(run, cwd=TEMPLATE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.models
@pytest.mark.usefixtures("path")
def test_a_server_speaks_with_it_and_shows_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    command = ("serve", "--config", "pipeline.yaml")
    with server(tmp_path, command) as running, httpx2.Client(base_url=f"{running.http}/api/v1") as http:
        assert http.get("/pipeline/status").json()["stages"]["tts"]["calls"] == 0
        session = http.post("/sessions", json={"output": "weights"}).json()["session_id"]
        for _ in range(2):
            asked = {"text": "One two"}
            reply = http.post(
                f"/sessions/{session}/text", params={"wait": True}, json=asked, timeout=30
            ).json()
            assert reply["text"] == "You said: One two"
            assert len(reply["weights"]) == 25
        stages = http.get("/pipeline/status").json()["stages"]
    tts, llm = stages["tts"], stages["llm"]
    assert (tts["handler"], tts["model"], tts["device"], tts["loaded"]) == (
        "visavis_tone:load",
        "tone",
        "cpu",
        True,
    )
    assert (tts["calls"], tts["errors"], tts["last_error"]) == (1, 0, None)  # the second time it was kept
    assert (llm["handler"], llm["calls"]) == ("tests.server.light:Echo", 2)
    assert 0 <= tts["p50_ms"] <= tts["p95_ms"]
    assert tts["warm_up_ms"] > 0
    assert list(stages) == ["vad", "end_of_turn", "asr", "llm", "tts", "avatar", "pictures"]
    assert stages["avatar"]["calls"] > 0
    assert (stages["pictures"]["loaded"], stages["pictures"]["warm_up_ms"]) == (False, None)


def test_a_wrong_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TEMPLATE))
    with pytest.raises(ConfigurationError, match=r"pipeline\.tts\.pitch: Extra inputs"):
        plugins.load("tts", "visavis_tone:load", Settings(options={"tts": {"pitch": 1}}))


def test_a_wrong_option_is_found_without_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TEMPLATE))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "visavis.yaml"
    file.write_text('pipeline: {tts: {handler: "visavis_tone:load", hertz: 180}}')
    assert CliRunner().invoke(app, ["config", "check"]).exit_code == 0
    file.write_text('pipeline: {tts: {handler: "visavis_tone:load", hertz: 9}}')
    wrong = CliRunner().invoke(app, ["config", "check"])
    assert wrong.exit_code == 2
    assert "pipeline.tts.hertz: Input should be greater" in " ".join(wrong.stderr.split())


@pytest.mark.parametrize("name", ["close", "aclose"])
def test_what_an_engine_holds_is_closed_and_nothing_stops_that(name: str) -> None:
    closed = []

    class Engine:
        def close(self) -> None:
            closed.append("close")
            raise OSError("gone already")

    class Asynchronous:
        async def aclose(self) -> None:
            closed.append("aclose")

    asyncio.run(plugins.close(Engine() if name == "close" else Asynchronous()))
    asyncio.run(plugins.close(object()))
    assert closed == [name]
