"""The section `pipeline` of a configuration file: a handler for each stage, read as our own settings.

    pipeline:
      asr: {handler: faster_whisper, model_size: small, language: pl}
      tts: {handler: my_package.voice:load, pitch: 3}

A handler is the name of a plug-in, one of the names in `HANDLERS`, or `module:attr`. What the table `OPTIONS`
knows of a handler becomes the setting of that name; everything else that is said to a plug-in of somebody
else is handed to it in `Settings.options` under its stage.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

STAGES = {
    "vad": "stages.vad",
    "end_of_turn": "stages.end_of_turn",
    "asr": "stages.asr",
    "llm": "stages.llm",
    "tts": "stages.tts",
    "avatar": "face.engine",
}
"""Stage of a pipeline -> the setting that names its plug-in."""

HANDLERS = {
    ("vad", "silero_vad"): "silero",
    ("vad", "silerovad"): "silero",
    ("asr", "faster_whisper"): "whisper",
    ("asr", "fasterwhisper"): "whisper",
    ("llm", "openai_compatible"): "openai",
    ("tts", "pipertts"): "piper",
    ("tts", "piper_tts"): "piper",
}
"""Names that other projects give to what we have."""

SHOWN = {"avatar_name": "avatar", "fps": "video.fps"}
"""What every face can be told."""

OPTIONS: dict[tuple[str, str], dict[str, str]] = {
    ("vad", "silero"): {},
    ("end_of_turn", "smart_turn"): {},
    ("asr", "whisper"): {
        "model_size": "whisper.model",
        "model_path": "whisper.model",
        "language": "whisper.language",
        "device": "whisper.device",
    },
    ("asr", "moonshine"): {"language": "assistant.language"},
    ("asr", "openai"): {
        "model_name": "transcription.model",
        "api_url": "transcription.url",
        "api_key": "transcription.key",
        "language": "transcription.language",
        "prompt": "transcription.prompt",
        "timeout_seconds": "transcription.timeout_seconds",
    },
    ("end_of_turn", "remote"): {"api_url": "remote_stages.end_of_turn", "api_key": "remote_stages.token"},
    ("asr", "remote"): {"api_url": "remote_stages.asr", "api_key": "remote_stages.token"},
    ("llm", "remote"): {
        "api_url": "remote_stages.llm",
        "api_key": "remote_stages.token",
        "system_prompt": "assistant.instructions",
    },
    ("tts", "remote"): {"api_url": "remote_stages.tts", "api_key": "remote_stages.token"},
    ("llm", "gguf"): {
        "model_path": "llm.file",
        "context": "llm.context",
        "threads": "llm.threads",
        "parallel": "llm.parallel",
        "max_tokens": "llm.max_tokens",
        "temperature": "llm.temperature",
        "system_prompt": "assistant.instructions",
    },
    ("llm", "openai"): {
        "model_name": "llm.model",
        "api_url": "llm.url",
        "api_key": "llm.key",
        "max_tokens": "llm.max_tokens",
        "temperature": "llm.temperature",
        "timeout_seconds": "llm.timeout_seconds",
        "system_prompt": "assistant.instructions",
    },
    ("llm", "demo"): {"system_prompt": "assistant.instructions"},
    ("tts", "hibari"): {"speed": "voice.speed"},
    ("tts", "espeak"): {"voice": "espeak.voice", "speed": "voice.speed"},
    ("tts", "openai"): {
        "model_name": "speech.model",
        "api_url": "speech.url",
        "api_key": "speech.key",
        "voice": "speech.voice",
        "speed": "voice.speed",
        "sample_rate": "speech.rate",
    },
    ("tts", "kokoro"): {"voice": "kokoro.voice", "speed": "voice.speed"},
    ("tts", "piper"): {
        "voice": "piper.voice",
        "model_path": "piper.voice",
        "speaker": "piper.speaker",
        "speed": "voice.speed",
    },
    ("avatar", "net"): {**SHOWN},
    ("avatar", "energy"): {**SHOWN},
    ("avatar", "phonemes"): {**SHOWN},
    ("avatar", "wav2arkit"): {**SHOWN, "model_path": "face.model_path"},
    ("avatar", "lam"): {**SHOWN, "model_path": "face.model_path", "gpu": "face.gpu"},
    ("avatar", "remote"): {**SHOWN, "api_url": "remote_stages.face", "api_key": "remote_stages.token"},
    ("avatar", "liteavatar"): {
        **SHOWN,
        "avatar_name": "liteavatar.data",
        "model_path": "liteavatar.weights",
        "enable_fast_mode": "liteavatar.fast",
        "use_gpu": "liteavatar.gpu",
        "threads": "liteavatar.threads",
    },
}
"""What the handlers that come with Visavis can be told, and the settings that this is."""

FIXED = {("tts", name): {"sample_rate": 24_000} for name in ("hibari", "espeak", "kokoro", "piper")}
"""What can be said, but only as it is: sound is sent at this rate, whatever the voice's own is."""

IMPLIED = {
    ("llm", "openai"): {"llm.url": "https://api.openai.com/v1"},
    ("tts", "openai"): {"speech.url": "https://api.openai.com/v1"},
}
"""What a handler means unless something else is said."""


def read(pipeline: Any) -> tuple[dict[str, tuple[Any, str]], list[str]]:
    """The settings in a section `pipeline`, by dotted key with the key that said them; and its problems."""
    if not isinstance(pipeline, Mapping):
        return {}, ["pipeline is a section; write its stages below it, indented"]
    found: dict[str, tuple[Any, str]] = {}
    problems: list[str] = []
    theirs: dict[str, dict[str, Any]] = {}
    for stage, said in pipeline.items():
        where = f"pipeline.{stage}"
        if stage not in STAGES:
            problems.append(f"unknown stage {where}; expected {', '.join(STAGES)}")
        elif not isinstance(said, Mapping) or not isinstance(said.get("handler"), str):
            problems.append(f"{where} must name its handler, such as {where}.handler: {_example(stage)}")
        else:
            name = HANDLERS.get((stage, said["handler"]), str(said["handler"]))
            found[STAGES[stage]] = name, f"{where}.handler"
            known, fixed = OPTIONS.get((stage, name)), FIXED.get((stage, name), {})
            for key, value in IMPLIED.get((stage, name), {}).items():
                found[key] = value, f"{where}.handler"
            for option, value in said.items():
                if option == "handler":
                    continue
                if known is None:
                    theirs.setdefault(stage, {})[str(option)] = value
                elif option in known:
                    found[known[option]] = value, f"{where}.{option}"
                elif option in fixed:
                    if value != fixed[option]:
                        problems.append(f"{where}.{option} is {value!r} but can only be {fixed[option]}")
                else:
                    problems.append(f"unknown key {where}.{option}{_hint(str(option), known)}")
    if theirs:
        found["options"] = theirs, "pipeline"
    language = pipeline["asr"].get("language") if isinstance(pipeline.get("asr"), Mapping) else None
    if isinstance(language, str) and language != "detect":
        found.setdefault("assistant.language", (language, "pipeline.asr.language"))
    return found, problems


def _example(stage: str) -> str:
    return next((name for known, name in OPTIONS if known == stage), "module:attr")


def _hint(option: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(option, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f"; expected {', '.join(['handler', *known])}"
