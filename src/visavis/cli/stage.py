"""`visavis stage`: a stage of the embedded agent in a process of its own."""

from __future__ import annotations

import ipaddress
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis import logs
from visavis.configuration import load_settings
from visavis.console import readable_errors
from visavis.errors import ConfigurationError
from visavis.settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

app = typer.Typer(help="Run a stage of the embedded agent in a process of its own.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Run a stage of the embedded agent in a process of its own."""


@app.command()
def serve(
    kind: Annotated[str, typer.Argument(help="end_of_turn, asr, llm, tts or face.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 is any.")] = 9100,
    config: Annotated[
        Path | None, typer.Option("--config", help="A YAML file of settings instead of visavis.yaml.")
    ] = None,
) -> None:
    """Serve the plug-in that the settings choose for KIND to servers whose handler is `remote`."""
    with readable_errors(debug=False):
        settings = load_settings({}, config, os.environ, Path.cwd())
        logs.set_up(settings.logs, debug=settings.debug)
        if not settings.remote_stages.token.get_secret_value() and not _loopback(host):
            raise ConfigurationError(
                f"{host} can be reached by others: set remote_stages.token "
                "(VISAVIS_REMOTE_STAGES__TOKEN), the same here and where the stage is used."
            )
        import uvicorn

        from visavis.deploy.stage_server import StageServer
        from visavis.server.run import bind

        with closing(bind(host, port)) as sock:
            application = StageServer(kind, settings).app()
            typer.echo(f"The stage {kind} is at http://{host}:{sock.getsockname()[1]}", err=True)
            server = uvicorn.Server(listening(application, settings))
            with suppress(KeyboardInterrupt):
                server.run(sockets=[sock])


def listening(application: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How it is served: nobody who sends slowly is waited for, and nobody says where they are from."""
    import uvicorn

    from visavis.server.protocol import http_protocol

    return uvicorn.Config(
        application,
        http=http_protocol(settings.limits.upload_seconds),
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
