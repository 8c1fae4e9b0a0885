"""`visavis models` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.conftest import MakeModel, MakeStore
from typer.testing import CliRunner, Result

from visavis.cli.models import app, pull_shown
from visavis.errors import ModelMissing
from visavis.model_catalogue import MODELS
from visavis.settings import ModelSettings, Settings

NET = {"voice/net.onnx": b"weights" * 100}


def run(cache: Path, *arguments: str) -> Result:
    settings = Settings(models=ModelSettings(cache=cache, offline=True))
    return CliRunner().invoke(app, arguments, obj=settings, env={"COLUMNS": "200"})


def put_wrong_silero(cache: Path) -> Path:
    """A silero-vad that was stored properly, but whose bytes have changed since."""
    model = next(model for model in MODELS if model.name == "silero-vad")
    folder = cache / f"{model.name}-{model.version}"
    folder.mkdir(parents=True)
    for name, digest in model.stored.items():
        (folder / name).write_bytes(bytes(digest.bytes))
        (folder / ".verified").write_text(f"{digest.sha256} {digest.bytes} {name}\n")
    return folder


def test_list_shows_every_model_and_whether_it_is_here(tmp_path: Path) -> None:
    put_wrong_silero(tmp_path)
    result = run(tmp_path, "list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    for model in MODELS:
        row = rows[model.name]
        assert model.purpose in row
        assert model.licence in row
        assert model.version in row
        assert ("ready" if model.name == "silero-vad" else "missing") in row
    assert str(tmp_path / "NAME-VERSION") in result.stdout


def test_pull_offline_explains_and_fails(tmp_path: Path) -> None:
    result = run(tmp_path, "pull", "minilm")
    assert result.exit_code == 1
    assert "visavis models pull minilm" in result.stderr
    assert "Traceback" not in result.output


def test_pull_of_what_is_here_says_so(tmp_path: Path) -> None:
    put_wrong_silero(tmp_path)
    result = run(tmp_path, "pull", "silero-vad")
    assert result.exit_code == 0
    assert "Nothing to pull" in result.stdout


def test_verify_fails_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    folder = put_wrong_silero(tmp_path)
    result = run(tmp_path, "verify")
    assert result.exit_code == 1
    assert str(folder / "silero_vad.onnx") in result.stderr
    assert "visavis models remove silero-vad && visavis models pull silero-vad" in result.stderr


def test_verify_of_a_model_that_is_not_here_fails_when_it_is_named(tmp_path: Path) -> None:
    assert run(tmp_path, "verify").exit_code == 0
    result = run(tmp_path, "verify", "minilm")
    assert result.exit_code == 1
    assert "minilm is not in" in result.stderr


def test_remove_deletes_what_is_named(tmp_path: Path) -> None:
    folder = put_wrong_silero(tmp_path)
    assert "minilm: was not here" in run(tmp_path, "remove", "minilm").stdout
    assert folder.exists()
    assert "silero-vad: removed" in run(tmp_path, "remove", "--all").stdout
    assert not folder.exists()


def test_remove_wants_names_or_all(tmp_path: Path) -> None:
    for arguments in (["remove"], ["remove", "minilm", "--all"]):
        result = run(tmp_path, *arguments)
        assert result.exit_code == 1
        assert "--all" in result.stderr


def test_an_unknown_name_is_an_explained_error(tmp_path: Path) -> None:
    for command in ("pull", "verify", "remove"):
        result = run(tmp_path, command, "nobody")
        assert result.exit_code == 1
        assert "There is no model 'nobody'" in result.stderr


def test_pull_shown_prints_plain_lines_without_a_terminal(
    make_model: MakeModel, make_store: MakeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(make_model("voice", NET))
    assert pull_shown(store) == ["voice"]
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("voice: fetching ")
    assert last == "voice: ready"
    assert pull_shown(store) == []
    assert capsys.readouterr().err == ""


def test_pull_shown_draws_a_bar_for_a_terminal(
    make_model: MakeModel,
    make_store: MakeStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    store = make_store(make_model("voice", NET), make_model("ears", NET))
    assert pull_shown(store) == ["voice", "ears"]
    drawn = capsys.readouterr().err
    assert "voice" in drawn
    assert "ears" in drawn
    assert "━" in drawn
    assert store.missing() == []


def test_pull_shown_refuses_offline(make_model: MakeModel, make_store: MakeStore) -> None:
    with pytest.raises(ModelMissing, match="visavis models pull voice"):
        pull_shown(make_store(make_model("voice", NET), offline=True))
