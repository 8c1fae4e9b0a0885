"""The door through which every part comes in: an entry point, or `module:attr`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import structlog

from visavis.errors import ConfigurationError
from visavis.settings import Settings


def load(group: str, name: str, settings: Settings) -> Any:
    """The warmed-up engine that the plug-in `name` of `visavis.<group>` makes from `settings`.

    `name` is an entry point's name or `module:attr`; either names a function `load(settings)`.
    Raises `ConfigurationError` when there is no such plug-in or something that it needs is not installed;
    what the plug-in itself raises comes through.
    """
    return find(group, name)(settings)


def check(settings: Settings) -> None:
    """Find every plug-in that `settings` chooses, without loading a model, and have each look at what it is
    told: by a function `check(settings)` in the module of its `load`, if there is one. Raises as `find` does,
    and what such a function raises."""
    chosen = {
        "agents": settings.agent,
        "faces": settings.face.engine,
        "renderers": settings.video.renderer,
    }
    if settings.agent == "embedded":
        chosen |= settings.stages.model_dump()
    for group, name in chosen.items():
        own = getattr(inspect.getmodule(find(group, name)), "check", None)
        if own is not None:
            own(settings)


async def close(engine: object) -> None:
    """The end of an engine: its `close()`, or its asynchronous `aclose()`, if it has one. Never raises."""
    end = getattr(engine, "aclose", None) or getattr(engine, "close", None)
    if end is None:
        return
    try:
        ending = end()
        if inspect.isawaitable(ending):
            await ending
    except Exception:  # a plug-in may raise anything, and the others are to be closed too
        structlog.get_logger().exception("a plug-in could not be closed", engine=type(engine).__name__)


def names(group: str) -> list[str]:
    """The plug-ins of `visavis.<group>` that are installed."""
    return sorted({point.name for point in entry_points(group=f"visavis.{group}")})


def find(group: str, name: str) -> Callable[[Settings], Any]:
    """The `load` function of a plug-in; see `load`."""
    if ":" in name:
        module, attribute = name.split(":", 1)
    else:
        found = next(iter(entry_points(group=f"visavis.{group}", name=name)), None)
        if found is None:
            raise ConfigurationError(
                f"There is no {group} plug-in {name!r}. Installed: {', '.join(names(group)) or 'none'}; "
                "or give your own as 'module:function'."
            )
        module, attribute = found.module, found.attr
    return _function(group, name, module, attribute)


def _function(group: str, name: str, module: str, attribute: str) -> Callable[[Settings], Any]:
    try:
        function: Any = import_module(module)
    except ModuleNotFoundError as missing:
        absent = missing.name or module
        advice = (
            "check the spelling"
            if module == absent or module.startswith(f"{absent}.")
            else f"install it: pip install {absent.split('.')[0]}"
        )
        raise ConfigurationError(
            f"The {group} plug-in {name!r} needs the module {absent!r}, which is not there; {advice}."
        ) from missing
    for part in attribute.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise ConfigurationError(f"The {group} plug-in {name!r}: {module} has no function {attribute!r}.")
    found: Callable[[Settings], Any] = function
    return found
