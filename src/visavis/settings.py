"""Every setting, in one frozen tree; `configuration` fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _web_address(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("must be a web address, such as http://localhost:11434/v1")
    return url


HomePath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path in which ~ is the user's home."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    open_browser: bool = False
    max_message_bytes: int = Field(1 << 20, ge=1 << 10)
    """Largest message a client may send on `/ws`."""
    max_sessions: int = Field(100, ge=1)
    """Conversations at the same time; further clients are told to come back."""
    resume_seconds: float = Field(30.0, ge=0, le=600)
    """How long a dropped conversation waits for its client."""
    workers: int = Field(2, ge=1, le=64)
    """Threads that run models (speech, language, turn-taking)."""


class AssistantSettings(Section):
    instructions: str = (
        "You are a friendly person talking face to face. Answer in one or two short spoken sentences. "
        "If you do not know something, say so."
    )
    memory_turns: int = Field(12, ge=1, le=200)
    """Messages of the conversation that the language model is shown."""
    seed: int = 0
    """Same seed, same blinks, same voice noise, same choice of replies where the engines allow it."""


class StageSettings(Section):
    """Which plug-in does what in the embedded agent: a name from the entry points, or `module:attr`."""

    vad: str = "silero"
    end_of_turn: str = "smart_turn"
    asr: str = "moonshine"
    llm: str = "demo"
    tts: str = "hibari"


class LanguageModelSettings(Section):
    """An OpenAI-compatible server; setting `url` replaces the demo brain."""

    url: Annotated[str, AfterValidator(_web_address)] = ""
    model: str = ""
    key: SecretStr = SecretStr("")
    max_tokens: int = Field(200, ge=1, le=4096)
    temperature: float = Field(0.7, ge=0, le=2)
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the first piece of an answer."""


class VoiceSettings(Section):
    speed: float = Field(1.0, ge=0.5, le=2.0)


class FaceSettings(Section):
    engine: str = "net"
    """Moves the face for audio without phoneme times; speech with them is drawn exactly."""
    life: bool = True
    """Blinks, gaze, brows and breathing on top of every engine."""


class ModelSettings(Section):
    cache: HomePath | None = None
    """Where model files are kept; None is the platform's cache directory."""
    offline: bool = False
    """Never fetch anything from the network."""


class ScriptedSettings(Section):
    """The scripted agent: replays speech to measure the server without models."""

    audio: HomePath | None = None
    """A WAV file to say; None is a made-up murmur."""
    seconds: float = Field(6.0, gt=0, le=600)
    speed: float = Field(1.0, gt=0, le=1000)
    """1 = at real time, 4 = four times faster."""
    delay: float = Field(0.0, ge=0, le=60)
    """Seconds before the reply begins."""
    chunk_ms: int = Field(100, ge=10, le=1000)
    """Milliseconds of speech in each piece."""


class Settings(Section):
    agent: str = "embedded"
    avatar: str = "mia"
    debug: bool = False
    server: ServerSettings = ServerSettings()
    assistant: AssistantSettings = AssistantSettings()
    stages: StageSettings = StageSettings()
    llm: LanguageModelSettings = LanguageModelSettings()
    voice: VoiceSettings = VoiceSettings()
    face: FaceSettings = FaceSettings()
    models: ModelSettings = ModelSettings()
    scripted: ScriptedSettings = ScriptedSettings()
