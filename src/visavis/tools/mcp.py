"""Servers that speak the Model Context Protocol as sources of tools.

Each is connected once for all conversations and connected again whenever it is lost; its tools are in the
toolbox for as long as it is there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx2
import structlog
from anyio.abc import TaskStatus
from pydantic import SecretStr

from visavis.errors import ExtraMissing
from visavis.settings import McpServerSettings, Settings
from visavis.tools import Tool
from visavis.tools.toolbox import ServerTool, Toolbox, ToolError

try:
    from mcp import Client, StdioServerParameters
    from mcp.client.streamable_http import streamable_http_client
    from mcp.types import CallToolResult, TextContent
except ModuleNotFoundError as missing:
    raise ExtraMissing("An MCP server needs the SDK of MCP", "mcp") from missing

MOST_TOOLS = 128
"""Of one server."""
LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_REASON = 64, 2_000, 200
"""Characters."""
REFRESH_SECONDS = 30.0
"""How often a server is asked for its tools."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before a lost server is tried again; the wait doubles each time."""
START_SECONDS = 5.0
"""How long the start waits for a server."""
_log = structlog.get_logger()


def load(settings: Settings, toolbox: Toolbox) -> list[McpServer]:
    """The servers of the section `mcp`; `run` connects them."""
    return [McpServer(name, server, toolbox) for name, server in settings.mcp.items()]


class McpServer:
    """One server; `run` keeps its tools in the toolbox."""

    def __init__(self, name: str, settings: McpServerSettings, toolbox: Toolbox) -> None:
        self.name = name
        self.problem = ""
        """A sentence while it cannot be used."""
        self._settings, self._toolbox = settings, toolbox
        self._offered: dict[str, Tool] = {}
        """Its tools by its own names for them."""
        self._names: list[str] = []
        """Those of them that are in the toolbox."""

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep the connection; ends only when it is cancelled. It has started once the server was tried."""
        tried = asyncio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep, tried)
            with anyio.move_on_after(START_SECONDS):
                await tried.wait()
            task_status.started()

    async def _keep(self, tried: asyncio.Event) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                async with self._connected() as client:
                    while True:
                        async with asyncio.timeout(self._settings.timeout_seconds):
                            await self._refresh(client)
                        self.problem, wait = "", FIRST_WAIT
                        tried.set()
                        await anyio.sleep(REFRESH_SECONDS)
            except Exception as error:
                self._lost(error)
            tried.set()
            await anyio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        settings = self._settings
        async with AsyncExitStack() as stack:
            if settings.command:
                program, *arguments = settings.command
                server: Any = StdioServerParameters(command=program, args=arguments, env=_told(settings.env))
            else:
                timeout = httpx2.Timeout(settings.timeout_seconds, read=None)  # a stream may be quiet
                web = httpx2.AsyncClient(headers=_told(settings.headers), timeout=timeout)
                server = streamable_http_client(
                    settings.url, http_client=await stack.enter_async_context(web)
                )
            client = Client(server, read_timeout_seconds=settings.timeout_seconds)
            async with asyncio.timeout(settings.timeout_seconds):
                await stack.enter_async_context(client)
            yield client

    async def _refresh(self, client: Client) -> None:
        """Have the tools in the toolbox that the server offers now."""
        offered: dict[str, Tool] = {}
        cursor: str | None = None
        while len(offered) < MOST_TOOLS:
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            for tool in page.tools[: MOST_TOOLS - len(offered)]:
                description = (tool.description or tool.title or "")[:LONGEST_DESCRIPTION]
                offered[tool.name] = Tool(tool.name, description, tool.input_schema)
            cursor = page.next_cursor
            if cursor is None:
                break
        if offered != self._offered:
            self._forget()
            self._offered = offered
            for mine in offered.values():
                self._add(client, mine)
            _log.info("an MCP server's tools are there", server=self.name, tools=self._names)

    def _add(self, client: Client, tool: Tool) -> None:
        """Put a tool in the box, with its server's name before its own when that is taken."""
        name = re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)
        if name in self._toolbox:
            name = f"{self.name}_{name}"
        named = replace(tool, name=name[:LONGEST_NAME])

        async def run(arguments: dict[str, Any]) -> Any:
            return _value(await client.call_tool(tool.name, arguments))

        try:
            self._toolbox.add(ServerTool(named, run, self._settings.timeout_seconds))
        except ValueError as error:
            _log.warning("a tool of an MCP server cannot be used", server=self.name, reason=str(error))
        else:
            self._names.append(named.name)

    def _forget(self) -> None:
        for name in self._names:
            self._toolbox.remove(name)
        self._names, self._offered = [], {}

    def _lost(self, error: Exception) -> None:
        self._forget()
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        reason = f"{type(cause).__name__}: {cause}".rstrip(": ")
        for secret in filter(None, (_told(self._settings.env) | _told(self._settings.headers)).values()):
            reason = reason.replace(secret, "(secret)")
        self.problem = (
            f"The MCP server {self.name!r} cannot be used ({reason[:LONGEST_REASON]}). "
            f"Its tools are missing; check mcp.{self.name}. It is tried again."
        )
        _log.warning("an MCP server cannot be used", server=self.name, reason=self.problem)


def _told(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in secrets.items()}


def _value(result: CallToolResult) -> Any:
    """What a tool has returned. Raises `ToolError` when it reports one."""
    text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
    if result.is_error:
        raise ToolError(text or "It failed.")
    return text or result.structured_content
