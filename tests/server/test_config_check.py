"""`visavis config check`: what would keep a server from starting, found without starting one."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.redis_server import needs_redis, redis_server
from typer.testing import CliRunner

from visavis.cli.main import app
from visavis.conversations import database
from visavis.folders import obstacle
from visavis.server import redis_state


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTH_SECRET_KEY", "k" * 32)


def checked(code: int) -> str:
    result = CliRunner().invoke(app, ["config", "check"], terminal_width=200)
    assert result.exit_code == code, (result.output, result.exception)
    return " ".join(result.output.split())


def test_what_is_not_there_yet_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_RECORDING__FOLDER", str(tmp_path / "some" / "where"))
    monkeypatch.setenv("VISAVIS_CONVERSATIONS__STORE", "sqlite")
    monkeypatch.setenv("VISAVIS_CONVERSATIONS__PATH", str(tmp_path / "else" / "conversations.db"))
    assert "The configuration is sound" in checked(0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"VISAVIS_RECORDING__FOLDER": "a/file/in/it"}, "is no folder. Set recording.folder"),
        ({"VISAVIS_CONVERSATIONS__PATH": "a/file/in/it.db"}, "is no folder. Set conversations.path"),
        ({"VISAVIS_CONVERSATIONS__PATH": "a/file"}, "file is not a database. Set conversations.path"),
        ({"VISAVIS_CONVERSATIONS__PATH": "a"}, "Set conversations.path"),
        ({"VISAVIS_REDIS_URL": "redis://:hush-hush@127.0.0.1:9/0"}, "cluster.redis: there is no Redis"),
    ],
)
def test_what_cannot_be_used_is_told(
    wrong: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("no database" * 100)
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VISAVIS_CONVERSATIONS__STORE", "sqlite")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = checked(2)
    assert said in found and "hush" not in found and "Traceback" not in found


@needs_redis
def test_a_redis_that_answers_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(prefix="visavis-") as folder, redis_server(Path(folder)) as running:
        monkeypatch.setenv("VISAVIS_REDIS_URL", running.url)
        monkeypatch.setattr(redis_state, "TIMEOUT", 60.0)  # on a busy machine
        assert "The configuration is sound" in checked(0)


def test_a_folder_that_must_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rights of whoever runs the tests."""
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    assert obstacle(tmp_path / "new") == f"{tmp_path} is not writable"
    (tmp_path / "new").mkdir()
    assert obstacle(tmp_path / "new") == ""
    assert obstacle(Path(os.curdir)) == f"{tmp_path} is not writable"


def test_a_database_that_is_there_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    with database.opened(path):
        pass
    before = path.read_bytes()
    database.check(path)
    assert path.read_bytes() == before
