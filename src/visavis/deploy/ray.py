"""Visavis on a Ray cluster (`pip install 'visavis[ray]'`):

    serve run visavis.deploy.ray:app            the server, everything in it
    serve run deploy/ray/visavis.yaml           the server and its models, each scaled by itself

Replicas read their settings as the server does: from the environment and the files where they run. With
`cluster.redis` they are servers that belong together: each has a port of its own besides, for the others.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from visavis.errors import ConfigurationError, ExtraMissing
from visavis.stages.remote_wire import KINDS

try:
    from ray import serve
except ImportError as error:
    raise ExtraMissing("visavis.deploy.ray needs Ray", "ray") from error


def server(args: dict[str, Any]) -> serve.Application:
    """The server. A conversation stays with the replica that took it."""
    _nothing_else(args)
    return _deployment("server", _server)


def stage(args: dict[str, str]) -> serve.Application:
    """The model of one kind of stage (`kind: asr`), for servers whose handler for it is `remote`."""
    kind = args.pop("kind", "")
    if kind not in KINDS:
        raise ConfigurationError(f"There is no stage {kind!r}: kind is one of {', '.join(KINDS)}.")
    _nothing_else(args)
    return _deployment(kind, lambda: _stage(kind))


def _deployment(name: str, build: Callable[[], Any]) -> serve.Application:
    """An application whose replicas run what `build` makes in them."""
    ingress: Any = serve.ingress(build)()
    deployment: serve.Application = serve.deployment(ingress, name=name).bind()
    return deployment


def _server() -> Any:
    from visavis.configuration import load_settings
    from visavis.server.app import create_app
    from visavis.server.side_door import open_side_door

    settings = load_settings({}, None, os.environ, Path.cwd())
    app = create_app(settings)
    if settings.redis:
        open_side_door(app, settings)
    _settled(app)
    return app


def _settled(app: FastAPI) -> None:
    """While `app` runs, its process works as that of `visavis serve` does."""
    from visavis import garbage
    from visavis.server import run

    inside = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inside(app) as state:
            run.settle()
            yield state
        garbage.unsettle()

    app.router.lifespan_context = lifespan


def _stage(kind: str) -> Any:
    from visavis.configuration import load_settings
    from visavis.deploy.stage_server import StageServer

    return StageServer(kind, load_settings({}, None, os.environ, Path.cwd())).app()


def _nothing_else(args: dict[str, Any]) -> None:
    if args:
        raise ConfigurationError(f"Unknown arguments of an application: {', '.join(sorted(args))}.")


app = server({})
