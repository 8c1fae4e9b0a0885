"""Where settings come from, and what people are told when they are wrong."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from argon2 import PasswordHasher
from dotenv import dotenv_values
from tools.settings_tables import DOCUMENT, written

from visavis import plugins
from visavis.configuration import ALIASES, keys, load_settings, variable
from visavis.errors import ConfigurationError
from visavis.settings import Settings

ROOT = Path(__file__).parents[2]


def problems(error: pytest.ExceptionInfo[ConfigurationError]) -> list[str]:
    return str(error.value).split("\n  - ")[1:]


def failing(folder: Path, environ: dict[str, str] | None = None, **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        load_settings(options, None, environ or {}, folder)
    return problems(error)


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings({}, None, {}, tmp_path) == Settings()


def test_the_order_is_options_environment_dotenv_yaml_defaults(tmp_path: Path) -> None:
    (tmp_path / "visavis.yaml").write_text("server: {port: 1, host: a, workers: 3}\nvoice: {speed: 1.5}\n")
    (tmp_path / ".env").write_text("SERVER_PORT=2\nVISAVIS_SERVER__HOST=b\nVISAVIS_VOICE_SPEED=1.25\n")
    environ = {"AVATAR_PORT": "3", "SERVER_HOST": "c"}
    settings = load_settings({"server.port": 4, "avatar": None}, None, environ, tmp_path)
    assert (settings.server.port, settings.server.host) == (4, "c")
    assert (settings.voice.speed, settings.server.workers) == (1.25, 3)
    assert settings.avatar == "mia"


def test_the_environment_of_a_muse_page_is_understood_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("""
API_BASE=http://localhost:5000
DEFAULT_AVATAR_ID=default-01
# OPENAI_API_KEY=your_openai_api_key_here
OPENAI_MODEL=gpt-3.5-turbo
MUSE_MODE=file  # 'mse' or 'file'
MUSE_STREAM_URL=ws://localhost:8080/stream
MUSE_FILE_URL=http://localhost:8080/video
SECRET_KEY=your-secret-key-here
""")
    settings = load_settings({}, None, {}, tmp_path)
    assert (settings.server.api_base, settings.avatar) == ("http://localhost:5000", "mia")
    assert (settings.muse.mode, settings.muse.stream_url) == ("file", "ws://localhost:8080/stream")
    assert settings.muse.file_url == "http://localhost:8080/video"


def test_a_full_name_wins_over_a_short_one(tmp_path: Path) -> None:
    environ = {"AVATAR_PORT": "3", "SERVER_PORT": "4", "VISAVIS_SERVER__PORT": "5"}
    assert load_settings({}, None, environ, tmp_path).server.port == 5


def test_a_named_file_replaces_the_one_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "visavis.yaml").write_text("avatar: kenji\n")
    (tmp_path / "mine.yaml").write_text("server:\n  port: 9000\nvoice:\n")
    settings = load_settings({}, Path("mine.yaml"), {}, tmp_path)
    assert (settings.avatar, settings.server.port) == ("mia", 9000)


def test_empty_variables_are_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VISAVIS_LLM_URL=\nVISAVIS_LLM_KEY\n")
    assert load_settings({}, None, {"AVATAR_PORT": ""}, tmp_path) == Settings()


def test_a_url_switches_to_the_real_language_model(tmp_path: Path) -> None:
    url = {"VISAVIS_LLM_URL": "http://localhost:11434/v1"}
    assert load_settings({}, None, url, tmp_path).stages.llm == "openai"
    chosen = url | {"VISAVIS_STAGES__LLM": "demo"}
    assert load_settings({}, None, chosen, tmp_path).stages.llm == "demo"


def test_every_problem_is_told_at_once_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "visavis.yaml").write_text("server: {prot: 1, port: 70000}\nllm: 3\nvoice: {speed: fast}\n")
    (tmp_path / ".env").write_text("VISAVIS_PORT=1\nSOMEBODY_ELSES=1\n")
    environ = {"AGENT_TYPE": "scriptd", "VISAVIS_LLM_URL": "localhost:11434"}
    found = failing(tmp_path, environ, debug="perhaps")
    file, dotenv = tmp_path / "visavis.yaml", tmp_path / ".env"
    agents = ", ".join(plugins.names("agents"))
    assert sorted(found) == sorted(
        [
            f"{file}: unknown key server.prot; did you mean server.port?",
            f"{file}: llm is a section; write its keys below it, indented",
            f"{file}: server.port is 70000 but must be less than or equal to 65535",
            f"{file}: voice.speed is 'fast' but must be a valid number",
            f"{dotenv}: unknown variable VISAVIS_PORT; did you mean VISAVIS_SERVER__PORT?",
            f"AGENT_TYPE (environment): agent is 'scriptd' but must be one of {agents}, or "
            "module:function; did you mean scripted?",
            "VISAVIS_LLM_URL (environment): llm.url is 'localhost:11434' but must be a web address, such as "
            "http://localhost:11434/v1",
            "command line: debug is 'perhaps' but must be a valid boolean",
        ]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: [\n", "line 2: this is not YAML"),
        ("- port\n", "expected keys and values"),
        ("8080: 1\n", "unknown key 8080"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "visavis.yaml").write_text(text)
    [problem] = failing(tmp_path)
    assert said in problem
    assert str(tmp_path / "visavis.yaml") in problem


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_settings({}, Path("nowhere.yaml"), {}, tmp_path)
    assert problems(error) == [f"{tmp_path / 'nowhere.yaml'}: there is no such file"]


def test_a_named_file_must_be_a_text(tmp_path: Path) -> None:
    (tmp_path / "sound.yaml").write_bytes(b"RIFF\xff")
    for name, said in (("sound.yaml", "this is not a text in UTF-8"), ("", "cannot be read: Is a directory")):
        with pytest.raises(ConfigurationError) as error:
            load_settings({}, tmp_path / name, {}, tmp_path)
        assert problems(error) == [f"{tmp_path / name}: {said}"]


def test_administrators_are_users(tmp_path: Path) -> None:
    known = f"ann:{PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash('right')}"
    settings = load_settings({}, None, {"AUTH_USERS": known, "AUTH_ADMINS": "ann"}, tmp_path)
    assert settings.auth.admins == ("ann",)
    (problem,) = failing(tmp_path, {"AUTH_USERS": known, "AUTH_ADMINS": "ann,anne"})
    assert problem.endswith("auth.admins is 'ann,anne' but must be names of auth.users, and there is no anne")
    assert len(failing(tmp_path, {"AUTH_ADMINS": "ann"})) == 1
    (problem,) = failing(tmp_path, {"AUTH_USERS": "ann:right", "AUTH_ADMINS": "ann"})
    assert "argon2" in problem


def test_secrets_are_neither_shown_nor_printed(tmp_path: Path) -> None:
    (tmp_path / "visavis.yaml").write_text("llm: {key: [hush-hush]}\n")
    assert "hush" not in " ".join(failing(tmp_path))
    (tmp_path / "visavis.yaml").write_text("llm: {key: hush-hush}\n")
    settings = load_settings({}, None, {}, tmp_path)
    assert settings.llm.key.get_secret_value() == "hush-hush"
    assert "hush" not in repr(settings)


def test_servers_for_webrtc_are_one_of_each_kind_and_keep_their_secrets(tmp_path: Path) -> None:
    name = "VISAVIS_WEBRTC__ICE_SERVERS"
    turn = '{"url": "turn:turn.example?transport=tcp", "username": "me", "credential": "hush"}'
    environ = {name: f'[{{"url": "stun:stun.example:3478"}}, {turn}]'}
    servers = load_settings({}, None, environ, tmp_path).webrtc.ice_servers
    assert [str(server) for server in servers] == [
        "stun:stun.example:3478",
        "turn:turn.example?transport=tcp",
    ]
    assert servers[1].credential.get_secret_value() == "hush"
    assert "hush" not in repr(servers)
    place = f"{name} (environment): webrtc.ice_servers"
    twice = failing(tmp_path, {name: f"[{turn}, {turn}]"})
    assert twice == [f"{place} must have at most one turn server"]
    (unknown,) = failing(tmp_path, {name: '[{"url": "https://stun.example"}]'})
    assert unknown.startswith(f"{place}.0.url must match")
    (number,) = failing(tmp_path, {name: '[{"url": "turn:a", "credential": 12345}]'})
    assert number == f"{place}.0.credential must be a valid string"


@pytest.mark.parametrize(
    ("environment", "asr", "tts"),
    [
        ({"ASSISTANT_LANGUAGE": "pl"}, "whisper", "espeak"),
        ({"ASSISTANT_LANGUAGE": "en-GB"}, "moonshine", "hibari"),
        ({"ASSISTANT_LANGUAGE": "pl", "VISAVIS_STAGES__TTS": "hibari"}, "whisper", "hibari"),
    ],
)
def test_another_language_chooses_ears_and_voice(
    tmp_path: Path, environment: dict[str, str], asr: str, tts: str
) -> None:
    stages = load_settings({}, None, environment, tmp_path).stages
    assert (stages.asr, stages.tts) == (asr, tts)


@pytest.mark.parametrize(
    ("environment", "asr", "llm", "tts"),
    [
        ({"VISAVIS_TRANSCRIPTION_URL": "http://a/v1"}, "openai", "demo", "hibari"),
        ({"VISAVIS_TRANSCRIPTION_URL": "http://a", "ASSISTANT_LANGUAGE": "pl"}, "openai", "demo", "espeak"),
        ({"VISAVIS_WHISPER__LANGUAGE": "detect"}, "whisper", "demo", "espeak"),
        ({"VISAVIS_WHISPER__MODEL": "small"}, "whisper", "demo", "hibari"),
        ({"VISAVIS_LLM_FILE": "~/model.gguf"}, "moonshine", "gguf", "hibari"),
        ({"VISAVIS_LLM_FILE": "a.gguf", "VISAVIS_LLM_URL": "http://a/v1"}, "moonshine", "openai", "hibari"),
        ({"VISAVIS_LLM_FILE": "a.gguf", "VISAVIS_STAGES__LLM": "demo"}, "moonshine", "demo", "hibari"),
    ],
)
def test_a_setting_chooses_the_plugin_that_it_is_for(
    tmp_path: Path, environment: dict[str, str], asr: str, llm: str, tts: str
) -> None:
    stages = load_settings({}, None, environment, tmp_path).stages
    assert (stages.asr, stages.llm, stages.tts) == (asr, llm, tts)


def test_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    assert load_settings({}, None, {"VISAVIS_MODELS": "~/m"}, tmp_path).models.cache == Path.home() / "m"


def test_the_example_file_holds_every_key_with_its_default(tmp_path: Path) -> None:
    example = ROOT / "visavis.example.yaml"
    assert load_settings({}, example, {}, tmp_path) == Settings()
    data = yaml.safe_load(example.read_text(encoding="utf-8"))
    sections = {a: section for a, section in data.items() if section and isinstance(section, dict)}
    held = {f"{a}.{b}" for a, section in sections.items() for b in section}
    assert held | (set(data) - set(sections)) == set(keys())


def test_the_example_environment_names_known_variables_only(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    filled_in = re.sub(r"^# ?(?=[A-Z_]+=)", "", text, flags=re.MULTILINE)
    known = {*ALIASES, *map(variable, keys())}
    names = set(dotenv_values(stream=io.StringIO(filled_in)))
    assert names >= set(ALIASES) - {"SERVER_PORT"}
    assert names <= known
    (tmp_path / ".env").write_text(filled_in)
    load_settings({}, None, {}, tmp_path)


def test_the_documentation_lists_every_key_and_every_variable() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [name for name in [*keys(), *ALIASES] if f"`{name}`" not in text] == []


def test_the_tables_of_the_agents_are_what_the_code_says() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert written(text) == text
    for section in ("openai", "gemini", "remote", "llm"):
        assert all(f"| `{key}` |" in text for key in keys() if key.startswith(f"{section}."))
