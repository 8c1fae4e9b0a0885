"""Where settings come from: command line, environment, `.env`, YAML, in this order; then the defaults."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from visavis import pipeline, plugins
from visavis.errors import ConfigurationError
from visavis.languages import DETECT
from visavis.settings import Section, Settings

FILE = "visavis.yaml"
"""Read from the working directory when no other file is named."""
NAMED_FILE = "AVATAR_PIPELINE_CONFIG_PATH"
"""The variable that names another file."""
PREFIX = "VISAVIS_"

ALIASES = {
    "API_BASE": "server.api_base",
    "DEFAULT_AVATAR_ID": "avatar",
    "MUSE_MODE": "muse.mode",
    "MUSE_STREAM_URL": "muse.stream_url",
    "MUSE_FILE_URL": "muse.file_url",
    "AUTH_ALLOWED_ORIGINS": "server.cors_origins",
    "AUTH_ADMINS": "auth.admins",
    "AUTH_ENABLED": "auth.enabled",
    "AUTH_ENABLE_RATE_LIMITING": "limits.enabled",
    "AUTH_PREVIOUS_KEY": "auth.previous_key",
    "AUTH_SECRET_KEY": "auth.secret_key",
    "AUTH_TOKEN_TTL": "auth.token_ttl",
    "AUTH_USERS": "auth.users",
    "AVATAR_CORS_ORIGINS": "server.cors_origins",
    "AVATAR_HOST": "server.host",
    "AVATAR_MODELS_ROOT_PATH": "models.root_path",
    "AVATAR_OPENAI_API_KEY": "llm.key",
    "AVATAR_OPENAI_API_URL": "llm.url",
    "AVATAR_PORT": "server.port",
    "SERVER_PORT": "server.port",
    "SERVER_HOST": "server.host",
    "AGENT_TYPE": "agent",
    "ASSISTANT_INSTRUCTIONS": "assistant.instructions",
    "ASSISTANT_LANGUAGE": "assistant.language",
    "DEBUG": "debug",
    "IDENTITY_IDX": "face.identity",
    "KNOWLEDGE_BASE_SOURCE": "knowledge.source",
    "MODEL_PATH": "face.model_path",
    "ONNX_MODEL_PATH": "face.model_path",
    "OPENAI_API_KEY": "openai.key",
    "OPENAI_BASE_URL": "openai.base_url",
    "OPENAI_MODEL": "openai.model",
    "OPENAI_NOISE_REDUCTION": "openai.noise_reduction",
    "OPENAI_PROTOCOL": "openai.protocol",
    "OPENAI_TRANSCRIPTION_LANGUAGE": "openai.transcription_language",
    "OPENAI_TRANSCRIPTION_MODEL": "openai.transcription_model",
    "OPENAI_TRANSCRIPTION_PROMPT": "openai.transcription_prompt",
    "OPENAI_VAD_EAGERNESS": "openai.vad_eagerness",
    "OPENAI_VAD_IDLE_TIMEOUT_MS": "openai.vad_idle_timeout_ms",
    "OPENAI_VAD_INTERRUPT_RESPONSE": "openai.vad_interrupt_response",
    "OPENAI_VAD_PREFIX_PADDING_MS": "openai.vad_prefix_padding_ms",
    "OPENAI_VAD_SILENCE_DURATION_MS": "openai.vad_silence_duration_ms",
    "OPENAI_VAD_THRESHOLD": "openai.vad_threshold",
    "OPENAI_VAD_TYPE": "openai.vad_type",
    "OPENAI_VOICE": "openai.voice",
    "OPENAI_VOICE_SPEED": "openai.voice_speed",
    "KOKORO_VOICE": "kokoro.voice",
    "PIPER_SPEAKER": "piper.speaker",
    "PIPER_VOICE": "piper.voice",
    "USE_GPU": "face.gpu",
    "VISAVIS_ENV": "environment",
    "VISAVIS_FACE": "face.engine",
    "VISAVIS_LLM_FILE": "llm.file",
    "VISAVIS_LLM_KEY": "llm.key",
    "VISAVIS_LLM_MODEL": "llm.model",
    "VISAVIS_LLM_URL": "llm.url",
    "VISAVIS_MODELS": "models.cache",
    "VISAVIS_OFFLINE": "models.offline",
    "VISAVIS_TRANSCRIPTION_KEY": "transcription.key",
    "VISAVIS_TRANSCRIPTION_MODEL": "transcription.model",
    "VISAVIS_TRANSCRIPTION_URL": "transcription.url",
    "VISAVIS_REDIS_URL": "cluster.redis",
    "VISAVIS_SPEECH_KEY": "speech.key",
    "VISAVIS_SPEECH_MODEL": "speech.model",
    "VISAVIS_SPEECH_URL": "speech.url",
    "VISAVIS_SPEECH_VOICE": "speech.voice",
    "VISAVIS_VOICE_SPEED": "voice.speed",
    "AGENT_URL": "remote.url",
    "AGENT_TOKEN": "remote.token",
    "GEMINI_API_KEY": "gemini.key",
    "GEMINI_MODEL": "gemini.model",
    "GEMINI_VOICE": "gemini.voice",
    "GEMINI_LANGUAGE": "gemini.language",
    "GEMINI_BASE_URL": "gemini.base_url",
    "GEMINI_THINKING_BUDGET": "gemini.thinking_budget",
    "GEMINI_GOOGLE_SEARCH_GROUNDING": "gemini.google_search_grounding",
    "GEMINI_PROACTIVE_AUDIO": "gemini.proactive_audio",
    "GEMINI_AFFECTIVE_DIALOG": "gemini.affective_dialog",
    "GEMINI_CONTEXT_WINDOW_COMPRESSION": "gemini.context_window_compression",
    "GEMINI_VAD_START_SENSITIVITY": "gemini.vad_start_sensitivity",
    "GEMINI_VAD_END_SENSITIVITY": "gemini.vad_end_sensitivity",
    "GEMINI_VAD_PREFIX_PADDING_MS": "gemini.vad_prefix_padding_ms",
    "GEMINI_VAD_SILENCE_DURATION_MS": "gemini.vad_silence_duration_ms",
}
"""Short names of environment variables. The full name, such as VISAVIS_SERVER__PORT, wins over them."""

_PLUGINS = {
    "agent": "agents",
    "face.engine": "faces",
    "video.renderer": "renderers",
    "stages.vad": "vad",
    "stages.end_of_turn": "end_of_turn",
    "stages.asr": "asr",
    "stages.llm": "llm",
    "stages.tts": "tts",
}
CHOOSERS = {
    "stages.asr": {"transcription.url": "openai", "whisper.model": "whisper", "whisper.language": "whisper"},
    "stages.llm": {"llm.url": "openai", "llm.file": "gguf"},
    "stages.tts": {"speech.url": "openai", "piper.voice": "piper", "kokoro.voice": "kokoro"},
}
"""Settings that choose a stage's plug-in, unless it is given; the first that is set."""
CHECKPOINTS = (".tar", ".pth", ".pt")
"""Endings of a `face.model_path` that belongs to the engine `lam`; any other is wav2arkit's."""
MASK = "********"
_SECRET = re.compile("key|token|secret|password|credential", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
"""A variable in a value of a YAML file: ${NAME}, or ${NAME:-what it is otherwise}."""
NESTED = ("tools", "mcp", "auth.users", "webrtc.ice_servers")
"""Settings that hold others; some of those are secret."""
_LONGEST = 80
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value and who gave it."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as people see it; `shown` masks a secret, `given` is False for defaults."""

    key: str
    shown: str
    source: str
    given: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What one source says: values by dotted key, and sentences about what it should not say."""

    values: dict[str, Given]
    problems: list[str]


def load_settings(
    overrides: Mapping[str, Any], config: Path | None, environ: Mapping[str, str], cwd: Path
) -> Settings:
    """The settings of a process that starts in `cwd`.

    `overrides` are the options of the command line by dotted key (`server.port`); None is not given.
    `config` is a YAML file that must exist; without it `visavis.yaml` in `cwd` is read when it is there.
    Raises `ConfigurationError` with every problem of every source at once.
    """
    return _resolve(overrides, config, environ, cwd)[0]


def explain(
    overrides: Mapping[str, Any], config: Path | None, environ: Mapping[str, str], cwd: Path
) -> list[Setting]:
    """Every setting with its value and who gave it; arguments and errors as of `load_settings`."""
    settings, given = _resolve(overrides, config, environ, cwd)
    explained = []
    for key, secret in keys().items():
        value: Any = settings
        for step in key.split("."):
            value = getattr(value, step)
        if secret:
            shown = MASK if value.get_secret_value() else ""
        else:
            shown = (
                "" if value is None else ", ".join(map(str, value)) if key in NESTED else str(_masked(value))
            )
        source = given[key].source if key in given else "default"
        explained.append(Setting(key, shown, source, key in given))
    return explained


def _masked(value: Any) -> Any:
    """`value` without what is secret in it by its name."""
    if not isinstance(value, dict):
        return value
    return {name: MASK if _SECRET.search(str(name)) else _masked(item) for name, item in value.items()}


def _resolve(
    overrides: Mapping[str, Any], config: Path | None, environ: Mapping[str, str], cwd: Path
) -> tuple[Settings, Mapping[str, Given]]:
    """The settings, and by dotted key what was given."""
    if config is None and (named := environ.get(NAMED_FILE) or _known(cwd / ".env").get(NAMED_FILE)):
        config = Path(named)
    options = {key: Given(value, "command line") for key, value in overrides.items() if value is not None}
    sources = [_yaml(config, cwd, environ), _dotenv(cwd / ".env"), _environment(environ, "environment")]
    given = {key: value for source in sources for key, value in source.values.items()} | options
    problems = [problem for source in sources for problem in source.problems]
    for stage, choosers in CHOOSERS.items():
        for key, name in choosers.items():
            if _set(given, key):
                given.setdefault(stage, Given(name, key))
    for key in ("whisper.language", "transcription.language"):
        if key in given and given[key].value == DETECT:
            given.setdefault("stages.tts", Given("espeak", key))
    if "assistant.language" in given and not _english(given["assistant.language"].value):
        for key, name in {"stages.asr": "whisper", "stages.tts": "espeak"}.items():
            given.setdefault(key, Given(name, "assistant.language"))
    if _set(given, "face.model_path") and "face.engine" not in given:
        kind = Path(str(given["face.model_path"].value)).suffix
        given["face.engine"] = Given("lam" if kind in CHECKPOINTS else "wav2arkit", "face.model_path")
    problems += _wrong_plugins(given)
    settings = _validate(given, problems)
    if settings is None or problems:
        raise ConfigurationError("\n  - ".join(["This configuration cannot work:", *problems]))
    return settings, given


def keys() -> dict[str, bool]:
    """Every setting by its dotted key; True for secrets."""
    return dict(_keys(Settings, ""))


def variable(key: str) -> str:
    """The full name of the environment variable for a dotted key."""
    return PREFIX + key.replace(".", "__").upper()


def _keys(section: type[Section], prefix: str) -> Iterator[tuple[str, bool]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field.annotation is SecretStr


# -- sources -------------------------------------------------------------------------------------------
def _environment(variables: Mapping[str, str | None], where: str) -> Found:
    """Variables that are ours; an empty one counts as not set, as in a `.env` file to be filled in."""
    ours = ALIASES | {variable(key): key for key in keys()}
    values: dict[str, Given] = {}
    # Short names first, so that full ones replace them.
    for name, key in ours.items():
        if value := variables.get(name):
            values[key] = Given(value, f"{name} ({where})")
    prefixed = [name for name in ours if name.startswith(PREFIX)]
    unknown = [name for name in variables if name.startswith(PREFIX) and name not in ours]
    problems = [f"{where}: unknown variable {name}{_hint(name, prefixed)}" for name in unknown]
    return Found(values, problems)


def _dotenv(file: Path) -> Found:
    text, problem = _read(file, required=False)
    if problem:
        return Found({}, [problem])
    return _environment(dotenv_values(stream=io.StringIO(text), interpolate=False), str(file))


def _yaml(config: Path | None, cwd: Path, environ: Mapping[str, str]) -> Found:
    file = cwd / (config or FILE)
    text, problem = _read(file, required=config is not None)
    if problem:
        return Found({}, [problem])
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        return Found({}, [f"{file}{line}: this is not YAML: {getattr(error, 'problem', None) or error}"])
    if data is None:
        return Found({}, [])
    if not isinstance(data, dict):
        return Found({}, [f"{file}: expected keys and values, such as 'agent: embedded'"])
    found = Found({}, [])
    data = _filled_in(data, "", _known(cwd / ".env") | dict(environ), str(file), found.problems)
    if "pipeline" in data:
        values, problems = pipeline.read(data.pop("pipeline"))
        found.problems.extend(f"{file}: {problem}" for problem in problems)
        found.values.update({key: Given(value, f"{file}: {by}") for key, (value, by) in values.items()})
    _flatten(data, "", str(file), found)
    return found


def _filled_in(value: Any, key: str, variables: Mapping[str, str], file: str, problems: list[str]) -> Any:
    """`value` with every ${NAME} in its strings replaced."""

    def replacement(reference: re.Match[str]) -> str:
        name, default = reference["name"], reference["default"]
        if not variables.get(name) and default is None:
            problems.append(f"{file}: {key} needs the environment variable {name}, which is not set")
        return variables.get(name) or default or ""

    match value:
        case str():
            return _REFERENCE.sub(replacement, value)
        case dict():
            inside = f"{key}." if key else ""
            return {
                name: _filled_in(item, f"{inside}{name}", variables, file, problems)
                for name, item in value.items()
            }
        case list():
            return [_filled_in(item, key, variables, file, problems) for item in value]
        case _:
            return value


def _known(dotenv: Path) -> dict[str, str]:
    """The variables of a `.env` file, when there is one that can be read."""
    text, _ = _read(dotenv, required=False)
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value}


def _flatten(data: Mapping[Any, Any], prefix: str, file: str, found: Found) -> None:
    """Add what `data` holds to `found`, by dotted key."""
    known = keys()
    sections = {key.rpartition(".")[0] for key in known} - {""}
    for name, value in data.items():
        key = f"{prefix}{name}"
        if key in known:
            found.values[key] = Given(value, file)
        elif key not in sections:
            found.problems.append(f"{file}: unknown key {key}{_hint(key, [*known, *sections])}")
        elif isinstance(value, dict):
            _flatten(value, f"{key}.", file, found)
        elif value is not None:
            found.problems.append(f"{file}: {key} is a section; write its keys below it, indented")


def _read(file: Path, *, required: bool) -> tuple[str, str]:
    """The text of a file, or the sentence that says why there is none."""
    try:
        return file.read_text(encoding="utf-8"), ""
    except FileNotFoundError:
        return "", f"{file}: there is no such file" if required else ""
    except UnicodeDecodeError:
        return "", f"{file}: this is not a text in UTF-8"
    except OSError as error:
        return "", f"{file}: cannot be read: {error.strerror}"


# -- checks --------------------------------------------------------------------------------------------
def _validate(given: Mapping[str, Given], problems: list[str]) -> Settings | None:
    """The settings, or None after adding a sentence for each wrong value to `problems`."""
    tree: dict[str, Any] = {}
    for key, entry in given.items():
        *path, name = key.split(".")
        section = tree
        for step in path:
            section = section.setdefault(step, {})
        section[name] = entry.value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        secret = keys()
        for detail in error.errors(include_url=False):
            whole = ".".join(map(str, detail["loc"]))
            key = next(known for known in secret if f"{whole}.".startswith(f"{known}."))
            source, value = given[key].source, given[key].value if key == whole else detail["input"]
            hidden = secret[key] or isinstance(value, dict | list) or key in NESTED
            shown = "" if hidden else f" is {_shown(value)} but"
            problems.append(f"{source}: {whole}{shown} {_demand(detail['msg'])}")
        return None


def _demand(message: str) -> str:
    """Pydantic's "Input should be a valid integer, ..." as the second half of our sentence."""
    message = message.removeprefix("Value error, ").partition(", unable to")[0]
    return message.replace("Input should", "must").replace("String should", "must")


def _wrong_plugins(given: Mapping[str, Given]) -> Iterator[str]:
    for key, group in _PLUGINS.items():
        name = given[key].value if key in given else ""
        installed = plugins.names(group)
        if name and isinstance(name, str) and ":" not in name and name not in installed:
            choices = f"one of {', '.join(installed)}, or module:function{_hint(name, installed)}"
            yield f"{given[key].source}: {key} is {_shown(name)} but must be {choices}"


def _english(language: Any) -> bool:
    return str(language).split("-")[0] == "en"


def _set(given: Mapping[str, Given], key: str) -> bool:
    return key in given and bool(given[key].value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _hint(name: str, known: Iterable[str]) -> str:
    """A question after a misspelt name; nothing when no known name, or last part of one, is like it."""
    parts: dict[str, str] = {}
    for full in known:
        short = full.removeprefix(PREFIX)
        parts |= {short.replace("__", ".").rpartition(".")[2]: full, short: full}
    close = difflib.get_close_matches(name.removeprefix(PREFIX), parts, n=1, cutoff=0.6)
    return f"; did you mean {parts[close[0]]}?" if close else ""
