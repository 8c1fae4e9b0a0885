"""Every setting, in one frozen tree; `configuration` fills it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from visavis.security.addresses import check_network
from visavis.security.origins import check_pattern
from visavis.security.tokens import SHORTEST_KEY
from visavis.security.users import check_hash


def _web_address(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("must be a web address, such as http://localhost:11434/v1")
    return url


def _socket_address(url: str) -> str:
    if url and not url.startswith(("ws://", "wss://")):
        raise ValueError("must be the address of a WebSocket, such as ws://localhost:9000")
    return url


HomePath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path in which ~ is the user's home."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _avatar(name: str) -> str:
    cast = sorted(path.parent.name for path in Path(__file__).parent.glob("avatars/*/*.glb"))
    if name not in cast:
        raise ValueError(f"expected one of {', '.join(cast)}")
    return name


def _listed(value: Any) -> Any:
    """In an environment variable a list is written with commas, or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _named(value: Any) -> Any:
    """In an environment variable users are `name:hash`, between spaces, or JSON: a hash has commas in it."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [pair.partition(":") for pair in value.split()]
    return {name: given for name, _, given in pairs}


def _hash(secret: SecretStr) -> SecretStr:
    check_hash(secret.get_secret_value())
    return secret


def _key(secret: SecretStr) -> SecretStr:
    if 0 < len(secret.get_secret_value().encode()) < SHORTEST_KEY:
        raise ValueError(
            f"must have at least {SHORTEST_KEY} characters, such as `openssl rand -hex 32` gives"
        )
    return secret


def _redis_address(secret: SecretStr) -> SecretStr:
    if secret and not secret.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be the address of a Redis server, such as redis://localhost:6379/0")
    return secret


Origins = Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], BeforeValidator(_listed)]
"""Web pages by scheme, host and port; `https://*.example.org` is every subdomain, `*` is every page."""
Networks = Annotated[tuple[Annotated[str, AfterValidator(check_network)], ...], BeforeValidator(_listed)]
Key = Annotated[SecretStr, AfterValidator(_key)]
Users = Annotated[
    dict[Annotated[str, Field(pattern=r"^[^\s:]{1,64}$")], Annotated[SecretStr, AfterValidator(_hash)]],
    BeforeValidator(_named),
]


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    open_browser: bool = False
    max_message_bytes: int = Field(1 << 20, ge=1 << 10)
    """Largest message a client may send, but for the dialect of frames."""
    max_sessions: int = Field(100, ge=1)
    """Conversations at the same time; further clients are told to come back."""
    resume_seconds: float = Field(30.0, ge=0, le=600)
    """How long a dropped conversation waits for its client."""
    drain_seconds: float = Field(10.0, ge=0, le=600)
    """How long turns may go on when the server is told to stop."""
    workers: int = Field(2, ge=1, le=64)
    """Threads that run models (speech, language, turn-taking)."""
    api_base: Annotated[str, AfterValidator(_web_address)] = ""
    """Where the page finds this server when it is not where the page is from."""
    cors_origins: Origins = ()
    """Other web pages that may call this server from a browser; with `auth`, the pages that get tokens."""
    trusted_proxies: Networks = ("127.0.0.1", "::1")
    """Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    ssl_certfile: HomePath | None = None
    """Certificate chain (PEM); with it the server speaks https and wss."""
    ssl_keyfile: HomePath | None = None
    """Its key, when that is in a file of its own."""


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
    """An OpenAI-compatible server or a model of your own; setting `url` or `file` replaces the demo brain."""

    file: HomePath | None = None
    """A GGUF file, run by llama.cpp inside the server."""
    context: int = Field(4096, ge=256, le=131_072)
    """Tokens that a model from a file can have in mind: instructions, conversation and answer."""
    threads: int = Field(0, ge=0, le=64)
    """Of a model from a file; 0 is half of the machine's processors."""
    url: Annotated[str, AfterValidator(_web_address)] = ""
    model: str = ""
    key: SecretStr = SecretStr("")
    max_tokens: int = Field(200, ge=1, le=4096)
    temperature: float = Field(0.7, ge=0, le=2)
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the first piece of an answer."""


class OpenAISettings(Section):
    """The OpenAI Realtime agent, or any server that speaks its protocol."""

    key: SecretStr = SecretStr("")
    base_url: Annotated[str, AfterValidator(_web_address)] = "https://api.openai.com/v1"
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


class VoiceSettings(Section):
    speed: float = Field(1.0, ge=0.5, le=2.0)


class WhisperSettings(Section):
    """Speech to text with Whisper, in 99 languages."""

    model: str = ""
    """A size such as `small` (downloaded from Hugging Face), or the folder of a converted model; empty is
    the `base` model of the model store."""
    language: str = ""
    """A code such as `pl`; empty is `assistant.language`, `detect` listens for it in every utterance."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where a model of your own runs; `auto` takes a GPU when there is one."""


class TranscriptionSettings(Section):
    """Speech to text by a server that is compatible with OpenAI's; setting `url` chooses it."""

    url: Annotated[str, AfterValidator(_web_address)] = ""
    """`/audio/transcriptions` is added."""
    model: str = "whisper-1"
    key: SecretStr = SecretStr("")
    language: str = ""
    """A code such as `pl`; empty is `assistant.language`, `detect` lets the server find out."""
    prompt: str = ""
    """Words to expect."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the words of an utterance."""


class EspeakSettings(Section):
    """Text to speech with espeak-ng, in more than a hundred languages."""

    voice: str = ""
    """A voice such as `pl`, `pt-br` or `en-us+f3`; empty is `assistant.language`."""


class SpeechSettings(Section):
    """Text to speech by a server that is compatible with OpenAI's; setting `url` chooses it."""

    url: Annotated[str, AfterValidator(_web_address)] = ""
    """`/audio/speech` is added."""
    model: str = "gpt-4o-mini-tts"
    voice: str = "alloy"
    key: SecretStr = SecretStr("")
    rate: int = Field(24_000, ge=8_000, le=48_000)
    """Hz of the PCM that the server sends."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest wait for the next piece of the sound."""


class KokoroSettings(Section):
    """Text to speech with Kokoro-82M; setting `voice` makes it the voice."""

    voice: str = ""
    """One of the model store (`jf_alpha`, `jf_gongitsune`, `jf_nezumi`, `jf_tebukuro`, `jm_kumo`) or a
    file `.bin` with the styles of another; empty is `jf_alpha`."""


class PiperSettings(Section):
    """Text to speech with a voice of Piper; setting `voice` makes it the voice."""

    voice: HomePath | None = None
    """A file `.onnx`, with its `.onnx.json` beside it; None is `joe` (English) of the model store."""
    speaker: str = ""
    """Name or number of a speaker, when the voice has several; empty is the first."""


class FaceSettings(Section):
    engine: str = "net"
    """Moves the face for audio without phoneme times; speech with them is drawn exactly."""
    life: bool = True
    """Blinks, gaze, brows and breathing on top of every engine."""
    model_path: HomePath | None = None
    """The user's own model: `.onnx` for the engine `wav2arkit`, the checkpoint for `lam`."""
    mode: Literal["context", "reference"] = "context"
    """How those two stream: a rolling window without seams, or half-second pieces heard alone."""
    polish: bool = True
    """In context mode: neutral in silence, smooth and symmetric."""
    identity: int = Field(10, ge=0, le=11)
    """`lam`: whose style of speaking."""
    gpu: bool = True
    """`lam`: use a GPU when there is one."""


class LiteAvatarSettings(Section):
    """The face engine `liteavatar` (docs/faces.md): a filmed person whose mouth is drawn."""

    data: HomePath | None = None
    """The folder of the avatar, with its networks, video and pictures."""
    weights: HomePath = Path("lite_avatar_weights")
    """The folder with the networks that all avatars share: model_1.onnx, model.pb, am.mvn."""
    fast: bool = False
    """The first pictures after 0.4 s of sound instead of 1 s, for twice the work on the sound."""
    gpu: bool = True
    """Use a GPU when there is one."""
    threads: int = Field(1, ge=1, le=64)
    """Of PyTorch, without a GPU."""


class ModelSettings(Section):
    cache: HomePath | None = None
    """Where model files are kept; None is the platform's cache directory."""
    root_path: HomePath | None = None
    """A folder of your own model files: a name without a path is looked for there, and what Whisper downloads
    is put there."""
    cache_size: int = Field(0, ge=0, le=100_000)
    """Spoken clauses whose sound is kept, to be said again at once; 0 keeps none."""
    offline: bool = False
    """Never fetch anything from the network."""

    def own(self, file: Path) -> Path:
        """A model file of the user's: `file` as it is, or in `root_path` when it is only there."""
        if self.root_path is None or file.is_absolute() or file.exists():
            return file
        inside = self.root_path / file
        return inside if inside.exists() else file


class ApiSettings(Section):
    """The calls below `/api/v1`."""

    session_minutes: float = Field(15.0, gt=0, le=1440)
    """A session in which nothing happens for so long ends."""
    input_sample_rate: int = Field(16_000, ge=8_000, le=192_000)
    """Hz of raw PCM16 that is sent without a rate."""


class VideoSettings(Section):
    """Pictures of the avatar, drawn by the server."""

    fps: int = Field(25, ge=5, le=60)
    """Frames a second of the dialects that show pictures."""
    width: int = Field(640, ge=64, le=1920, multiple_of=2)
    height: int = Field(480, ge=64, le=1920, multiple_of=2)
    background: str = ""
    """`#dfe5ea` is a colour, `#dfe5ea #8c99a6` a gradient, anything else an image file; empty is the
    avatar's own."""
    renderer: str = "software"
    """Who draws: a plug-in of `visavis.renderers`, or `module:attr`."""


class IceServerSettings(Section):
    """A server that helps peers to find a way to each other."""

    url: str = Field(
        pattern=r"^(stun:[^\s/?:]+(:\d{1,5})?|turns?:[^\s/?:]+(:\d{1,5})?(\?transport=(udp|tcp))?)$"
    )
    """`stun:host:port`, `turn:host:port`, `turn:host?transport=tcp`, or `turns:host`."""
    username: str = ""
    credential: SecretStr = SecretStr("")

    def __str__(self) -> str:
        return self.url


def _one_of_each(servers: tuple[IceServerSettings, ...]) -> tuple[IceServerSettings, ...]:
    for kind in ("stun", "turn"):
        if sum(server.url.startswith(kind) for server in servers) > 1:
            raise ValueError(f"must have at most one {kind} server")
    return servers


IceServers = Annotated[tuple[IceServerSettings, ...], BeforeValidator(_listed), AfterValidator(_one_of_each)]


class WebRtcSettings(Section):
    """Sessions over WebRTC."""

    ice_servers: IceServers = ()
    """At most one for STUN and one for TURN; without any, peers must reach the server's own addresses."""


class MuseSettings(Section):
    """Video for the calls of the page, `/api/muse/...`: ours, or that of another service."""

    mode: Literal["mse", "file"] = "mse"
    """A stream for MediaSource, or a file of the whole reply."""
    stream_url: Annotated[str, AfterValidator(_socket_address)] = ""
    """A WebSocket whose binary messages are the video; it is asked with `sessionId`, `avatarId`, `text`."""
    file_url: Annotated[str, AfterValidator(_web_address)] = ""
    """A video file, asked for in the same way."""
    file_minutes: float = Field(10.0, gt=0, le=1440)
    """How long a file is kept."""


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


class RemoteSettings(Section):
    """An agent of your own, anywhere, that speaks the agent protocol (docs/agent-protocol.md)."""

    url: Annotated[str, AfterValidator(_socket_address)] = ""
    """Where it listens: ws://localhost:9000."""
    token: SecretStr = SecretStr("")
    """Sent as `Authorization: Bearer`."""
    timeout_seconds: float = Field(10.0, gt=0, le=60)
    """Longest wait for a connection when the user has said something."""
    reconnect_seconds: float = Field(10.0, gt=0, le=300)
    """Longest pause between attempts to connect again; the first ones are shorter."""


class GeminiSettings(Section):
    """Google's Gemini Live."""

    key: SecretStr = SecretStr("")
    model: str = "gemini-3.1-flash-live-preview"
    voice: str = "Puck"
    language: str = ""
    """Language of its speech, such as en-US or pl-PL; empty lets the model choose."""
    base_url: Annotated[str, AfterValidator(_web_address)] = ""
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


class KnowledgeSettings(Section):
    """What the agent can look up."""

    source: str = ""
    """A file, a folder, or a web address: Markdown, text, HTML or PDF."""
    whole_characters: int = Field(4_000, ge=0, le=100_000)
    """Up to this length all of it is in the agent's instructions."""
    passages: int = Field(3, ge=1, le=20)
    """Most passages that are looked up for a question."""
    refresh_seconds: float = Field(60.0, ge=1, le=86_400)
    """How often the source is looked at for changes."""
    max_files: int = Field(500, ge=1, le=10_000)
    max_megabytes: int = Field(20, ge=1, le=500)
    """Of the whole source."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest time a download may take."""
    cache: HomePath | None = None
    """Where what was read is kept; None is the platform's cache directory."""


class ConversationSettings(Section):
    """Whether conversations are written down."""

    store: Literal["off", "sqlite"] = "off"
    path: HomePath | None = None
    """The database; None is conversations.db in the platform's data directory."""
    retention_days: int = Field(30, ge=0, le=36_500)
    """Days after which a conversation is deleted; 0 keeps it."""


Redacted = Literal["none", "audio", "text", "both"]


class RecordingSettings(Section):
    """Sessions as files that can be replayed (docs/replay.md); those who talk are told."""

    folder: HomePath | None = None
    """Where they are kept; None records nothing."""
    redact: Redacted = "none"
    """What is left out: `audio` of the microphone, `text`, or `both`."""
    days: int = Field(30, ge=0, le=36_500)
    """Days after which a recording is deleted; 0 keeps it."""
    megabytes: int = Field(1000, ge=0, le=10_000_000)
    """Of the folder, beyond which the oldest recordings are deleted; 0 is any number."""
    session_megabytes: int = Field(100, ge=1, le=100_000)
    session_minutes: float = Field(60.0, gt=0, le=1440)
    """Where a recording ends at the latest."""


class HttpToolSettings(Section):
    """A tool that is an HTTP call; {name} in `url` and `body` stands for an argument."""

    url: Annotated[str, Field(pattern=r"^https?://[^/?#{}\s]+([/?#]\S*)?$")]
    """An argument may stand in the path and in the query, not in the host."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, SecretStr] = {}
    body: Any = None
    """JSON; without it a POST, PUT or PATCH sends the arguments."""


class ToolSettings(Section):
    """Something that the agent can do besides talking (docs/tools.md): in the client, or on the server as an
    HTTP call or a function in Python."""

    enabled: bool = True
    where: Literal["client", "server"]
    description: str = Field("", max_length=2000)
    """When to use it and what it does, for the model."""
    parameters: dict[str, Any] = {}
    """JSON Schema of the arguments, an object; of a function in Python it is read from the type hints."""
    returns: bool = False
    """The model waits for what comes of it in the client."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    python: str = ""
    """`module:function`."""
    http: HttpToolSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _place(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "where" in given:
            return given
        return {**given, "where": "server" if given.get("python") or given.get("http") else "client"}

    @model_validator(mode="after")
    def _runs_somewhere(self) -> ToolSettings:
        ways = bool(self.python) + (self.http is not None)
        if ways != (self.where == "server"):
            raise ValueError("must have where: client, or one of python and http")
        if self.returns and self.where == "server":
            raise ValueError("must not have returns: what runs on the server always returns")
        return self


class McpServerSettings(Section):
    """A server that speaks the Model Context Protocol: a program started here, or a web address."""

    command: tuple[str, ...] = ()
    """The program and its arguments; it is spoken to over its standard input and output."""
    env: dict[str, SecretStr] = {}
    url: Annotated[str, AfterValidator(_web_address)] = ""
    headers: dict[str, SecretStr] = {}
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest time for connecting, and for each use of a tool."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> McpServerSettings:
        if bool(self.command) == bool(self.url):
            raise ValueError("must have one of command and url")
        return self


class AuthSettings(Section):
    """Whether callers need a token, and who gets one (SECURITY.md)."""

    enabled: bool = False
    secret_key: Key = SecretStr("")
    """Signs the tokens; without one, tokens end with the process (not in production)."""
    previous_key: Key = SecretStr("")
    """Is still accepted, while keys are changed."""
    issuer: str = "visavis"
    audience: str = "visavis"
    token_ttl: int = Field(3600, ge=10, le=31 * 86_400)
    """Seconds that a token is valid."""
    users: Users = {}
    """Names, and the argon2 hashes of their passwords (`visavis password`)."""
    admins: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Those of the users who may see and end every session."""


class LimitSettings(Section):
    """How much each client may ask for; 0 is any number."""

    enabled: bool | None = None
    """None is whenever `auth.enabled` is."""
    redis: Annotated[SecretStr, AfterValidator(_redis_address)] = SecretStr("")
    """Where servers count together, and tell each other of revoked tokens; empty is each by itself."""
    requests_per_minute: int = Field(100, ge=0, le=1_000_000)
    """HTTP calls and new connections of an address; pages and their files are not counted."""
    connections_per_address: int = Field(50, ge=0, le=100_000)
    """WebSockets at the same time."""
    connections_per_token: int = Field(5, ge=0, le=100_000)
    """The same for the holder of a token."""
    sessions_per_token: int = Field(5, ge=0, le=100_000)
    """Conversations at the same time, and so turns: a conversation has one at a time."""
    messages_per_second: int = Field(60, ge=0, le=100_000)
    """Of a connection, on average over ten seconds."""
    bytes_per_second: int = Field(4 << 20, ge=0)
    """Of a connection, on average over ten seconds."""
    audio_seconds_per_minute: float = Field(120.0, ge=0, le=3600)
    """Sound that a conversation hears."""
    session_minutes: float = Field(0.0, ge=0, le=1440)
    """Longest conversation."""
    upload_megabytes: int = Field(50, ge=1, le=2000)
    """Largest recording in a request, of an utterance at most 25; it is never without a limit."""
    upload_seconds: float = Field(120.0, gt=0, le=3600)
    """Longest time in which the body of a request must have arrived."""


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: for people at a terminal, JSON for everything else."""


class MetricsSettings(Section):
    enabled: bool = True
    """`/metrics` answers; with `auth`, only administrators."""


class TraceSettings(Section):
    url: Annotated[str, AfterValidator(_web_address)] = ""
    """Where OpenTelemetry spans of turns are sent (OTLP over HTTP); empty sends none."""


class Settings(Section):
    agent: str = "embedded"
    avatar: Annotated[str, AfterValidator(_avatar)] = "mia"
    """Whose face and voice it is: one of docs/avatars.md."""
    debug: bool = False
    environment: Literal["development", "production"] = "development"
    """In production a server with `auth` does not start without a key."""
    options: dict[str, dict[str, Any]] = {}
    """What plug-ins of your own are told, by stage: `options.tts` is for the plug-in in `stages.tts`."""
    server: ServerSettings = ServerSettings()
    assistant: AssistantSettings = AssistantSettings()
    stages: StageSettings = StageSettings()
    llm: LanguageModelSettings = LanguageModelSettings()
    voice: VoiceSettings = VoiceSettings()
    whisper: WhisperSettings = WhisperSettings()
    transcription: TranscriptionSettings = TranscriptionSettings()
    espeak: EspeakSettings = EspeakSettings()
    piper: PiperSettings = PiperSettings()
    kokoro: KokoroSettings = KokoroSettings()
    speech: SpeechSettings = SpeechSettings()
    face: FaceSettings = FaceSettings()
    liteavatar: LiteAvatarSettings = LiteAvatarSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    api: ApiSettings = ApiSettings()
    video: VideoSettings = VideoSettings()
    webrtc: WebRtcSettings = WebRtcSettings()
    muse: MuseSettings = MuseSettings()
    models: ModelSettings = ModelSettings()
    scripted: ScriptedSettings = ScriptedSettings()
    openai: OpenAISettings = OpenAISettings()
    remote: RemoteSettings = RemoteSettings()
    gemini: GeminiSettings = GeminiSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    tools: dict[str, ToolSettings] = {}
    """What the agent can do besides talking, by name."""
    mcp: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,31}$")], McpServerSettings] = {}
    """Servers whose tools the agent may use, by names of your own."""
    conversations: ConversationSettings = ConversationSettings()
    recording: RecordingSettings = RecordingSettings()
    logs: LogSettings = LogSettings()

    @property
    def limited(self) -> bool:
        """Whether `limits` hold."""
        return self.auth.enabled if self.limits.enabled is None else self.limits.enabled

    metrics: MetricsSettings = MetricsSettings()
    traces: TraceSettings = TraceSettings()
