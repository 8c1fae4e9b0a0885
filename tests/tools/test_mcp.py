"""MCP servers as sources of tools: real ones, over a pipe and over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from visavis import events as ev
from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.settings import McpServerSettings
from visavis.tools import mcp
from visavis.tools.builtin import CONFETTI
from visavis.tools.mcp import McpServer
from visavis.tools.toolbox import Toolbox

PROGRAM = str(Path(__file__).with_name("mcp_server.py"))
OVER_A_PIPE = McpServerSettings(command=(sys.executable, PROGRAM), env={"COLOUR": SecretStr("red")})


@asynccontextmanager
async def connected(settings: McpServerSettings) -> AsyncIterator[tuple[McpServer, Toolbox]]:
    toolbox = Toolbox([CONFETTI])
    server = McpServer("small", settings, toolbox)
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(60):
            await tasks.start(server.run)
        yield server, toolbox
        tasks.cancel_scope.cancel()


async def use(toolbox: Toolbox, name: str, **arguments: object) -> ev.ToolResult:
    async def nobody(action: ev.Action) -> None:
        raise AssertionError("it runs on the server")

    return await toolbox.perform(ev.ToolCall("c", name, arguments), nobody)


async def check(toolbox: Toolbox, colour: str) -> None:
    assert [tool.name for tool in toolbox.declared] == ["confetti", "add", "small_confetti", "dotted_name"]
    assert toolbox.declared[1].description == "The sum of two numbers."
    assert await use(toolbox, "add", a=1, b=2) == ev.ToolResult("c", "3")
    assert (await use(toolbox, "add", a="one", b=2)).failed
    assert await use(toolbox, "small_confetti") == ev.ToolResult("c", colour)
    failure = await use(toolbox, "dotted_name")
    assert failure.failed
    assert "out of order" in failure.output or "dotted.name" in failure.output


def test_a_program_offers_its_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "START_SECONDS", 50.0)  # a busy machine needs a while to start it

    async def main() -> None:
        async with connected(OVER_A_PIPE) as (server, toolbox):
            assert server.problem == ""
            await check(toolbox, "red")

    asyncio.run(main())


def test_a_web_server_offers_its_tools_and_is_connected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(mcp, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(mcp, "REFRESH_SECONDS", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = McpServerSettings(
        url=f"http://127.0.0.1:{port}/mcp", headers={"X-Key": SecretStr("sk-hidden")}
    )

    async def until(condition: object) -> None:
        with anyio.fail_after(30):
            while not condition():  # type: ignore[operator]
                await anyio.lowlevel.checkpoint()

    async def main() -> None:
        async with connected(settings) as (server, toolbox):
            assert "The MCP server 'small' cannot be used" in server.problem
            assert len(toolbox.declared) == 1
            async with await anyio.open_process([sys.executable, PROGRAM, str(port)], stderr=None) as process:
                await until(lambda: not server.problem and len(toolbox.declared) == 4)
                await check(toolbox, "grey")
                process.kill()
            await until(lambda: server.problem and len(toolbox.declared) == 1)

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        McpServerSettings(command=("/no/such/program",)),
        McpServerSettings(command=(sys.executable, "-c", "print('no protocol')"), timeout_seconds=5),
        McpServerSettings(url="http://127.0.0.1:9/mcp", headers={"X-Key": SecretStr("127.0.0.1")}),
    ],
)
def test_a_server_that_is_not_there_is_told_and_stops_nothing(settings: McpServerSettings) -> None:
    async def main() -> None:
        async with connected(settings) as (server, toolbox):
            assert server.problem.startswith("The MCP server 'small' cannot be used (")
            assert "127.0.0.1" not in server.problem
            assert len(toolbox.declared) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ({}, "mcp.it must have one of command and url"),
        ({"command": ["a"], "url": "http://a/"}, "mcp.it must have one of command and url"),
        ({"url": "ws://a/"}, "mcp.it.url must be a web address"),
    ],
)
def test_a_mistake_in_the_settings_is_told(tmp_path: Path, server: object, complaint: str) -> None:
    (tmp_path / "visavis.yaml").write_text(json.dumps({"mcp": {"it": server}}))
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings({}, None, {}, tmp_path)
