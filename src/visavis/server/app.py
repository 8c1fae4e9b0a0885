"""The server as an ASGI application."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing, nullcontext
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import visavis
from visavis import plugins
from visavis.agents import Brief
from visavis.cast import FOLDER, Cast
from visavis.conversations.store import open_store
from visavis.errors import VisavisError
from visavis.exports.glb import Head
from visavis.faces.animator import Animator
from visavis.faces.process import FaceProcess
from visavis.faces.process import load as load_faces
from visavis.faces.speech_face import Faces
from visavis.knowledge.knowledge import Knowledge
from visavis.knowledge.knowledge import load as load_knowledge
from visavis.lane import Lane
from visavis.logs import log_turns
from visavis.metrics import Metrics
from visavis.recording.folder import open_folder
from visavis.server.api_errors import ApiError, refuse
from visavis.server.brain import Brain
from visavis.server.frames_socket import FramesConnection
from visavis.server.lines import Lines
from visavis.server.middleware import protect
from visavis.server.pictures import Pictures, drawing_threads
from visavis.server.routes_api import ApiRoutes
from visavis.server.routes_face import FaceRoutes
from visavis.server.routes_head import HeadRoutes
from visavis.server.routes_operations import OperationRoutes, figures
from visavis.server.routes_page import PageRoutes
from visavis.server.sessions import Sessions
from visavis.server.sockets import Connection
from visavis.server.talks import NoSuchTalk, Talks
from visavis.session import Parts
from visavis.settings import Settings
from visavis.ticker import Ticker
from visavis.tools import declared
from visavis.tools.knowledge import search_knowledge
from visavis.tools.toolbox import ClientTool, ServerTool, Toolbox

if TYPE_CHECKING:
    from visavis.server.directory import Directory
    from visavis.tools.mcp import McpServer
    from visavis.tracing import Traces

PACKAGE = Path(visavis.__file__).parent
STATIC = PACKAGE / "server" / "static"

MEDIA_TYPES = {"image/webp": ".webp", "model/gltf-binary": ".glb", "text/javascript": ".js"}
"""Files of the page whose type not every system knows."""


def create_app(
    settings: Settings, recording: Path | None = None, more_tools: Iterable[ClientTool | ServerTool] = ()
) -> FastAPI:
    """The application; its lifespan loads the engines and owns every task.

    `recording` is an audio or video file that the page `/face` begins with; `more_tools` are what agents can
    use besides those in the settings. Raises `VisavisError` for a head of one's own that cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        agent, faces, library = await _load(settings)
        store, recordings = open_store(settings), open_folder(settings)
        with (
            closing(_animator(faces)) as animator,
            drawing_threads() as drawing,
            nullcontext() if store is None else store.running(),
            nullcontext() if recordings is None else recordings.running(),
        ):
            brief = Brief(settings.assistant.instructions)
            tools = declared.load(settings, more_tools)
            if library is not None and settings.agent != "embedded":  # which looks things up by itself
                tools.add(search_knowledge(library))
            seed = settings.assistant.seed
            traces = _traces(settings)
            hears = (app.state.metrics.hear, log_turns, *([] if traces is None else [traces.hear]))
            parts = Parts(agent, faces, animator, Ticker(), seed, brief, tools, library, hears)
            async with anyio.create_task_group() as tasks:
                if (redis := app.state.auth.redis) is not None:
                    await tasks.start(redis.keep)
                app.state.directory = directory = await _join(app, tasks)
                app.state.mcp = await _connect_servers(settings, tools, tasks)
                if library is not None:
                    tasks.start_soon(library.watch)
                if store is not None:
                    tasks.start_soon(store.keep)
                if recordings is not None:
                    tasks.start_soon(recordings.keep)
                    app.state.metrics.also(recordings.figures)
                app.state.library, app.state.store = library, store
                server = settings.server
                limits = settings.limits if settings.limited else None
                app.state.sessions = Sessions(
                    parts,
                    tasks,
                    server.max_sessions,
                    server.resume_seconds,
                    store,
                    limits,
                    recordings,
                    directory,
                )
                app.state.pictures = pictures = Pictures(settings, tasks, drawing, faces.idle)
                app.state.brain, app.state.tasks = Brain(settings, agent), tasks
                app.state.talks = Talks(
                    app.state.sessions, tasks, pictures, settings.api.session_minutes * 60
                )
                app.state.faces, app.state.started = faces, time.monotonic()
                app.state.metrics.also(partial(figures, app))
                yield
                page.close()
                tasks.cancel_scope.cancel()
            for engine in (agent, faces, app.state.pictures, app.state.brain, traces, app.state.relay):
                await plugins.close(engine)

    page = PageRoutes(settings)
    for kind, ending in MEDIA_TYPES.items():
        mimetypes.add_type(kind, ending)
    app = FastAPI(
        title="Visavis", version=visavis.__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.settings, app.state.lines, app.state.metrics = settings, Lines(), Metrics()
    app.state.address, app.state.relay = settings.cluster.address, None
    app.state.cast = cast = Cast(settings.avatar)
    protect(app, settings, [STATIC / "index.html", STATIC / "face.html"])
    app.add_api_route("/", root, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)
    app.add_api_websocket_route("/ws", widget)
    app.add_api_websocket_route("/", frames)
    app.include_router(OperationRoutes(settings).router())
    app.include_router(ApiRoutes(settings).router())
    app.include_router(page.router())
    for error in (ApiError, NoSuchTalk, RequestValidationError, HTTPException, VisavisError):
        app.add_exception_handler(error, refuse)
    app.include_router(FaceRoutes(settings, STATIC, recording).router())
    if cast.own is not None:
        Head.load(cast.own)  # it says what is wrong with it before anybody comes
        app.include_router(HeadRoutes(cast.first, cast.own).router())
    app.mount("/avatars", StaticFiles(directory=FOLDER))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _animator(faces: Faces | FaceProcess) -> Animator:
    """A thread moves the faces, or asks their process to."""
    if isinstance(faces, FaceProcess):
        return Animator(Lane("face"), faces.move, faces.another)
    return Animator(Lane("face"), another=partial(Lane, "face"))


async def _load(settings: Settings) -> tuple[Any, Faces | FaceProcess, Knowledge | None]:
    """Load the agent, the face and what is to be known side by side."""
    loaded: dict[str, Any] = {}

    def agent() -> None:
        loaded["agent"] = plugins.load("agents", settings.agent, settings)

    def faces() -> None:
        loaded["faces"] = load_faces(settings)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, agent)
        tasks.start_soon(anyio.to_thread.run_sync, faces)
        library = await anyio.to_thread.run_sync(load_knowledge, settings)
    return loaded["agent"], loaded["faces"], library


def _traces(settings: Settings) -> Traces | None:
    if not settings.traces.url:
        return None
    from visavis import tracing  # an extra that is needed only now

    return tracing.load(settings)


async def _join(app: FastAPI, tasks: TaskGroup) -> Directory | None:
    """The directory of the servers that this one is one of, if it is."""
    if (hops := app.state.auth.hops) is None:
        return None
    from visavis.server.directory import Directory, Replica  # an extra that is needed only now
    from visavis.server.relay import Relay

    directory = Directory(app.state.settings.redis, Replica(hops.name, app.state.address))
    await tasks.start(directory.keep)
    app.state.relay = Relay()
    return directory


async def _connect_servers(settings: Settings, tools: Toolbox, tasks: TaskGroup) -> list[McpServer]:
    """Have the tools of the MCP servers in the toolbox; one that is not there yet is tried again."""
    if not settings.mcp:
        return []
    from visavis.tools import mcp  # an extra that is needed only now

    servers = mcp.load(settings, tools)
    async with anyio.create_task_group() as starting:
        for server in servers:
            starting.start_soon(tasks.start, server.run)
    return servers


async def root(request: Request) -> Response:
    """The page for browsers, a few facts for programs."""
    vary = {"Vary": "Accept", "Cache-Control": "no-cache"}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_page(request.app.state.settings, request.app.state.cast.first), headers=vary)
    app = request.app
    facts = {
        "name": "visavis",
        "version": visavis.__version__,
        "status": "running",
        "agent": app.state.sessions.parts.agent.status(),
        "avatar": app.state.cast.first,
        "avatars": sorted(app.state.cast.heads),
    }
    return JSONResponse(facts, headers=vary)


def _page(settings: Settings, avatar: str) -> str:
    """The page, with what it has to know on its body."""
    told = {
        "api-base": settings.server.api_base,
        "avatar": avatar,
        "muse-mode": settings.muse.mode,
    }
    attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in told.items())
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    return page.replace("<body>", f"<body {attributes}>", 1)


async def health(request: Request) -> Response:
    """200 when all required parts work, otherwise 503 with the reasons."""
    state = request.app.state
    agent, faces = state.sessions.parts.agent.status(), state.faces.status()
    known = state.library.status() if state.library is not None else {}
    stored = state.store.status() if state.store is not None else {}
    animator = state.sessions.parts.animator
    problems = [problem for part in (agent, faces, known, stored) for problem in part.get("problems", [])]
    problems += animator.problems
    body = {
        "ok": not problems,
        "status": "unhealthy" if problems else "healthy",
        "version": visavis.__version__,
        "uptime_s": round(time.monotonic() - state.started, 1),
        "sessions": len(state.sessions),
        "agent": agent,
        "face": faces | {"worker": animator.status()},
        "knowledge": known or None,
        "conversations": stored or None,
        "tools": {
            "names": [tool.name for tool in state.sessions.parts.tools.declared],
            "problems": [server.problem for server in state.mcp if server.problem],
        },
        "problems": problems,
    }
    return JSONResponse(body, 503 if problems else 200, headers={"Cache-Control": "no-store"})


async def widget(socket: WebSocket) -> None:
    """`WS /ws`: a conversation in the widget dialect."""
    app = socket.app
    limit = app.state.settings.server.max_message_bytes
    await Connection(socket, app.state.sessions, limit).run()


async def frames(socket: WebSocket) -> None:
    """`WS /`: a conversation in the dialect of frames."""
    app = socket.app
    avatar = socket.query_params.get("avatar") or app.state.cast.first
    record = socket.query_params.get("record") == "true"
    await FramesConnection(socket, app.state.talks, avatar, record=record).run()
