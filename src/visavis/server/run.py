"""The server's process: its socket, uvicorn around the application, and the browser."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Literal

import uvicorn
from rich.console import Console
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis import garbage, plugins
from visavis.conversations import database
from visavis.errors import ConfigurationError, VisavisError, for_people
from visavis.models import ModelStore
from visavis.needs import needed_models
from visavis.recording.folder import open_folder
from visavis.server.app import create_app
from visavis.server.draining import drained
from visavis.server.protocol import Protocol, http_protocol
from visavis.server.reach import address_of
from visavis.settings import ServerSettings, Settings
from visavis.tools import declared
from visavis.video import background

LARGEST_MESSAGE = 64 << 20
"""Bytes; far above the settings, so that a message that is too large is answered before the line is cut."""
GRACE = 5
"""Seconds that open connections have to end when the server stops."""
PATIENCE = 5
"""Seconds between being told that a body is too slow and being cut off."""
SWITCH = 0.0005
"""Seconds a thread may keep the interpreter while the event loop waits for it; Python's default is ten
times as long, which would show as late frames."""


def bind(host: str, port: int, option: str = "visavis --port") -> socket.socket:
    """A socket that holds the port but does not listen yet; `VisavisError` says what to do when it cannot:
    give `option` another port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise VisavisError("BAD_HOST", f"There is no address {host!r} to listen on ({error}).") from error
    sock = socket.socket(family, kind, protocol)
    if sys.platform != "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise VisavisError(*_cannot_bind(error, host, port, option)) from error
    return sock


def _cannot_bind(error: OSError, host: str, port: int, option: str) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else 8080
        return "PORT_IN_USE", (
            f"Port {port} on {host} is in use by another program. Stop that one, or choose another port: "
            f"{option} {other}"
        )
    if error.errno == errno.EACCES:
        return "PORT_FORBIDDEN", f"Port {port} needs more rights; choose one above 1023: {option} 8080"
    return "BAD_HOST", f"Cannot listen on {host} port {port}: {error.strerror}."


def run(
    settings: Settings,
    sock: socket.socket,
    page: str = "",
    recording: Path | None = None,
    own: socket.socket | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve on `sock` until the process is told to stop; Ctrl-C ends it without an error.

    `page` is what a browser is pointed to, "" the conversation; `recording`: see `create_app`. When others
    listen on `sock` too, `own` is where this server alone is reached.
    Raises what kept the application from starting.
    """
    app = create_app(settings, recording)
    app.state.address = address_of(settings, (own or sock).getsockname()[1])
    application = Startup(app)

    async def drain(hurry: Callable[[], bool]) -> None:
        await drained(app.state.sessions, settings.server.drain_seconds, hurry)

    def begin() -> None:
        on_ready()
        _ready(settings, page)

    server = Server(listening(application, settings), begin, drain)
    try:
        server.run(sockets=[sock] if own is None else [sock, own])
    except SystemExit:  # uvicorn's end when the application could not start
        if application.failure is None:
            raise
    garbage.unsettle()
    if application.failure is not None:
        raise for_people(application.failure) or application.failure


def listening(
    application: ASGIApp, settings: Settings, lifespan: Literal["on", "off"] = "on"
) -> uvicorn.Config:
    """How it is served."""
    certificate, key = _tls(settings.server)
    return uvicorn.Config(
        application,
        http=http_protocol(settings.limits.upload_seconds + PATIENCE),
        ws=Protocol,
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the application sees through them itself
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        lifespan=lifespan,
        timeout_graceful_shutdown=GRACE,
    )


class Server(uvicorn.Server):
    """Says when it is ready; the first signal lets conversations finish, the second ends at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        drain: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._on_ready, self._drain = on_ready, drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._drain(lambda: self.force_exit)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def check(settings: Settings) -> None:
    """Raise what would keep a server from starting, as far as can be told without loading a model. Writes
    nothing."""
    preflight(settings)
    create_app(settings)
    try:
        bind(settings.server.host, settings.server.port).close()
    except VisavisError as error:
        if error.code != "PORT_IN_USE":  # by the very server, it may be
            raise


def preflight(settings: Settings) -> None:
    """What every start looks at before it fetches or loads a model: plug-ins with their files and keys,
    models that may not be fetched, tools, extras, folders, addresses, Redis. Raises `VisavisError`."""
    plugins.check(settings)
    ModelStore(settings.models).check(needed_models(settings))
    declared.load(settings)
    if (behind := background.parse(settings.video.background)) is not None:
        behind.paint(settings.video.width, settings.video.height)
    if settings.mcp:
        import_module("visavis.tools.mcp")  # an extra that is needed only now
    if settings.traces.url:
        import_module("visavis.tracing")
    _tls(settings.server)
    address_of(settings, settings.server.port)
    if (recordings := open_folder(settings)) is not None:
        recordings.check()
    if settings.conversations.store != "off":
        database.check(database.path_of(settings.conversations))
    if settings.redis:
        from visavis.server import redis_state  # an extra that is needed only now

        asyncio.run(redis_state.check(settings.redis))


class Startup:
    """The application, and the exception that kept it from starting, which uvicorn would only log."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        try:
            await self._application(scope, receive, _without_traceback(send))
        except Exception as error:
            self.failure = error
            raise


def _without_traceback(send: Send) -> Send:
    async def send_quietly(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            message = {"type": message["type"], "message": ""}
        await send(message)

    return send_quietly


def settle() -> None:
    """All models are loaded: from now on the interpreter works as an event loop needs it."""
    garbage.settle()
    sys.setswitchinterval(SWITCH)


def _ready(settings: Settings, page: str) -> None:
    """All models are loaded and the port is open."""
    settle()
    server = settings.server
    url = page_url(server.host, server.port, tls=server.ssl_certfile is not None) + page
    Console(stderr=True).print(f"Visavis is ready: [bold]{url}[/bold]  (Ctrl-C stops it)", highlight=False)
    if settings.server.open_browser and has_display():
        threading.Thread(target=_open, args=(url,), daemon=True).start()


def page_url(host: str, port: int, *, tls: bool = False) -> str:
    """The page's address on this machine: browsers allow the microphone on localhost without TLS."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - nothing is bound here
        host = "localhost"
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _tls(server: ServerSettings) -> tuple[Path | None, Path | None]:
    """The certificate and its key, if there are. Raises `ConfigurationError` when they cannot be used."""
    certificate, key = server.ssl_certfile, server.ssl_keyfile
    if certificate is None:
        if key is not None:
            raise ConfigurationError("server.ssl_keyfile needs server.ssl_certfile as well")
        return None, None
    try:
        # A key with a password would be asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = f"{certificate} and {key}" if key else str(certificate)
        raise ConfigurationError(
            f"server.ssl_certfile: {files} cannot be used ({error}); "
            "expected a certificate chain and its key in PEM, without a password"
        ) from error
    return certificate, key


def has_display() -> bool:
    """Whether a browser would have a screen; text browsers would take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _open(url: str) -> None:
    with suppress(webbrowser.Error, OSError):  # the address is on the screen
        webbrowser.open(url)
