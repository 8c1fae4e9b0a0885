"""What the server says of its tools."""

from __future__ import annotations

from fastapi.testclient import TestClient

from visavis.server.app import create_app
from visavis.settings import McpServerSettings, Settings


def test_a_missing_mcp_server_is_a_warning() -> None:
    lost = McpServerSettings(command=("/no/such/program",))
    with TestClient(create_app(Settings(agent="scripted", mcp={"files": lost}))) as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    tools = answer.json()["tools"]
    assert tools["names"] == ["confetti"]
    (problem,) = tools["problems"]
    assert problem.startswith("The MCP server 'files' cannot be used (FileNotFoundError")
