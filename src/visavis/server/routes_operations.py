"""For those who run the server: `/ready`, and `/metrics` for Prometheus or, as JSON, what happens now."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric

import visavis
from visavis.deadlines import Deadlines
from visavis.metrics import Metrics, counter, gauge, percentile
from visavis.server.api_errors import RETRY_AFTER
from visavis.settings import Settings
from visavis.video.degrade import Quality

if TYPE_CHECKING:
    from visavis.server.directory import Directory  # an extra
    from visavis.server.relay import Relay


class OperationRoutes:
    """The handlers. What they read is there once the application has started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def router(self) -> APIRouter:
        router = APIRouter()
        methods = ["GET", "HEAD"]
        router.add_api_route("/ready", ready, methods=methods, include_in_schema=False)
        if self._settings.metrics.enabled:
            router.add_api_route("/metrics", metrics, methods=methods, include_in_schema=False)
        return router


async def ready(request: Request) -> Response:
    """200 when another conversation can begin here, otherwise 503 with the reason."""
    sessions = request.app.state.sessions
    reason = "stopping" if sessions.draining else "full" if sessions.full else None
    body = {
        "ready": reason is None,
        "reason": reason,
        "sessions": len(sessions),
        "max_sessions": sessions.limit,
    }
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(RETRY_AFTER)} if reason else {})
    return JSONResponse(body, 503 if reason else 200, headers=headers)


async def metrics(request: Request) -> Response:
    """Prometheus' text format; with `Accept: application/json` the live sessions and their latencies."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse(live(request.app), headers=headers)
    counters: Metrics = request.app.state.metrics
    return Response(counters.text(), media_type=CONTENT_TYPE_LATEST, headers=headers)


def live(app: FastAPI) -> dict[str, Any]:
    """What happens now. Times are milliseconds unless a name says otherwise."""
    state, counters = app.state, app.state.metrics
    latency = {f"p{share}_ms": _ms(percentile(counters.latencies, share / 100)) for share in (50, 95)}
    sessions = [
        {
            "session": seat.session.id,
            "dialect": seat.dialect,
            "state": seat.session.state,
            "away": seat.expiry is not None,
            "age_s": round(time.monotonic() - seat.since, 1),
            "turn": seat.session.turn,
            "ledger": counters.last.get(seat.session.id, {}),
        }
        for seat in state.sessions
    ]
    return {
        "version": visavis.__version__,
        "uptime_s": round(time.monotonic() - state.started, 1),
        "draining": state.sessions.draining,
        "max_sessions": state.sessions.limit,
        "sessions": sessions,
        "turns": {"recent": len(counters.latencies), **latency},
        "frames": counters.frames,
        "outbox_bytes": sum(state.lines.waiting()),
        "stages": _stages(app),
        "queues": {name: queue.status() for name, queue in _waiting(app).items()},
        "pictures": state.pictures.status(),
    }


def figures(app: FastAPI) -> Iterable[Metric]:
    """What the parts of the server count themselves, read when somebody asks."""
    state, sessions, lines = app.state, app.state.sessions, app.state.lines
    now = Counter((seat.dialect, seat.session.state) for seat in sessions)
    yield gauge("visavis_build", "Always 1; the version is a label.", {(visavis.__version__,): 1}, "version")
    yield gauge("visavis_uptime_seconds", "Since it was loaded.", {(): time.monotonic() - state.started})
    yield gauge("visavis_tasks", "Of the event loop.", {(): len(asyncio.all_tasks())})
    yield gauge("visavis_sessions", "Conversations now.", now, "dialect", "state")
    yield gauge("visavis_sessions_limit", "Most conversations at a time.", {(): sessions.limit})
    opened = {(dialect,): count for dialect, count in sessions.opened.items()}
    yield counter("visavis_sessions_opened", "Conversations that began.", opened, "dialect")
    yield gauge("visavis_draining", "1 while the server is about to stop.", {(): sessions.draining})
    yield counter("visavis_frames", "Frames of avatars that were sent.", {(): state.metrics.frames})
    pressure = sessions.pressure
    yield gauge("visavis_busy", "1 while it is too busy for anybody new.", {(): sessions.busy})
    yield gauge("visavis_loop_lag_seconds", "How late the event loop is.", {(): pressure.loop.last})
    yield gauge("visavis_face_wait_seconds", "How long faces wait to be moved.", {(): pressure.faces.last})
    yield from _connections(lines.waiting(), lines.problems)
    redis = state.auth.redis
    down = redis is not None and not redis.reachable
    yield gauge("visavis_redis_down", "1 while cluster.redis is set and nothing answers there.", {(): down})
    lost = {(): 0 if redis is None else redis.losses}
    yield counter("visavis_redis_losses", "Times that it went away.", lost)
    yield from _cluster(state.directory, state.relay)
    yield from _queues(_waiting(app))
    threads = {"face": sessions.parts.animator.left, **state.brain.stuck()}
    stuck = {(name,): count for name, count in threads.items()}
    yield gauge("visavis_stuck_threads", "Those with a model that does not return.", stuck, "queue")
    yield from _models(_stages(app))
    pictures = state.pictures.status()
    quality = {(): Quality[pictures["quality"].upper()]}
    yield gauge("visavis_picture_quality", "What is given up: 0 nothing, 3 all but one picture.", quality)
    yield gauge("visavis_picture_load", "Share of the drawing thread's time.", {(): pictures["load"]})
    left_out = {(): pictures["left_out"]}
    yield counter("visavis_pictures_left_out", "Pictures that would have been late.", left_out)


def _cluster(directory: Directory | None, relay: Relay | None) -> Iterable[Metric]:
    """What goes on between servers; all 0 where there is one."""
    servers = 1 if directory is None else len(directory.servers)
    yield gauge("visavis_servers", "That are there, as far as this one knows.", {(): servers})
    calls, failures = (0, 0) if relay is None else (relay.calls, relay.failures)
    yield counter("visavis_passed_on", "Calls that were passed on to another server.", {(): calls})
    about = "Calls that did not reach another server, or whose answer broke off."
    yield counter("visavis_passed_on_failed", about, {(): failures})
    taken, lost = (0, 0) if directory is None else (directory.carried, directory.lost)
    yield counter("visavis_taken_over", "Conversations that came from other servers.", {(): taken})
    yield counter("visavis_taken_away", "Conversations that another server took from this one.", {(): lost})


def _connections(waiting: list[int], problems: Counter[str]) -> Iterable[Metric]:
    yield gauge("visavis_connections", "Open WebSockets.", {(): len(waiting)})
    yield gauge("visavis_outbox_bytes", "That wait to be sent, of all connections.", {(): sum(waiting)})
    fullest = {(): max(waiting, default=0)}
    yield gauge("visavis_outbox_fullest_bytes", "That wait for the slowest client.", fullest)
    refused = {(code,): count for code, count in problems.items()}
    yield counter("visavis_refused_messages", "Messages of clients that were wrong.", refused, "code")


def _waiting(app: FastAPI) -> dict[str, Deadlines[Any]]:
    """The queue of the face worker, and those of the models."""
    return {"face": app.state.sessions.parts.animator.queue, **app.state.brain.queues()}


def _queues(queues: dict[str, Deadlines[Any]]) -> Iterable[Metric]:
    calls = {(name,): queue.jobs for name, queue in queues.items()}
    yield counter("visavis_queue_calls", "Calls that went through a queue.", calls, "queue")
    waited = {(name,): queue.waited for name, queue in queues.items()}
    yield counter("visavis_queue_waited", "Those that had to wait.", waited, "queue")
    seconds = {(name,): queue.wait_seconds for name, queue in queues.items()}
    yield counter("visavis_queue_wait_seconds", "How long they waited, in all.", seconds, "queue")
    length = {(name,): len(queue) for name, queue in queues.items()}
    yield gauge("visavis_queue_length", "Jobs that wait now.", length, "queue")


def _stages(app: FastAPI) -> dict[str, dict[str, Any]]:
    """Every model, the faces and the pictures, in figures."""
    state = app.state
    return {**state.brain.status(), "avatar": state.faces.figures(), "pictures": state.pictures.figures()}


def _models(stages: dict[str, dict[str, Any]]) -> Iterable[Metric]:
    calls = {(name,): known["calls"] for name, known in stages.items()}
    yield counter("visavis_stage_calls", "Calls of a model, or pictures that were drawn.", calls, "stage")
    errors = {(name,): known["errors"] for name, known in stages.items()}
    yield counter("visavis_stage_errors", "Those that failed.", errors, "stage")
    times = {
        (name, str(share / 100)): known[f"p{share}_ms"] / 1000
        for name, known in stages.items()
        for share in (50, 95)
        if known[f"p{share}_ms"] is not None
    }
    about = "How long the last calls of a model took."
    yield gauge("visavis_stage_recent_seconds", about, times, "stage", "quantile")


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
