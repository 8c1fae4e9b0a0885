"""Every wire as a target, by its name."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos import fuzzed_agents, fuzzed_clients
from tests.chaos.targets import Target

WIRES: dict[str, Callable[[], Target]] = {
    "widget": fuzzed_clients.widget,
    "api": fuzzed_clients.api,
    "frames": fuzzed_clients.frames,
    "page": fuzzed_clients.page,
    "remote": fuzzed_agents.remote_agent,
    "openai": fuzzed_agents.openai_agent,
    "gemini": fuzzed_agents.gemini_agent,
}
