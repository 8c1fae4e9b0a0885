"""The page `/face` and what it asks for: `POST /api/animate`, a recording in, its face out."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import quote

import anyio
import orjson
import structlog
from anyio import AsyncFile
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import ClientDisconnect

from visavis import exports
from visavis.cast import Cast
from visavis.errors import VisavisError, for_people
from visavis.exports import json_track
from visavis.server.described import BINARY, answers, problems, takes
from visavis.server.recordings import MAX_SECONDS, Animated, Engines, animate
from visavis.settings import Settings
from visavis.track import Track, check_fps
from visavis.track_stats import stats

WAITING = 8
"""Recordings that may wait for the one that is being animated."""
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "npz": "application/octet-stream",
    "glb": "model/gltf-binary",
}
STATUS = {
    "TOO_LARGE": 413,
    "TOO_LONG": 413,
    "NOT_MEDIA": 415,
    "BUSY": 503,
    "FACE_FAILED": 500,
    "INTERNAL": 500,
}
"""HTTP status of an error's code; 422 for the others."""
GONE = 499
"""Nobody is there to read this status."""
NAME_LENGTH = 120

_OFFER = {
    "application/json": {
        "schema": {"type": "object"},
        "example": {
            "engine": "net",
            "engines": ["net", "energy"],
            "formats": list(FORMATS),
            "maxBytes": 50 << 20,
            "maxSeconds": MAX_SECONDS,
            "recording": None,
        },
    }
}
_FACES = {kind.partition(";")[0]: BINARY for kind in FORMATS.values()} | {
    "application/json": {
        "schema": {"type": "object"},
        "example": {"engine": "net", "elapsed": 0.41, "stats": {}, "track": {"fps": 30}, "sound": None},
    }
}
_SENT = dict.fromkeys(("application/octet-stream", "audio/wav", "video/mp4"), BINARY)
_WISHES = [
    {"name": name, "in": "query", "description": description, "schema": {"type": "string"}, "example": value}
    for name, description, value in (
        ("engine", "Who moves the face.", "net"),
        ("fps", "Frames a second.", "30"),
        ("format", "The kind of file that is answered; the page's own form without.", "csv"),
        ("avatar", "Whose head a .glb has.", "mia"),
        ("name", "Of the file that is sent.", "question.wav"),
        ("recording", "Not empty: the file that the server was started with, instead of a body.", ""),
    )
]

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: `format` is a kind of file, or "" for what the page needs; `head` is for a .glb."""

    engine: str
    fps: float
    format: str
    head: Path
    name: str


class FaceRoutes:
    """The handlers, and the one thread that animates. `recording` is a file of this machine to begin with."""

    def __init__(self, settings: Settings, static: Path, recording: Path | None) -> None:
        self._settings, self._static, self._recording = settings, static, recording
        self._engines, self._cast = Engines(settings), Cast(settings.avatar)
        self._most = settings.limits.upload_megabytes << 20
        self._thread = anyio.CapacityLimiter(1)
        self._waiting = 0

    def router(self) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/face", self.page, methods=["GET", "HEAD"], include_in_schema=False)
        add = router.add_api_route
        offer = answers("What it takes.", _OFFER)
        add("/api/animate", self.offer, methods=["GET"], responses=offer, tags=["face"])
        add(
            "/api/animate",
            self.animate,
            methods=["POST"],
            responses=answers("The face.", _FACES) | problems(413, 415, 422, 500, 503),
            openapi_extra=takes(_SENT) | {"parameters": _WISHES},
            tags=["face"],
        )
        return router

    async def page(self) -> Response:
        return FileResponse(self._static / "face.html", headers={"Cache-Control": "no-cache"})

    async def offer(self) -> Response:
        """What `POST /api/animate` takes."""
        return JSONResponse(
            {
                "engine": self._engines.default,
                "engines": self._engines.names,
                "formats": list(FORMATS),
                "maxBytes": self._most,
                "maxSeconds": MAX_SECONDS,
                "recording": self._recording.name if self._recording else None,
            },
            headers={"Cache-Control": "no-store"},
        )

    async def animate(self, request: Request) -> Response:
        """The face of the audio or video file in the body.

        In the query: `engine`, `fps`, the `name` of the file, and `format` (csv, json, jsonl, npz, or glb and
        its `avatar`) to be answered with that file, otherwise with the track, its sound and its numbers.
        With `recording=1` and no body: the file that the server was started with. Errors are
        `{code, message}`.
        """
        try:
            order = self._order(request.query_params)
            if request.query_params.get("recording"):
                return await self._answer(request, order, self._own())
            with TemporaryDirectory() as folder:
                path = Path(folder, "recording")
                async with await anyio.open_file(path, "wb") as file:
                    await _receive(request, file, self._most)
                return await self._answer(request, order, path)
        except ClientDisconnect:
            return Response(status_code=GONE)
        except Exception as error:  # the caller is told in the form of all other errors
            return _refusal(error)

    def _order(self, query: Mapping[str, str]) -> Order:
        engine = query.get("engine") or self._engines.default
        self._engines.check(engine)
        fps = query.get("fps", "30")
        try:
            check_fps(float(fps))
        except ValueError:
            raise VisavisError("BAD_FPS", f"fps={fps} is not a number of frames a second.") from None
        format, avatar = query.get("format", ""), query.get("avatar") or self._cast.first
        if format and format not in FORMATS:
            raise VisavisError("BAD_FORMAT", f"A face can be had as {', '.join(FORMATS)}, not as {format!r}.")
        if avatar not in self._cast:
            raise VisavisError("BAD_AVATAR", f"There is no avatar {avatar!r}.")
        name = Path(query.get("name", "").replace("\\", "/")).name[-NAME_LENGTH:]
        head = self._cast.heads[avatar]
        return Order(engine, float(fps), format, head, name or "recording")

    def _own(self) -> Path:
        if self._recording is None:
            raise VisavisError("NO_RECORDING", "The server was started without a recording; send one.")
        return self._recording

    async def _answer(self, request: Request, order: Order, path: Path) -> Response:
        if self._waiting > WAITING:
            raise VisavisError("BUSY", "Many recordings are waiting already; try again in a minute.")
        self._waiting += 1
        try:
            content = await _unless_gone(request, lambda: self._work(order, path), self._thread)
        finally:
            self._waiting -= 1
        if content is None:
            return Response(status_code=GONE)
        if not order.format:
            return Response(content, media_type="application/json")
        file = quote(f"{Path(order.name).stem}.{order.format}")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{file}"}
        return Response(content, media_type=FORMATS[order.format], headers=headers)

    def _work(self, order: Order, path: Path) -> bytes:
        face = self._engines.load(order.engine)
        try:
            done = animate(path, face, order.fps, self._settings, anyio.from_thread.check_cancelled)
        except VisavisError as error:
            # The path is of no use to somebody who sent a file.
            raise VisavisError(error.code, str(error).replace(str(path), order.name)) from error
        track = replace(done.track, source=order.name)
        if not order.format:
            return document(replace(done, track=track))
        return file_of(track, order)


def document(done: Animated) -> bytes:
    """What the page needs: the track as in a .json file, its sound as PCM16, and its numbers."""
    track, sound = done.track, done.track.sound
    file = io.BytesIO()
    json_track.write(track, file)
    return orjson.dumps(
        {
            "engine": done.engine,
            "elapsed": round(done.elapsed, 3),
            "stats": asdict(stats(track)),
            "track": orjson.Fragment(file.getvalue()),
            "sound": sound and {"rate": sound.rate, "pcm": b64encode(sound.pcm).decode()},
        }
    )


def file_of(track: Track, order: Order) -> bytes:
    head = order.head if order.format == "glb" else None
    file = io.BytesIO()
    exports.writer(Path(f"track.{order.format}"), head)(track, file)
    return file.getvalue()


async def _receive(request: Request, file: AsyncFile[bytes], most: int) -> None:
    """The body into `file`. Raises `VisavisError` when there is none or it has more than `most` bytes."""
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= most:
            await file.write(piece)  # what is more is thrown away: most clients send all before they listen
    if size > most:
        raise VisavisError(
            "TOO_LARGE",
            f"The file is larger than {most >> 20} MB; send its sound alone, "
            "or use the command `visavis animate`, which has no limit.",
        )
    if not size:
        raise VisavisError("NO_SOUND", "The request has no file in it: send the recording as its body.")


async def _unless_gone(request: Request, work: Callable[[], T], limiter: anyio.CapacityLimiter) -> T | None:
    """The result of `work` in a thread; it is given up, and the result None, when the client leaves."""
    result: T | None = None

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        result = await anyio.to_thread.run_sync(work, limiter=limiter)
        tasks.cancel_scope.cancel()
    return result


def _refusal(error: Exception) -> JSONResponse:
    known = for_people(error)
    if known is None:
        _log.error("a recording could not be animated", exc_info=error)
        known = VisavisError("INTERNAL", "Something went wrong inside the server; its log says what.")
    return JSONResponse({"code": known.code, "message": str(known)}, STATUS.get(known.code, 422))
