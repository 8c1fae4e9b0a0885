"""What all clients of OpenAI-compatible servers share: what may pass, and what a server's errors say."""

from __future__ import annotations

import json
from typing import Any

import httpx2

TRIES = 3
"""Attempts at a request whose failure may pass."""
BACK_OFF = 0.25
"""Seconds before the second attempt; the third waits twice as long."""
PASSING = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
"""HTTP statuses that may be gone at the next attempt."""
CONNECT_SECONDS = 5.0
LONGEST_MESSAGE = 300
"""Characters of a server's error message that are passed on."""


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def shown(url: str) -> str:
    """`url` without a name and a password."""
    return str(httpx2.URL(url).copy_with(username=None, password=None))


def reason(body: str, key: str) -> str:
    """What a server gives as its reason, without the key in case it echoes it."""
    try:
        error: Any = json.loads(body)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        text = " ".join(body.split())
    return (text.replace(key, "(key)") if key else text)[:LONGEST_MESSAGE]
