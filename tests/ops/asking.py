"""Calls of a server, whatever it answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

Answer = tuple[int, Any, bytes]
"""Status, headers, body."""


def get(url: str, **headers: str) -> Answer:
    return _send(urllib.request.Request(url, headers=headers))


def post(url: str, body: Any) -> Answer:
    return _send(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}))


def _send(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
