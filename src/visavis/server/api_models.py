"""What the calls of the api dialect take and answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Output = Literal["video", "weights", "both"]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewSession(Request):
    """Everything is optional: without it the server's settings hold."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"avatar": "elena", "output": "both"}]}
    )

    avatar: str | None = Field(None, description="Whose face it is.")
    voice: str | None = Field(None, max_length=100, description="A voice that the agent offers.")
    language: str | None = Field(
        None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", max_length=35, description="Such as `pl`."
    )
    output: Output = Field("video", description="What frames carry: pictures, ARKit weights, or both.")
    instructions: str | None = Field(None, max_length=8000, description="What the agent is told it is.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, max_length=50, description="Yours; kept and given back."
    )


class Sound(BaseModel):
    input_sample_rate: int = Field(description="Hz of raw PCM16 that is sent.")
    output_sample_rate: int = Field(description="Hz of the PCM16 that comes.")
    format: Literal["audio/pcm16"] = "audio/pcm16"


class Session(BaseModel):
    session_id: str
    created_at: str = Field(description="ISO 8601, UTC.")
    expires_at: str = Field(description="When it ends unless something happens in it.")
    ws_url: str = Field(description="The session's WebSocket.")
    avatar: str
    output: Output
    fps: int = Field(description="Frames a second.")
    audio: Sound
    metadata: dict[str, Any]


class Line(BaseModel):
    role: Literal["user", "assistant"]
    text: str = Field(description="As far as it was heard.")
    turn_id: str
    interrupted: bool = False


class SessionDetails(Session):
    state: Literal["idle", "listening", "thinking", "speaking"]
    turns: int
    transcript: list[Line]
    metrics: list[dict[str, Any]] = Field(
        description="For each turn the milliseconds from the end of the question to each stage."
    )


class Page(BaseModel):
    sessions: list[Session]
    total: int
    offset: int
    limit: int


class Text(Request):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "How are you?"}]})

    text: str = Field(min_length=1, max_length=4000)


class Accepted(BaseModel):
    turn_id: str = Field(description="The reply's turn in the messages that stream.")


class Heard(Accepted):
    transcript: str = Field(description="What was understood; empty when nothing was.")


class Reply(BaseModel):
    """A whole reply."""

    turn_id: str
    transcript: str = Field("", description="What was understood of a recording.")
    text: str
    audio: str = Field(description="A WAV file in base64.")
    fps: int
    weights: list[list[float]] = Field(description="For each frame 52 weights in the order of `names`.")
    names: list[str]
    interrupted: bool


class Problem(BaseModel):
    code: str = Field(description="Stable, in capitals.")
    message: str = Field(description="A sentence to act on.")
    fields: list[str] | None = Field(None, description="What is wrong in the request's body or query.")
