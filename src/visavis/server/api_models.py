"""What the calls of the api dialect take and answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Output = Literal["video", "weights", "both"]
_ID = "s_7Qm2cXh1Vd8t"
_SOUND = {"input_sample_rate": 16_000, "output_sample_rate": 24_000, "format": "audio/pcm16"}
_SESSION: dict[str, Any] = {
    "session_id": _ID,
    "created_at": "2026-01-31T12:00:00.000Z",
    "expires_at": "2026-01-31T12:15:00.000Z",
    "ws_url": f"ws://localhost:8080/api/v1/sessions/{_ID}/ws",
    "avatar": "mia",
    "output": "video",
    "fps": 25,
    "audio": _SOUND,
    "metadata": {"customer": 7},
    "recorded": False,
}
_LINE = {"role": "user", "text": "How are you?", "turn_id": "user_1", "interrupted": False}
_SOURCE = {"title": "Mill Bakery: Opening hours", "url": "", "excerpt": "Sunday: closed"}
_STAGE: dict[str, Any] = {
    "handler": "hibari",
    "loaded": True,
    "model": "hibari",
    "device": "cpu",
    "warm_up_ms": 412.5,
    "calls": 17,
    "errors": 1,
    "p50_ms": 48.2,
    "p95_ms": 91.7,
    "last_error": "The voice took too long.",
}


def like(*examples: dict[str, Any], extra: Literal["ignore", "forbid"] = "ignore") -> ConfigDict:
    """What a model looks like; `extra`: what becomes of fields that it does not know."""
    return ConfigDict(extra=extra, json_schema_extra={"examples": list(examples)})


class NewSession(BaseModel):
    """Everything is optional: without it the server's settings hold."""

    model_config = like({"avatar": "elena", "output": "both"}, extra="forbid")

    avatar: str | None = Field(None, description="Whose face it is.")
    voice: str | None = Field(
        None,
        max_length=100,
        description="A voice of OpenAI's or Gemini's; the embedded agent has the one of the avatar.",
    )
    language: str | None = Field(
        None,
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$",
        max_length=35,
        description="Such as `pl`; the embedded agent hears and speaks it if its ears and its voice can.",
    )
    output: Output = Field("video", description="What frames carry: pictures, ARKit weights, or both.")
    instructions: str | None = Field(None, max_length=8000, description="What the agent is told it is.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, max_length=50, description="Yours; kept and given back."
    )
    record: bool = Field(False, description="Record it, where the server does; those who talk have agreed.")


class SessionChange(BaseModel):
    """What a session can become."""

    model_config = like({"avatar": "elena"}, extra="forbid")

    avatar: str | None = Field(
        None, description="Whose face, and with the embedded agent whose voice, it is."
    )
    record: Literal[False] | None = Field(None, description="`false` deletes what was recorded of it.")


class Sound(BaseModel):
    """How sound is sent, in both directions."""

    model_config = like(_SOUND)

    input_sample_rate: int = Field(description="Hz of raw PCM16 that is sent.")
    output_sample_rate: int = Field(description="Hz of the PCM16 that comes.")
    format: Literal["audio/pcm16"] = Field("audio/pcm16", description="PCM16 little-endian, mono.")


class Session(BaseModel):
    """A session."""

    model_config = like(_SESSION)

    session_id: str = Field(description="Names it in the other calls.")
    created_at: str = Field(description="ISO 8601, UTC.")
    expires_at: str = Field(description="When it ends unless something happens in it.")
    ws_url: str = Field(description="The session's WebSocket.")
    avatar: str = Field(description="Whose face it is.")
    output: Output = Field(description="What its frames carry.")
    fps: int = Field(description="Frames a second.")
    audio: Sound = Field(description="How sound is sent.")
    metadata: dict[str, Any] = Field(description="What was given when it was created.")
    recorded: bool = Field(description="Whether it is being recorded.")


class Source(BaseModel):
    """What a reply draws on."""

    model_config = like(_SOURCE)

    title: str = Field(description="The document, and the heading.")
    url: str = Field(description="Its address; empty for a file.")
    excerpt: str = Field(description="What was used of it.")


class Line(BaseModel):
    """Something that was said, and heard."""

    model_config = like(_LINE)

    role: Literal["user", "assistant"] = Field(description="Who said it.")
    text: str = Field(description="As far as it was heard.")
    turn_id: str = Field(description="The turn that it belongs to.")
    interrupted: bool = Field(False, description="Whether it was cut off.")
    sources: list[Source] = Field([], description="What a reply draws on, if it does.")


class SessionDetails(Session):
    """A session, and what was said in it."""

    model_config = like(
        {
            **_SESSION,
            "state": "listening",
            "turns": 1,
            "transcript": [_LINE],
            "metrics": [{"turn_id": "turn_1", "first_audio": 220, "first_frame": 231}],
        }
    )

    state: Literal["idle", "listening", "thinking", "speaking"] = Field(description="What goes on in it.")
    turns: int = Field(description="How many replies there were.")
    transcript: list[Line] = Field(description="The latest lines, oldest first.")
    metrics: list[dict[str, Any]] = Field(
        description="For each turn the milliseconds from the end of the question to each stage."
    )


class Page(BaseModel):
    """Some of the sessions."""

    model_config = like({"sessions": [_SESSION], "total": 1, "offset": 0, "limit": 20})

    sessions: list[Session] = Field(description="Oldest first.")
    total: int = Field(description="How many there are in all.")
    offset: int = Field(description="How many were left out before these.")
    limit: int = Field(description="How many were asked for at most.")


class Text(BaseModel):
    """What the user says, in writing."""

    model_config = like({"text": "How are you?"}, extra="forbid")

    text: str = Field(min_length=1, max_length=4000, pattern=r"\S", description="What is said.")


class Accepted(BaseModel):
    """The reply will come."""

    model_config = like({"turn_id": "turn_1"})

    turn_id: str = Field(description="The reply's turn in the messages that stream.")


class Heard(Accepted):
    """A recording was understood, and the reply will come."""

    model_config = like({"turn_id": "turn_1", "transcript": "How are you?"})

    transcript: str = Field(description="What was understood; empty when nothing was.")


class Reply(BaseModel):
    """A whole reply."""

    model_config = like(
        {
            "turn_id": "turn_1",
            "transcript": "How are you?",
            "text": "I am well.",
            "audio": "UklGRiQAAABXQVZF",
            "fps": 25,
            "weights": [[0.0, 0.12]],
            "names": ["browDownLeft", "browDownRight"],
            "interrupted": False,
        }
    )

    turn_id: str = Field(description="The reply's turn.")
    transcript: str = Field("", description="What was understood of a recording.")
    text: str = Field(description="What the avatar says.")
    audio: str = Field(description="A WAV file in base64.")
    fps: int = Field(description="Frames a second.")
    weights: list[list[float]] = Field(description="For each frame 52 weights in the order of `names`.")
    names: list[str] = Field(description="What the weights are called (ARKit).")
    interrupted: bool = Field(description="Whether something cut it off.")
    sources: list[Source] = Field([], description="What the reply draws on, if it does.")


class Health(BaseModel):
    """Whether the server can work."""

    model_config = like({"status": "healthy", "version": "0.1.0", "uptime_s": 12.5})

    status: Literal["healthy", "unhealthy"] = Field(description="In a word.")
    version: str = Field(description="Of the server.")
    uptime_s: float = Field(description="Seconds since it started.")
    problems: list[str] | None = Field(None, description="What does not work, in sentences.")


class Stage(BaseModel):
    """A part of the pipeline; times in milliseconds, of the last 256 calls."""

    model_config = like(_STAGE)

    handler: str = Field(description="The plug-in that does it.")
    loaded: bool = Field(description="Some are loaded when they are first needed.")
    model: str | None = Field(description="The model that it runs, if it says so.")
    device: str | None = Field(description="Where it runs, if it says so.")
    warm_up_ms: float | None = Field(description="What loading it took.")
    calls: int = Field(description="How often it was asked.")
    errors: int = Field(description="How often it failed.")
    p50_ms: float | None = Field(
        description="The median: of `llm` until its first word, of `vad` for 32 ms of sound, of a streamed "
        "voice until its first sound."
    )
    p95_ms: float | None = Field(description="What 95 of 100 calls did not exceed.")
    last_error: str | None = Field(description="What went wrong last.")


class Status(BaseModel):
    """The pipeline in figures."""

    model_config = like(
        {
            "agent": {"name": "embedded", "problems": []},
            "stages": {"tts": _STAGE},
            "face": {"engine": "net", "timed": "phonemes", "life": True},
            "pictures": {
                "renderer": "software",
                "loaded": True,
                "quality": "full",
                "load": 0.2,
                "left_out": 0,
            },
            "sessions": {"total": 3, "api": 2},
        }
    )

    agent: dict[str, Any] = Field(description="Who answers.")
    stages: dict[str, Stage] = Field(
        description="By name: vad, end_of_turn, asr, llm, tts, avatar (who moves the face), pictures."
    )
    face: dict[str, Any] = Field(description="The face engines, and the thread in which they work.")
    pictures: dict[str, Any] = Field(description="How well is drawn, and the share of time that it takes.")
    sessions: dict[str, int] = Field(description="How many there are in all, and of this dialect.")


class Problem(BaseModel):
    """What went wrong."""

    model_config = like(
        {
            "code": "BAD_REQUEST",
            "message": "body.avatr: Extra inputs are not permitted",
            "fields": ["body.avatr"],
        }
    )

    code: str = Field(description="Stable, in capitals.")
    message: str = Field(description="A sentence to act on.")
    fields: list[str] | None = Field(None, description="What is wrong in the request's body or query.")
