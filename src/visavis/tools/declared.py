"""The tools of a configuration."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from visavis import plugins
from visavis.errors import ConfigurationError
from visavis.settings import Settings, ToolSettings
from visavis.tools import Tool
from visavis.tools.builtin import BUILT_IN
from visavis.tools.functions import THREADS, from_function
from visavis.tools.http import HttpTool
from visavis.tools.toolbox import ClientTool, ServerTool, Toolbox

NOTHING = {"type": "object", "properties": {}}


def load(settings: Settings, more: Iterable[ClientTool | ServerTool] = ()) -> Toolbox:
    """The tools that are built in, those of the section `tools`, which may switch the others off, and `more`.

    Raises `ConfigurationError` naming the tool that cannot be.
    """
    toolbox, threads = Toolbox(), anyio.CapacityLimiter(THREADS)
    for tool in BUILT_IN:
        if tool.tool.name not in settings.tools:
            toolbox.add(tool)
    for name, declared in settings.tools.items():
        if not declared.enabled:
            continue
        try:
            toolbox.add(_tool(name, declared, threads))
        except (ValueError, ConfigurationError) as error:
            raise ConfigurationError(f"tools.{name}: {error}") from None
    for own in more:
        toolbox.add(own)
    return toolbox


def _tool(name: str, declared: ToolSettings, threads: anyio.CapacityLimiter) -> ClientTool | ServerTool:
    seconds, description = declared.timeout_seconds, declared.description
    tool = Tool(name, description, declared.parameters or NOTHING)
    if declared.http is not None:
        return ServerTool(tool, HttpTool(declared.http), seconds)
    if declared.python:
        function = plugins.find("tools", declared.python)
        made = from_function(function, threads, name, description, seconds)
        return ServerTool(tool, made.run, seconds) if declared.parameters else made
    return ClientTool(tool, declared.returns, seconds)
