"""Configuration in the shape of a pipeline, references to the environment, and who gave what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from visavis import pipeline
from visavis.cli.main import app
from visavis.configuration import ALIASES, MASK, explain, keys, load_settings
from visavis.errors import ConfigurationError

LITERAL = """
# api/config/pipeline.yaml
pipeline:
  asr:
    handler: "faster_whisper"
    model_size: "large-v3"
    language: "pl"
    device: "cuda"
    
  llm:
    handler: "openai_compatible"
    model_name: "gpt-4o-mini"
    api_url: "https://api.openai.com/v1"
    api_key: "${OPENAI_API_KEY}"
    
  tts:
    handler: "pipertts"
    model_path: "models/piper/pl_PL-gosia-medium.onnx"
    sample_rate: 24000
    
  avatar:
    handler: "liteavatar"
    avatar_name: "20250408/P1-hDQRxa5xfpZK-1yDX8PrQ"
    fps: 25
    enable_fast_mode: true

server:
  host: "0.0.0.0"
  port: 8000
  cors_origins: ["*"]
  
models:
  root_path: "models"
  cache_size: 1000
"""  # noqa: W293 (as such files are written)
BEFORE_THE_VOICE, AFTER_THE_FACE = LITERAL.index("  tts:"), LITERAL.index("server:")
POLISH = f"""{LITERAL[:BEFORE_THE_VOICE]}  avatar:
    handler: net
    avatar_name: elena
{LITERAL[AFTER_THE_FACE:]}"""
"""The usual voice, and a face that needs no files."""


def written(folder: Path, text: str) -> Path:
    (folder / "pipeline.yaml").write_text(text)
    return Path("pipeline.yaml")


def failing(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        load_settings({}, written(folder, text), environ or {}, folder)
    return [line.removeprefix(f"{folder}/pipeline.yaml: ") for line in str(error.value).split("\n  - ")[1:]]


def test_a_pipeline_says_who_does_what(tmp_path: Path) -> None:
    settings = load_settings({}, written(tmp_path, POLISH), {"OPENAI_API_KEY": "sk-1"}, tmp_path)
    assert (settings.stages.asr, settings.whisper.model, settings.whisper.language) == (
        "whisper",
        "large-v3",
        "pl",
    )
    assert (settings.whisper.device, settings.assistant.language, settings.stages.tts) == (
        "cuda",
        "pl",
        "espeak",
    )
    assert (settings.stages.llm, settings.llm.model) == ("openai", "gpt-4o-mini")
    assert settings.llm.key.get_secret_value() == "sk-1"
    assert (settings.face.engine, settings.avatar) == ("net", "elena")
    assert (settings.server.host, settings.server.port, settings.server.cors_origins) == (
        "0.0.0.0",
        8000,
        ("*",),
    )
    assert settings.models.root_path == Path("models")


def test_a_pipeline_of_openavatarchats_is_read_as_it_is(tmp_path: Path) -> None:
    settings = load_settings({}, written(tmp_path, LITERAL), {"OPENAI_API_KEY": "sk-1"}, tmp_path)
    assert settings.stages.tts == "piper"
    assert settings.piper.voice == Path("models/piper/pl_PL-gosia-medium.onnx")
    assert settings.face.engine == "liteavatar"
    assert settings.liteavatar.data == Path("20250408/P1-hDQRxa5xfpZK-1yDX8PrQ")
    assert (settings.video.fps, settings.liteavatar.fast) == (25, True)
    assert (settings.models.root_path, settings.models.cache_size) == (Path("models"), 1000)


@pytest.mark.parametrize("face", ["net", "energy", "phonemes", "wav2arkit", "lam", "remote"])
def test_every_face_can_be_told_its_pace(tmp_path: Path, face: str) -> None:
    config = written(tmp_path, f"pipeline: {{avatar: {{handler: {face}, avatar_name: elena, fps: 30}}}}\n")
    settings = load_settings({}, config, {}, tmp_path)
    assert (settings.face.engine, settings.avatar, settings.video.fps) == (face, "elena", 30)


def test_sound_is_sent_at_one_rate(tmp_path: Path) -> None:
    text = LITERAL.replace("sample_rate: 24000", "sample_rate: 22050")
    assert failing(tmp_path, text, {"OPENAI_API_KEY": "sk-1"}) == [
        "pipeline.tts.sample_rate is 22050 but can only be 24000"
    ]


def test_the_environment_wins_over_a_pipeline(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "AVATAR_OPENAI_API_KEY": "sk-2", "AVATAR_HOST": "127.0.0.1"}
    settings = load_settings({}, written(tmp_path, POLISH), environ, tmp_path)
    assert (settings.llm.key.get_secret_value(), settings.server.host) == ("sk-2", "127.0.0.1")


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    environ = {"AVATAR_PIPELINE_CONFIG_PATH": str(written(tmp_path, "avatar: pip\n"))}
    assert load_settings({}, None, environ, tmp_path).avatar == "pip"


def test_the_dotenv_names_the_file(tmp_path: Path) -> None:
    written(tmp_path, "avatar: pip\n")
    (tmp_path / ".env").write_text("AVATAR_PIPELINE_CONFIG_PATH=pipeline.yaml\n")
    assert load_settings({}, None, {}, tmp_path).avatar == "pip"


def test_openai_compatible_without_an_address_is_openai(tmp_path: Path) -> None:
    config = written(tmp_path, "pipeline: {llm: {handler: openai_compatible}}\n")
    assert load_settings({}, config, {}, tmp_path).llm.url == "https://api.openai.com/v1"


def test_somebody_elses_handler_is_told_what_the_file_says(tmp_path: Path) -> None:
    config = written(tmp_path, "pipeline: {tts: {handler: 'mine.voice:load', pitch: 3, api_key: hush}}\n")
    settings = load_settings({}, config, {}, tmp_path)
    assert settings.stages.tts == "mine.voice:load"
    assert settings.options == {"tts": {"pitch": 3, "api_key": "hush"}}
    shown = {setting.key: setting.shown for setting in explain({}, config, {}, tmp_path)}["options"]
    assert "3" in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pipeline: 3", "pipeline is a section; write its stages below it, indented"),
        (
            "pipeline: {ars: {handler: whisper}}",
            "unknown stage pipeline.ars; expected vad, end_of_turn, asr, llm, tts, avatar",
        ),
        (
            "pipeline: {asr: whisper}",
            "pipeline.asr must name its handler, such as pipeline.asr.handler: whisper",
        ),
        (
            "pipeline: {asr: {handler: whisper, model_sise: small}}",
            "unknown key pipeline.asr.model_sise; did you mean model_size?",
        ),
        (
            "pipeline: {avatar: {handler: net, fps: 200}}",
            "pipeline.avatar.fps: video.fps is 200 but must be less than or equal to 60",
        ),
        (
            "pipeline: {vad: {handler: silero_vad, threshold: 0.5}}",
            "unknown key pipeline.vad.threshold; expected handler",
        ),
        (
            "pipeline: {asr: {handler: whisper, device: tpu}}",
            "pipeline.asr.device: whisper.device is 'tpu' but must be 'auto', 'cpu' or 'cuda'",
        ),
        (
            "llm: {key: '${NO_SUCH_KEY}'}",
            "llm.key needs the environment variable NO_SUCH_KEY, which is not set",
        ),
        (
            "server: {cors_origins: [example.org]}",
            "server.cors_origins.0 is 'example.org' but must be an origin, such as "
            "https://example.org or https://*.example.org, or *",
        ),
    ],
)
def test_what_cannot_work_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert failing(tmp_path, text) == [said]


def test_references_have_defaults_and_know_the_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WHO=kenji\n")
    text = "avatar: ${WHO}\nassistant: {instructions: 'You are ${NAME:-nobody}, ${WHO}.'}\n"
    settings = load_settings({}, written(tmp_path, text), {"WHO": "amara"}, tmp_path)
    assert settings.avatar == "amara"
    assert settings.assistant.instructions == "You are nobody, amara."
    assert load_settings({}, written(tmp_path, text), {}, tmp_path).avatar == "kenji"


@pytest.mark.parametrize(
    "given", ["https://a.example, https://b.example", '["https://a.example","https://b.example"]']
)
def test_origins_from_the_environment(tmp_path: Path, given: str) -> None:
    settings = load_settings({}, None, {"AVATAR_CORS_ORIGINS": given}, tmp_path)
    assert settings.server.cors_origins == ("https://a.example", "https://b.example")


def test_every_option_of_a_pipeline_is_a_setting() -> None:
    known: dict[str, Any] = keys()
    named = {key for options in pipeline.OPTIONS.values() for key in options.values()}
    implied = {key for settings in pipeline.IMPLIED.values() for key in settings}
    assert named | implied | set(pipeline.STAGES.values()) | set(ALIASES.values()) <= set(known)


def test_show_tells_every_setting_and_who_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text(POLISH)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    shown = CliRunner().invoke(app, ["config", "show", "--config", str(config)])
    assert shown.exit_code == 0
    assert "sk-hush" not in shown.output
    lines = {line.split()[0]: line.rstrip() for line in shown.output.splitlines()}
    assert set(keys()) <= set(lines)
    assert MASK in lines["llm.key"]
    assert lines["llm.key"].endswith("pipeline.llm.api_key")
    assert lines["avatar"].split()[1:] == ["elena", f"{config}:", "pipeline.avatar.avatar_name"]
    assert lines["server.workers"].split()[1:] == ["2", "default"]
    changed = CliRunner().invoke(app, ["config", "show", "--changed", "--config", str(config)])
    assert "server.workers" not in changed.output
    assert "server.port" in changed.output


def test_check_says_whether_it_can_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["config", "check"]).exit_code == 0
    (tmp_path / "visavis.yaml").write_text("avatr: mia\n")
    wrong = CliRunner().invoke(app, ["config", "check"])
    assert wrong.exit_code == 2
    assert "did you mean avatar?" in wrong.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("environment: production\nauth: {enabled: true}\n", "AUTH_SECRET_KEY"),
        ("server: {ssl_keyfile: key.pem}\n", "server.ssl_certfile"),
        ("server: {ssl_certfile: chain.pem}\n", "cannot be used"),
        ("avatar: me.glb\n", "me.glb is not a glTF binary"),
    ],
)
def test_check_finds_what_would_stop_the_start(
    settings: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me.glb").write_bytes(b"glTF")
    (tmp_path / "visavis.yaml").write_text(settings)
    wrong = CliRunner().invoke(app, ["config", "check"])
    assert wrong.exit_code == 2
    assert reason in " ".join(wrong.stderr.split())
