"""The tools that agents may call, and what happens when one is called.

A tool runs in the client (`ClientTool`) or on the server (`ServerTool`). What a model writes as arguments is
checked against the tool's JSON Schema; whatever goes wrong becomes a failed result that the model can read.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import anyio
import orjson
import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from visavis import events as ev
from visavis.json_values import too_deep
from visavis.tools import Tool

LONGEST_ARGUMENTS = 32_000
LONGEST_OUTPUT = 16_000
"""Characters of JSON that a model may say to a tool, and a tool to a model."""
LONGEST_REASON = 300
"""Characters of a sentence about arguments that are wrong."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""Names that every provider takes."""
SECONDS = 20.0
"""How long a tool may take unless something else is said."""

Act = Callable[[ev.Action], Awaitable[ev.ActionDone | None]]
"""Has the client do something; returns what came of it when the action has a `call`, else at once."""


class ToolError(Exception):
    """A tool cannot do what it was asked for; `str(error)` is said to the model."""


@dataclass(frozen=True, slots=True)
class ClientTool:
    """Runs in the client, as an action; with `returns` the model waits for what comes of it."""

    tool: Tool
    returns: bool = False
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class Sourced:
    """A tool's value and where it is from, which the client shows."""

    value: Any
    sources: tuple[ev.Source, ...]


@dataclass(frozen=True, slots=True)
class ServerTool:
    """Runs here: `run` takes the arguments, which keep to the schema; returns any JSON value, or `Sourced`.

    It may take `seconds`. What it raises is a failed result; only of a `ToolError` the model reads the text.
    """

    tool: Tool
    run: Callable[[dict[str, Any]], Awaitable[Any]]
    seconds: float = SECONDS


class Toolbox:
    """Tools by their names; what is added or removed holds from the next conversation on."""

    def __init__(self, tools: Iterable[ClientTool | ServerTool] = ()) -> None:
        self._tools: dict[str, tuple[ClientTool | ServerTool, Draft202012Validator]] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: ClientTool | ServerTool) -> None:
        """Raises `ValueError` when its name or its schema cannot be, or the name is taken."""
        name, schema = tool.tool.name, tool.tool.parameters
        if not NAME.fullmatch(name):
            raise ValueError(
                f"the tool {name[:80]!r} needs a name of letters, digits, _ and -, beginning with a letter"
            )
        if name in self._tools:
            raise ValueError(f"there are two tools with the name {name!r}")
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(
                f"the parameters of the tool {name!r} are no JSON Schema: {error.message[:LONGEST_REASON]}"
            ) from None
        # Without a registry of its own the validator would fetch what a schema refers to from the network.
        self._tools[name] = tool, Draft202012Validator(dict(schema), registry=Registry())

    def remove(self, name: str) -> None:
        del self._tools[name]

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    @property
    def declared(self) -> tuple[Tool, ...]:
        """What an agent is told of them."""
        return tuple(tool.tool for tool, _ in self._tools.values())

    async def perform(self, call: ev.ToolCall, act: Act) -> ev.ToolResult:
        """Do what an agent asks for; never raises."""
        try:
            with anyio.fail_after(self._seconds(call.name)):
                return _result(call, await self._perform(call, act))
        except ToolError as error:
            reason = str(error)
        except TimeoutError:
            reason = f"{call.name} took too long."
        except Exception as error:
            structlog.get_logger().exception("a tool failed", tool=call.name)
            reason = f"{call.name} failed ({type(error).__name__})."
        return ev.ToolResult(call.call, reason[:LONGEST_OUTPUT], failed=True)

    def _seconds(self, name: str) -> float:
        return self._tools[name][0].seconds if name in self._tools else SECONDS

    async def _perform(self, call: ev.ToolCall, act: Act) -> Any:
        if call.name not in self._tools:
            raise ToolError(f"There is no tool {call.name[:80]!r}; there are: {', '.join(self._tools)}.")
        tool, validator = self._tools[call.name]
        arguments = _checked(call.arguments, validator)
        if isinstance(tool, ServerTool):
            return await tool.run(arguments)
        done = await act(ev.Action(call.name, arguments, call.call if tool.returns else ""))
        if done is None:
            return "done"
        if done.error:
            raise ToolError(done.error)
        return done.result


def parsed(text: str) -> Any:
    """Arguments that a model has written as JSON; when they are none, the text, which no schema allows."""
    try:
        return orjson.loads(text or "{}") if len(text) <= LONGEST_ARGUMENTS else text
    except orjson.JSONDecodeError:
        return text


def _checked(arguments: Any, validator: Draft202012Validator) -> dict[str, Any]:
    if not isinstance(arguments, dict):
        raise ToolError("The arguments must be a JSON object.")
    if too_deep(arguments):
        raise ToolError("The arguments are nested too deeply.")
    try:
        error = best_match(validator.iter_errors(arguments))
    except Unresolvable:
        raise ToolError("The arguments cannot be checked: the schema refers to what is not in it.") from None
    except RecursionError:
        raise ToolError("The arguments are nested too deeply.") from None
    if error is not None:
        where = f" at {error.json_path}" if error.path else ""
        raise ToolError(f"The arguments are wrong{where}: {error.message[:LONGEST_REASON]}")
    return arguments


def _result(call: ev.ToolCall, value: Any) -> ev.ToolResult:
    """A value as the model reads it: text as it is, everything else as JSON."""
    if isinstance(value, Sourced):
        return replace(_result(call, value.value), sources=value.sources)
    output = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return ev.ToolResult(call.call, output[:LONGEST_OUTPUT])
