"""The server: who may come in, how much of it, and what is told of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from visavis.settings.values import (
    HomePath,
    Key,
    Networks,
    Origins,
    Section,
    Users,
    listed,
    redis_address,
    web_address,
)


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
    api_base: Annotated[str, AfterValidator(web_address)] = ""
    """Where the page finds this server when it is not where the page is from."""
    cors_origins: Origins = ()
    """Other web pages that may call this server from a browser; with `auth`, the pages that get tokens."""
    trusted_proxies: Networks = ("127.0.0.1", "::1")
    """Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    ssl_certfile: HomePath | None = None
    """Certificate chain (PEM); with it the server speaks https and wss."""
    ssl_keyfile: HomePath | None = None
    """Its key, when that is in a file of its own."""


class ApiSettings(Section):
    """The calls below `/api/v1`."""

    session_minutes: float = Field(15.0, gt=0, le=1440)
    """A session in which nothing happens for so long ends."""
    input_sample_rate: int = Field(16_000, ge=8_000, le=192_000)
    """Hz of raw PCM16 that is sent without a rate."""


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
    users: Users = Field(default_factory=dict)
    """Names, and the argon2 hashes of their passwords (`visavis password`)."""
    admins: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    """Those of the users who may see and end every session."""

    @field_validator("admins")
    @classmethod
    def _of_the_users(cls, admins: tuple[str, ...], told: ValidationInfo) -> tuple[str, ...]:
        users = told.data.get("users")
        if users is not None and (strangers := [name for name in admins if name not in users]):
            raise ValueError(f"must be names of auth.users, and there is no {', '.join(strangers)}")
        return admins


class LimitSettings(Section):
    """How much each client may ask for; 0 is any number."""

    enabled: bool | None = None
    """None is whenever `auth.enabled` is."""
    redis: Annotated[SecretStr, AfterValidator(redis_address)] = SecretStr("")
    """The former name of `cluster.redis`."""
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


class ClusterSettings(Section):
    """Several servers that are one (docs/operations.md)."""

    redis: Annotated[SecretStr, AfterValidator(redis_address)] = SecretStr("")
    """Where they know of each other, of conversations, limits and revoked tokens; empty is one by itself."""
    address: Annotated[str, AfterValidator(web_address)] = ""
    """Where the others reach this one; empty is its own address in the network of Redis."""
    worker_port: int = Field(0, ge=0, le=65535)
    """Where the first of `--workers` is reached by itself, the second at the next port, and so on; 0 is any
    port that is free."""


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: for people at a terminal, JSON for everything else."""


class MetricsSettings(Section):
    enabled: bool = True
    """`/metrics` answers; with `auth`, only administrators."""


class TraceSettings(Section):
    url: Annotated[str, AfterValidator(web_address)] = ""
    """Where OpenTelemetry spans of turns are sent (OTLP over HTTP); empty sends none."""
