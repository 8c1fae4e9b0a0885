"""What is known, and what is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from visavis.settings.values import HomePath, Section


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
