"""Every setting, in one frozen tree; `configuration` fills it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from visavis import cast
from visavis.settings.agents import (
    AssistantSettings,
    GeminiSettings,
    OpenAISettings,
    RemoteSettings,
    ScriptedSettings,
)
from visavis.settings.memory import ConversationSettings, KnowledgeSettings, RecordingSettings, Redacted
from visavis.settings.pictures import (
    FaceSettings,
    IceServerSettings,
    LiteAvatarSettings,
    MuseSettings,
    VideoSettings,
    WebRtcSettings,
)
from visavis.settings.server import (
    ApiSettings,
    AuthSettings,
    ClusterSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    ServerSettings,
    TraceSettings,
)
from visavis.settings.stages import (
    EspeakSettings,
    KokoroSettings,
    LanguageModelSettings,
    ModelSettings,
    PiperSettings,
    RemoteStageSettings,
    SpeechSettings,
    StageSettings,
    TranscriptionSettings,
    VoiceSettings,
    WhisperSettings,
)
from visavis.settings.tools import HttpToolSettings, McpServerSettings, ToolSettings
from visavis.settings.values import Section, of_the_cast

__all__ = [
    "ApiSettings",
    "AssistantSettings",
    "AuthSettings",
    "ClusterSettings",
    "ConversationSettings",
    "EspeakSettings",
    "FaceSettings",
    "GeminiSettings",
    "HttpToolSettings",
    "IceServerSettings",
    "KnowledgeSettings",
    "KokoroSettings",
    "LanguageModelSettings",
    "LimitSettings",
    "LiteAvatarSettings",
    "LogSettings",
    "McpServerSettings",
    "MetricsSettings",
    "ModelSettings",
    "MuseSettings",
    "OpenAISettings",
    "PiperSettings",
    "RecordingSettings",
    "Redacted",
    "RemoteSettings",
    "RemoteStageSettings",
    "ScriptedSettings",
    "Section",
    "ServerSettings",
    "Settings",
    "SpeechSettings",
    "StageSettings",
    "ToolSettings",
    "TraceSettings",
    "TranscriptionSettings",
    "VideoSettings",
    "VoiceSettings",
    "WebRtcSettings",
    "WhisperSettings",
]


class Settings(Section):
    agent: str = "embedded"
    avatar: Annotated[str, AfterValidator(of_the_cast)] = cast.DEFAULT
    """Whose face and voice it is: one of docs/avatars.md, or the path of a `.glb` head of your own."""
    debug: bool = False
    environment: Literal["development", "production"] = "development"
    """In production a server with `auth` does not start without a key."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What plug-ins of your own are told, by stage: `options.tts` is for the plug-in in `stages.tts`."""
    server: ServerSettings = ServerSettings()
    assistant: AssistantSettings = AssistantSettings()
    stages: StageSettings = StageSettings()
    remote_stages: RemoteStageSettings = RemoteStageSettings()
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
    cluster: ClusterSettings = ClusterSettings()
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
    tools: dict[str, ToolSettings] = Field(default_factory=dict)
    """What the agent can do besides talking, by name."""
    mcp: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,31}$")], McpServerSettings] = Field(
        default_factory=dict
    )
    """Servers whose tools the agent may use, by names of your own."""
    conversations: ConversationSettings = ConversationSettings()
    recording: RecordingSettings = RecordingSettings()
    logs: LogSettings = LogSettings()

    metrics: MetricsSettings = MetricsSettings()
    traces: TraceSettings = TraceSettings()

    @property
    def redis(self) -> str:
        """Where servers that belong together meet; "" is one by itself."""
        return (self.cluster.redis or self.limits.redis).get_secret_value()

    @property
    def limited(self) -> bool:
        """Whether `limits` hold."""
        return self.auth.enabled if self.limits.enabled is None else self.limits.enabled
