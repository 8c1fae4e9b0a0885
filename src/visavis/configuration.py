"""Where settings come from: command line, environment, `.env`, YAML, in this order; then the defaults."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from visavis import plugins
from visavis.errors import ConfigurationError
from visavis.settings import Section, Settings

FILE = "visavis.yaml"
"""Read from the working directory when no other file is named."""
PREFIX = "VISAVIS_"

ALIASES = {
    "AVATAR_PORT": "server.port",
    "SERVER_PORT": "server.port",
    "SERVER_HOST": "server.host",
    "AGENT_TYPE": "agent",
    "ASSISTANT_INSTRUCTIONS": "assistant.instructions",
    "ASSISTANT_LANGUAGE": "assistant.language",
    "DEBUG": "debug",
    "IDENTITY_IDX": "face.identity",
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
    "USE_GPU": "face.gpu",
    "VISAVIS_FACE": "face.engine",
    "VISAVIS_LLM_KEY": "llm.key",
    "VISAVIS_LLM_MODEL": "llm.model",
    "VISAVIS_LLM_URL": "llm.url",
    "VISAVIS_MODELS": "models.cache",
    "VISAVIS_OFFLINE": "models.offline",
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
    "stages.vad": "vad",
    "stages.end_of_turn": "end_of_turn",
    "stages.asr": "asr",
    "stages.llm": "llm",
    "stages.tts": "tts",
}
CHECKPOINTS = (".tar", ".pth", ".pt")
"""Endings of a `face.model_path` that belongs to the engine `lam`; any other is wav2arkit's."""
_LONGEST = 80
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value and who gave it."""

    value: Any
    source: str


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
    options = {key: Given(value, "command line") for key, value in overrides.items() if value is not None}
    sources = [_yaml(config, cwd), _dotenv(cwd / ".env"), _environment(environ, "environment")]
    given = {key: value for source in sources for key, value in source.values.items()} | options
    problems = [problem for source in sources for problem in source.problems]
    if _set(given, "llm.url") and "stages.llm" not in given:
        given["stages.llm"] = Given("openai", "llm.url")
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
    return settings


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


def _yaml(config: Path | None, cwd: Path) -> Found:
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
    _flatten(data, "", str(file), found)
    return found


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
    except (OSError, UnicodeDecodeError) as error:
        return "", f"{file}: cannot be read: {error}"


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
            key = ".".join(map(str, detail["loc"]))
            source, value = given[key].source, given[key].value
            shown = "" if secret[key] else f" is {_shown(value)} but"
            problems.append(f"{source}: {key}{shown} {_demand(detail['msg'])}")
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
