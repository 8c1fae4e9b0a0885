"""What happens to a call, whatever a model writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis import events as ev
from visavis.tools import Tool
from visavis.tools.toolbox import (
    LONGEST_OUTPUT,
    ClientTool,
    ServerTool,
    Toolbox,
    ToolError,
    parsed,
)

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


async def nobody(action: ev.Action) -> ev.ActionDone | None:
    raise AssertionError("no tool of these runs in the client")


def perform(toolbox: Toolbox, name: str, arguments: Any = None, act: Any = nobody) -> ev.ToolResult:
    call = ev.ToolCall("c", name, {} if arguments is None else arguments)
    return asyncio.run(toolbox.perform(call, act))


def box(run: Any, schema: Any = CITY, seconds: float = 5) -> Toolbox:
    return Toolbox([ServerTool(Tool("tool", "", schema), run, seconds)])


async def echo(arguments: dict[str, Any]) -> Any:
    return arguments


@given(JSON)
def test_a_tool_only_ever_sees_arguments_that_keep_to_its_schema(arguments: Any) -> None:
    seen = []

    async def run(arguments: dict[str, Any]) -> str:
        seen.append(arguments)
        return "ok"

    result = perform(box(run), "tool", arguments)
    kept = (
        isinstance(arguments, dict)
        and isinstance(arguments.get("city"), str)
        and len(arguments["city"]) <= 20
    )
    assert seen == ([arguments] if kept else [])
    assert result.failed is not kept
    assert result.output


@given(st.text(max_size=60) | JSON.map(str))
def test_arguments_that_are_no_json_are_refused(text: str) -> None:
    arguments = parsed(text)
    assert perform(box(echo, {"type": "object"}), "tool", arguments).failed is not isinstance(arguments, dict)


def test_deep_arguments_and_an_endless_schema_are_refused() -> None:
    nested: Any = {}
    for _ in range(5000):
        nested = {"a": nested}
    tree = {"type": "object", "additionalProperties": {"$ref": "#"}}
    assert perform(box(echo, tree), "tool", nested).failed


def test_a_schema_never_makes_the_server_fetch_anything() -> None:
    outside = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    result = perform(box(echo, outside), "tool", {"a": 1})
    assert result == ev.ToolResult(
        "c", "The arguments cannot be checked: the schema refers to what is not in it.", failed=True
    )


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("text", "text"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (None, "null"),
        ("x" * 50_000, "x" * LONGEST_OUTPUT),
    ],
)
def test_a_value_is_told_as_text_or_json(value: Any, output: str) -> None:
    async def run(arguments: dict[str, Any]) -> Any:
        return value

    assert perform(box(run, {}), "tool") == ev.ToolResult("c", output)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ToolError("No such city."), "No such city."),
        (RuntimeError("password=hunter2"), "tool failed (RuntimeError)."),
        (TimeoutError(), "tool took too long."),
    ],
)
def test_what_goes_wrong_is_told_without_secrets(error: Exception, said: str) -> None:
    async def run(arguments: dict[str, Any]) -> Any:
        raise error

    assert perform(box(run, {}), "tool") == ev.ToolResult("c", said, failed=True)


def test_a_tool_that_is_not_there_names_those_that_are() -> None:
    result = perform(box(echo), "other")
    assert result.failed
    assert "tool" in result.output
    assert result.output.startswith("There is no tool 'other'")


def test_a_client_tool_is_an_action() -> None:
    asked = []

    async def act(action: ev.Action) -> ev.ActionDone | None:
        asked.append(action)
        return ev.ActionDone("c", {"ok": 1}) if action.call else None

    tools = Toolbox([ClientTool(Tool("show")), ClientTool(Tool("ask"), returns=True)])
    assert perform(tools, "show", act=act) == ev.ToolResult("c", "done")
    assert perform(tools, "ask", act=act) == ev.ToolResult("c", '{"ok":1}')
    assert asked == [ev.Action("show", {}), ev.Action("ask", {}, "c")]


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        (Tool("no spaces"), "needs a name"),
        (Tool("9lives"), "needs a name"),
        (Tool("tool"), "two tools"),
        (Tool("wrong", "", {"type": "objekt"}), "no JSON Schema"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(tool: Tool, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        box(echo).add(ClientTool(tool))


def test_a_tool_that_is_removed_is_gone() -> None:
    toolbox = box(echo)
    assert [tool.name for tool in toolbox.declared] == ["tool"]
    toolbox.remove("tool")
    assert not toolbox.declared
    assert "tool" not in toolbox
