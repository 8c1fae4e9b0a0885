"""A conversation for other programs: JSON, and WebVTT captions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from visavis.captions import Cue, cues, spread, webvtt
from visavis.conversations import Entry, Record

USER = "You"


def to_json(record: Record) -> str:
    """Everything that is known, times in ISO 8601 (UTC), those of words in seconds."""
    shown: dict[str, Any] = {
        **asdict(record),
        "started": stamp(record.started),
        "ended": stamp(record.ended),
        "entries": [
            {**asdict(entry), "started": stamp(entry.started), "ended": stamp(entry.ended)}
            for entry in record.entries
        ],
    }
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def to_webvtt(record: Record) -> str:
    """Captions from the beginning of the conversation."""
    return captions(record.entries, record.started, record.avatar)


def captions(entries: Iterable[Entry], began: float, avatar: str) -> str:
    """WebVTT of what was said since `began`; the user's words have no times and are spread."""
    names = {"user": USER, "assistant": avatar.capitalize()}
    return webvtt(cue for entry in entries for cue in _captions(entry, names[entry.role], began))


def _captions(entry: Entry, speaker: str, began: float) -> list[Cue]:
    since = max(0.0, entry.started - began)
    if entry.words:
        return cues(entry.words, speaker, since)
    return cues(spread(entry.text, 0.0), speaker, since)


def stamp(seconds: float) -> str:
    """2026-01-31T12:00:00.000Z"""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
