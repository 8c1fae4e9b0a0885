"""What calls take and answer besides their models, for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from visavis.server.api_models import Problem

Responses = dict[int | str, dict[str, Any]]

_PROBLEMS: dict[int, tuple[str, str, str]] = {
    401: ("It is not known who calls.", "UNAUTHORIZED", "The name or the password is wrong."),
    403: (
        "It is not allowed.",
        "FORBIDDEN",
        "This page may not have a token: it is not an allowed origin.",
    ),
    404: ("There is nothing of that name.", "NO_SUCH_SESSION", "There is no such session."),
    409: (
        "It is busy with another one.",
        "BUSY",
        "Another recording is being taken in; send one after the other.",
    ),
    410: ("The session has ended.", "SESSION_ENDED", "The session has ended; create another one."),
    413: ("It is too large or too long.", "TOO_LARGE", "A recording may have at most 25 MB."),
    415: ("It is not of a kind that can be read.", "NO_SOUND", "The recording has no sound."),
    422: (
        "The body or the query is wrong.",
        "BAD_REQUEST",
        "body.output: Input should be 'video', 'weights' or 'both'",
    ),
    429: ("Too much was asked for: try again later.", "RATE_LIMITED", "Too many requests; try again later."),
    500: ("The server failed.", "INTERNAL", "Something went wrong inside the server; its log says what."),
    501: (
        "Something for it is not installed.",
        "MISSING_EXTRA",
        "WebRTC needs another package: pip install 'visavis[webrtc]'.",
    ),
    502: ("Another service failed.", "MUSE_UNREACHABLE", "The video service cannot be reached."),
    503: (
        "The server is full, or stops: try again later.",
        "SERVER_FULL",
        "All places are taken; please try again in a minute.",
    ),
    504: (
        "The agent did not answer in time.",
        "AGENT_TIMEOUT",
        "The agent has not answered in 60 s.",
    ),
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
RECORDING = {
    **dict.fromkeys(("audio/wav", "audio/webm", "audio/ogg", "audio/mpeg", "audio/pcm", "audio/L16"), BINARY),
    "multipart/form-data": {"schema": {"type": "object", "properties": {"file": BINARY["schema"]}}},
}
"""Media types of a recording in a request."""


def problems(*statuses: int) -> Responses:
    """The errors that a call may answer."""
    described: Responses = {}
    for status in statuses:
        description, code, message = _PROBLEMS[status]
        example = {"application/json": {"example": {"code": code, "message": message}}}
        described[status] = {"model": Problem, "description": description, "content": example}
    return described


def answers(description: str, content: dict[str, Any]) -> Responses:
    """What a call answers when nothing is wrong, by media type."""
    return {200: {"description": description, "content": content}}


def takes(content: dict[str, Any]) -> dict[str, Any]:
    """The body of a request, by media type."""
    return {"requestBody": {"required": True, "content": content}}
