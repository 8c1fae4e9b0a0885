"""Who answers, and what it is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from visavis.settings.values import HomePath, Section, socket_address, web_address


class AssistantSettings(Section):
    instructions: str = (
        "You are a friendly person talking face to face. Answer in one or two short spoken sentences. "
        "If you do not know something, say so."
    )
    language: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    """What is spoken, as a code such as `pl` or `pt-BR`; another one than English changes the defaults of
    `stages.asr` and `stages.tts`."""
    memory_turns: int = Field(12, ge=1, le=200)
    """Messages of the conversation that the language model is shown."""
    excuse_seconds: float = Field(1.5, ge=0, le=60)
    """The embedded agent says "One moment…" when its answer comes, or is sure to come, later than so many
    seconds after the user's turn; 0 keeps it silent."""
    excuses: dict[str, str] = Field(default_factory=dict)
    """What it says then, by the code of the language; an empty text is nothing."""
    seed: int = 0
    """Same seed, same blinks, same voice noise, same choice of replies where the engines allow it."""


class OpenAISettings(Section):
    """The OpenAI Realtime agent, or any server that speaks its protocol."""

    key: SecretStr = SecretStr("")
    base_url: Annotated[str, AfterValidator(web_address)] = "https://api.openai.com/v1"
    """`/realtime` is added; http becomes ws and https wss."""
    protocol: Literal["ga", "beta"] = "ga"
    """`beta` for servers that still speak the shape of the preview."""
    model: str = "gpt-realtime-1.5"
    voice: str = "marin"
    voice_speed: float = Field(1.0, ge=0.25, le=1.5)
    vad_type: Literal["server_vad", "semantic_vad", "none"] = "server_vad"
    """Who notices the end of the user's turn; with `none` it is the microphone's switch."""
    vad_threshold: float = Field(0.5, ge=0, le=1)
    """Loudness that counts as voice (server_vad)."""
    vad_prefix_padding_ms: int = Field(300, ge=0, le=5000)
    """Audio kept from before the voice began (server_vad)."""
    vad_silence_duration_ms: int = Field(500, ge=0, le=10_000)
    """Silence that ends a turn (server_vad)."""
    vad_idle_timeout_ms: int | None = Field(None, ge=5000, le=30_000)
    """Silence of the user after which the model speaks unasked (server_vad); None is never."""
    vad_eagerness: Literal["auto", "low", "medium", "high"] = "auto"
    """How soon the model takes the turn (semantic_vad)."""
    vad_interrupt_response: bool = True
    """The user's voice interrupts a reply."""
    transcription_model: str = "gpt-4o-mini-transcribe"
    """Writes down what the user said; `none` does not."""
    transcription_language: str = ""
    """ISO 639-1, such as `pl`; empty is detected."""
    transcription_prompt: str = ""
    """Words to expect."""
    noise_reduction: Literal["near_field", "far_field", "none"] = "none"
    """`near_field` for headsets, `far_field` for laptops and rooms."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for a connection, and for the next piece of an answer."""


class GeminiSettings(Section):
    """Google's Gemini Live."""

    key: SecretStr = SecretStr("")
    model: str = "gemini-3.1-flash-live-preview"
    voice: str = "Puck"
    language: str = ""
    """Language of its speech, such as en-US or pl-PL; empty lets the model choose."""
    base_url: Annotated[str, AfterValidator(web_address)] = ""
    """Another address than Google's; it is always reached with TLS."""
    api_version: str = ""
    """Empty is v1beta, or v1alpha when a setting below needs it."""
    thinking_budget: int = Field(-1, ge=-1, le=32768)
    """Tokens of thought before an answer: 0 is none, -1 what the model thinks right."""
    google_search_grounding: bool = False
    proactive_audio: bool = False
    """The model may stay silent when it is not spoken to."""
    affective_dialog: bool = False
    """The model answers in the mood that it hears."""
    context_window_compression: bool = True
    """Forget the oldest part of a long conversation instead of ending it after 15 minutes."""
    vad_start_sensitivity: Literal["default", "low", "high"] = "default"
    """How readily a sound is taken for the beginning of speech."""
    vad_end_sensitivity: Literal["default", "low", "high"] = "default"
    """How readily a pause is taken for the end of speech."""
    vad_prefix_padding_ms: int | None = Field(None, ge=0, le=5000)
    """Milliseconds of speech before its beginning counts."""
    vad_silence_duration_ms: int | None = Field(None, ge=0, le=10000)
    """Milliseconds of silence before speech counts as ended."""
    timeout_seconds: float = Field(10.0, gt=0, le=60)
    """Longest wait for a connection when the user has said something."""
    reconnect_seconds: float = Field(10.0, gt=0, le=300)
    """Longest pause between attempts to connect again; the first ones are shorter."""


class RemoteSettings(Section):
    """An agent of your own, anywhere, that speaks the agent protocol (docs/agent-protocol.md)."""

    url: Annotated[str, AfterValidator(socket_address)] = ""
    """Where it listens: ws://localhost:9000."""
    token: SecretStr = SecretStr("")
    """Sent as `Authorization: Bearer`."""
    timeout_seconds: float = Field(10.0, gt=0, le=60)
    """Longest wait for a connection when the user has said something."""
    reconnect_seconds: float = Field(10.0, gt=0, le=300)
    """Longest pause between attempts to connect again; the first ones are shorter."""


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
