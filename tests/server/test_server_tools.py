"""Tools in a whole server: what a client sees of them, and what `/health` says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient

from visavis import events as ev
from visavis.agents import Brief
from visavis.server.app import create_app
from visavis.settings import McpServerSettings, Settings, ToolSettings
from visavis.tools.functions import from_function


class Callers:
    """The engine."""

    input_rate = output_rate = 24_000

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[Caller]:
        agent = Caller()
        async with agent.say, agent.events:
            yield agent

    def status(self) -> dict[str, Any]:
        return {"name": "caller", "problems": []}


class Caller:
    """An agent that calls the tool which the user names, and tells what it returned as an error."""

    def __init__(self) -> None:
        self.say, self.events = anyio.create_memory_object_stream[ev.FromAgent](100)

    async def send(self, event: ev.ToAgent) -> None:
        match event:
            case ev.UserText(text):
                name, _, arguments = text.partition(" ")
                await self.say.send(ev.ToolCall("c", name, json.loads(arguments or "{}")))
            case ev.ToolResult(_, output):
                await self.say.send(ev.ReplyFailed("RESULT", output))

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self.events.__aiter__()


def load(settings: Settings) -> Callers:
    return Callers()


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


SETTINGS = Settings(
    agent="tests.server.test_server_tools:load",
    tools={"ask": ToolSettings.model_validate({"returns": True}), "show": ToolSettings.model_validate({})},
)


@pytest.mark.parametrize(
    ("text", "action", "result"),
    [
        ('double {"number": 21}', None, "42"),
        ('show {"id": 7}', {"function_name": "show", "arguments": {"id": 7}}, "done"),
        ('ask {"id": 7}', {"function_name": "ask", "arguments": {"id": 7}, "callId": "c"}, '{"chosen":1}'),
        ("nothing", None, "There is no tool 'nothing'; there are: confetti, ask, show, double."),
    ],
)
def test_a_call_is_performed_and_answered(text: str, action: dict[str, Any] | None, result: str) -> None:
    app = create_app(SETTINGS, more_tools=[from_function(double)])
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:

        def until(type: str) -> dict[str, Any]:
            while (message := socket.receive_json())["type"] != type:
                pass
            return {name: value for name, value in message.items() if name not in ("type", "timestamp")}

        socket.send_json({"type": "hello"})
        socket.send_json({"type": "text", "data": text})
        if action is not None:
            assert until("trigger_action") == action
        if action is not None and "callId" in action:
            socket.send_json({"type": "action_result", "callId": action["callId"], "result": {"chosen": 1}})
        assert until("error")["message"] == result


def test_a_missing_mcp_server_is_a_warning() -> None:
    lost = McpServerSettings(command=("/no/such/program",))
    with TestClient(create_app(Settings(agent="scripted", mcp={"files": lost}))) as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    tools = answer.json()["tools"]
    assert tools["names"] == ["confetti"]
    (problem,) = tools["problems"]
    assert problem.startswith("The MCP server 'files' cannot be used (FileNotFoundError")
