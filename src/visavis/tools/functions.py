"""Python functions as tools: their type hints say what they take, their docstring what they do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUndefinedAnnotation

from visavis.tools import Tool
from visavis.tools.toolbox import SECONDS, ServerTool, ToolError

THREADS = 8
"""Plain functions that may run at the same time, those included that have taken too long."""


def from_function(
    function: Callable[..., Any],
    limiter: anyio.CapacityLimiter | None = None,
    name: str = "",
    description: str = "",
    seconds: float = SECONDS,
) -> ServerTool:
    """A tool that calls `function` with the arguments; a plain one in a thread, of which `limiter` bounds the
    number.

    Arguments are what the type hints say (pydantic's); `Annotated[str, Field(description=...)]` explains one.
    Raises `ValueError` when the hints cannot be understood.
    """
    name = name or function.__name__
    try:
        kind: Any = function  # of which pydantic makes a schema, as of a type
        adapter = TypeAdapter[Any](kind)
        schema = adapter.json_schema()
    except (
        PydanticSchemaGenerationError,
        PydanticInvalidForJsonSchema,
        PydanticUndefinedAnnotation,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"the arguments of the function {name!r} cannot be understood: {reason}") from None
    threads = limiter or anyio.CapacityLimiter(THREADS)

    async def run(arguments: dict[str, Any]) -> Any:
        try:
            if inspect.iscoroutinefunction(function):
                return await adapter.validate_python(arguments)
            return await _in_thread(threads, adapter.validate_python, arguments)
        except ValidationError as error:
            raise ToolError(f"The arguments are wrong: {error.errors(include_url=False)[0]['msg']}") from None

    return ServerTool(Tool(name, description or inspect.getdoc(function) or "", schema), run, seconds)


async def _in_thread(limiter: anyio.CapacityLimiter, call: Callable[..., Any], *arguments: Any) -> Any:
    """`call(*arguments)` in a thread that keeps its place among `limiter` also when nobody waits any more."""
    loop, place = asyncio.get_running_loop(), object()
    await limiter.acquire_on_behalf_of(place)

    def work() -> Any:
        try:
            return call(*arguments)
        finally:
            with suppress(RuntimeError):  # the loop is closed: nobody needs the place
                loop.call_soon_threadsafe(limiter.release_on_behalf_of, place)

    own = anyio.CapacityLimiter(1)
    return await anyio.to_thread.run_sync(work, limiter=own, abandon_on_cancel=True)
