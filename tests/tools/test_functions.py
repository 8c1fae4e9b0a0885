"""Python functions as tools."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any, Literal

import anyio
import pytest
from pydantic import Field

from visavis import events as ev
from visavis.tools.functions import from_function
from visavis.tools.toolbox import ServerTool, Toolbox


def weather(
    city: Annotated[str, Field(description="Its English name.")],
    unit: Literal["c", "f"] = "c",
    days: int = 1,
) -> dict[str, Any]:
    """The weather in a city."""
    return {"city": city, "unit": unit, "days": days}


async def perform(tool: ServerTool, arguments: Any) -> ev.ToolResult:
    async def nobody(action: ev.Action) -> None:
        raise AssertionError("it runs on the server")

    return await Toolbox([tool]).perform(ev.ToolCall("c", tool.tool.name, arguments), nobody)


def test_hints_and_docstring_declare_the_tool() -> None:
    tool = from_function(weather).tool
    assert (tool.name, tool.description) == ("weather", "The weather in a city.")
    assert tool.parameters["required"] == ["city"]
    assert tool.parameters["properties"]["city"]["description"] == "Its English name."
    assert tool.parameters["properties"]["unit"]["enum"] == ["c", "f"]


@pytest.mark.parametrize(
    ("arguments", "failed"),
    [
        ({"city": "Paris", "days": 2}, False),
        ({"city": "Paris", "unit": "k"}, True),
        ({"town": "Paris"}, True),
        ({}, True),
    ],
)
def test_arguments_are_what_the_hints_say(arguments: Any, failed: bool) -> None:
    result = asyncio.run(perform(from_function(weather), arguments))
    assert result.failed is failed
    assert failed or result.output == '{"city":"Paris","unit":"c","days":2}'


def test_a_coroutine_runs_on_the_loop_and_a_plain_function_beside_it() -> None:
    async def on_the_loop() -> bool:
        return threading.current_thread() is threading.main_thread()

    def beside() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert asyncio.run(perform(from_function(on_the_loop), {})).output == "true"
    assert asyncio.run(perform(from_function(beside), {})).output == "false"


def test_functions_that_never_return_keep_their_threads_but_take_no_more() -> None:
    async def main() -> None:
        end = threading.Event()
        limiter = anyio.CapacityLimiter(1)
        try:
            hang = from_function(lambda: end.wait(), limiter, "hang", seconds=0.05)
            assert (await perform(hang, {})).output == "hang took too long."
            quick = from_function(lambda: 1, limiter, "quick", seconds=0.05)
            assert (await perform(quick, {})).output == "quick took too long."
            assert limiter.borrowed_tokens == 1
        finally:
            end.set()
        assert (await perform(from_function(lambda: 1, limiter, "quick"), {})).output == "1"

    asyncio.run(main())


def test_a_function_that_says_too_little_is_refused() -> None:
    def anything(*positional: int, **named: int) -> None: ...

    with pytest.raises(ValueError, match="the function 'anything' cannot be understood"):
        from_function(anything)
