"""`visavis config check`: what would keep a server from starting, found without starting one."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.redis_server import needs_redis, redis_server
from typer.testing import CliRunner

from visavis.cli.main import app
from visavis.conversations import database
from visavis.errors import ExtraMissing
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


SCRIPTED = {"AGENT_TYPE": "scripted"}


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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"VISAVIS_FACE": "liteavatar"}, "set liteavatar.data to the folder"),
        (
            {"VISAVIS_FACE": "liteavatar", "VISAVIS_LITEAVATAR__DATA": "avatar"},
            "lite_avatar_weights: there is no such folder; set liteavatar.weights to it",
        ),
        (
            {
                "VISAVIS_FACE": "liteavatar",
                "VISAVIS_LITEAVATAR__DATA": "avatar",
                "VISAVIS_LITEAVATAR__WEIGHTS": "weights",
            },
            "avatar: there is no such folder",
        ),
        ({"VISAVIS_FACE": "lam"}, "The face engine lam needs a checkpoint: set face.model_path"),
        ({"VISAVIS_FACE": "wav2arkit"}, "The face engine wav2arkit needs a model: set face.model_path"),
        ({"ONNX_MODEL_PATH": "me.onnx"}, "me.onnx: there is nothing. Set face.model_path"),
        ({"ONNX_MODEL_PATH": "junk"}, "the first of which are b'junkjunk', not a whole ONNX model"),
        (
            {"ONNX_MODEL_PATH": "model_1.onnx", "AVATAR_MODELS_ROOT_PATH": "weights"},
            "weights/model_1.onnx: it has 8 bytes",
        ),
        (
            {"PIPER_VOICE": "model_1.onnx", "AVATAR_MODELS_ROOT_PATH": "weights"},
            "weights/model_1.onnx.json: No such file",
        ),
        ({"VISAVIS_FACE": "remote"}, "needs an address: set remote_stages.face"),
        ({"VISAVIS_STAGES__TTS": "remote"}, "needs an address: set remote_stages.tts"),
        ({"PIPER_VOICE": "joe.onnx"}, "joe.onnx: there is no such file. A voice is two files"),
        ({"VISAVIS_STAGES__TTS": "piper", "ASSISTANT_LANGUAGE": "pl"}, "needs a file for assistant.language"),
        ({"VISAVIS_STAGES__TTS": "kokoro", "ASSISTANT_LANGUAGE": "pl"}, "'kokoro' does not speak 'pl'"),
        ({"VISAVIS_STAGES__TTS": "espeak", "VISAVIS_ESPEAK__VOICE": "xx"}, "espeak-ng has no voice 'xx'"),
        ({"VISAVIS_STAGES__TTS": "openai"}, "needs a server's address: set speech.url"),
        ({"VISAVIS_STAGES__ASR": "openai"}, "needs a server's address: set transcription.url"),
        ({"VISAVIS_STAGES__LLM": "openai"}, "needs a server's address: set VISAVIS_LLM_URL"),
        ({"VISAVIS_STAGES__LLM": "gguf"}, "needs a file: set llm.file"),
        ({"VISAVIS_LLM_FILE": "me.gguf"}, "me.gguf cannot be read: No such file or directory"),
        ({"VISAVIS_LLM_FILE": "junk"}, "junk is not a GGUF file"),
        ({"VISAVIS_WHISPER__MODEL": "hugest"}, "whisper.model is 'hugest' but no model could be loaded"),
        ({"VISAVIS_WHISPER__MODEL": "weights"}, "there is no model.bin in it. Give a size"),
        (
            {"VISAVIS_WHISPER__MODEL": "small", "VISAVIS_OFFLINE": "1"},
            "whisper.model is 'small' but no model",
        ),
        (
            {"VISAVIS_STAGES__ASR": "whisper", "VISAVIS_WHISPER__LANGUAGE": "tlh"},
            "set whisper.language to one",
        ),
        (
            {"VISAVIS_STAGES__ASR": "whisper", "VISAVIS_WHISPER__DEVICE": "cuda"},
            "no GPU here that CUDA can use",
        ),
        ({"VISAVIS_STAGES__TTS": "piper", "PIPER_SPEAKER": "bob"}, "piper.speaker is 'bob'"),
        ({"AGENT_TYPE": "openai"}, "The agent 'openai' needs a key: set OPENAI_API_KEY"),
        ({"AGENT_TYPE": "gemini"}, "Gemini Live needs a key: set GEMINI_API_KEY"),
        ({"AGENT_TYPE": "remote"}, "The remote agent needs an address: set AGENT_URL"),
        (SCRIPTED | {"VISAVIS_SCRIPTED__AUDIO": "me.wav"}, "me.wav cannot be read as a WAV file"),
        ({"VISAVIS_OFFLINE": "1", "VISAVIS_MODELS": "weights"}, "Model files are missing from weights"),
        ({"VISAVIS_MODELS": "junk"}, "junk is no folder. Free some space"),
        (SCRIPTED | {"VISAVIS_VIDEO__BACKGROUND": "me.png"}, "The background 'me.png' is neither a colour"),
        (SCRIPTED | {"VISAVIS_VIDEO__BACKGROUND": "junk"}, "junk"),
        (SCRIPTED | {"VISAVIS_VIDEO__RENDERER": "no_such:thing"}, "needs the module 'no_such'"),
    ],
)
def test_the_check_says_what_the_start_says(
    wrong: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is fetched or loaded."""
    monkeypatch.setattr("visavis.models.ModelStore.pull", None)
    monkeypatch.setattr("visavis.server.run.run", None)
    monkeypatch.setattr("visavis.stages.asr_whisper.get_cuda_device_count", lambda: 0)
    (tmp_path / "junk").write_text("junk" * 100)
    (tmp_path / "weights" / "speech_paraformer").mkdir(parents=True)
    for name in ("am.mvn", "model.pb"):
        (tmp_path / "weights" / "speech_paraformer" / name).write_text("")
    (tmp_path / "weights" / "model_1.onnx").write_text("junkjunk")
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    told_alike(said)


def told_alike(said: str) -> None:
    found = checked(2)
    assert said in found
    started = CliRunner().invoke(app, ["serve", "--no-open"], terminal_width=200)
    assert (started.exit_code, " ".join(started.output.split())) == (2, found)


def test_a_tool_that_cannot_be_is_found(tmp_path: Path) -> None:
    (tmp_path / "visavis.yaml").write_text("agent: scripted\ntools: {x: {python: 'no_such:thing'}}\n")
    told_alike("tools.x: The tools plug-in 'no_such:thing' needs the module 'no_such'")


@pytest.mark.parametrize(
    ("settings", "module"),
    [
        ("mcp: {clock: {command: [clock]}}", "visavis.tools.mcp"),
        ("traces: {url: 'http://127.0.0.1:9/v1/traces'}", "visavis.tracing"),
    ],
)
def test_an_extra_that_is_missing_is_found(
    settings: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ExtraMissing(f"{name} needs what it needs", "more")

    (tmp_path / "visavis.yaml").write_text(f"agent: scripted\n{settings}\n")
    assert "sound" in checked(0)
    monkeypatch.setattr("visavis.server.run.import_module", absent)
    told_alike(f"{module} needs what it needs")


def test_a_port_that_a_server_has_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("AVATAR_PORT", str(taken.getsockname()[1]))
        assert "sound" in checked(0)
    monkeypatch.setenv("AVATAR_HOST", "192.0.2.7")  # nobody has it
    assert "Cannot listen on 192.0.2.7" in checked(2)


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
