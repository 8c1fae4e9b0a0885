"""The page dialect: chat in text or recordings, and the reply as video, streamed or as a file.

Source: docs/protocols.md. The language model, the ears and the voice are the embedded agent's, whoever
answers on the other dialects.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import anyio
import httpx2
import numpy as np
import structlog
from fastapi import APIRouter, Header, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from visavis import events as ev
from visavis.audio import Media, to_float
from visavis.cast import FORMER_DEFAULT, Cast
from visavis.memory import Memory
from visavis.security.callers import caller
from visavis.server.api_errors import ApiError
from visavis.server.api_models import Source, like
from visavis.server.brain import Brain
from visavis.server.described import BINARY, RECORDING, Responses, answers, problems, takes
from visavis.server.streams import video
from visavis.server.talks import NoSuchTalk, Talk, Talks
from visavis.server.uploads import decoded, recording
from visavis.server.waiting import taking_all
from visavis.settings import MuseSettings, Settings
from visavis.stages import LISTEN_RATE, Message
from visavis.stages.looked_up import said_before, told
from visavis.track import Track
from visavis.video.film import write_film
from visavis.wires import cited

MAX_FILES = 50
"""Video files that are kept at a time; the oldest goes first."""
MOST_TEXTS = 8
"""Texts that may wait for somebody to watch."""
LARGEST_PIECE = 8 << 20
"""Bytes of one message of another service's stream."""
LARGEST_BODY = 64 << 10
"""Bytes of a question in text."""
CONNECT_SECONDS = 10.0
M = TypeVar("M", bound=BaseModel)
_MEDIA_TYPE = 'video/webm; codecs="vp8,opus"'
_PASSED_ON = ("content-type", "content-length", "content-range", "accept-ranges")
_SESSION = "5f2d7a60-3c1e-4f7b-9a53-0d8e6f1b2c94"
_log = structlog.get_logger()


class Begin(BaseModel):
    """A session; whose face it is can be said now, or with the first text."""

    model_config = like({"avatarId": "mia"}, extra="forbid")
    avatarId: str | None = Field(None, max_length=40, description="Whose face it is.")  # noqa: N815 (the dialect's names)
    record: bool = Field(False, description="Record it, where the server does; the visitor has agreed.")


class Began(BaseModel):
    """A session has begun."""

    model_config = like({"sessionId": _SESSION})
    sessionId: str = Field(description="Names it in the other calls.")  # noqa: N815
    recorded: bool = Field(False, description="Whether it is being recorded.")


class Chat(BaseModel):
    """A question in text."""

    model_config = like({"text": "How are you?"}, {"text": "And you?", "sessionId": _SESSION}, extra="forbid")
    text: str = Field(min_length=1, max_length=4000, pattern=r"\S", description="What the user says.")
    sessionId: str | None = Field(  # noqa: N815
        None, max_length=64, description="The session whose conversation it belongs to."
    )


class Answer(BaseModel):
    """The reply in text."""

    model_config = like({"reply": "I am well, thank you."})
    reply: str = Field(description="What the language model answers.")
    text: str | None = Field(None, description="What was understood of a recording.")
    sources: list[Source] = Field([], description="What the reply draws on, if it does.")


class Start(BaseModel):
    """A text to be spoken."""

    model_config = like({"sessionId": _SESSION, "avatarId": "mia", "text": "I am well."}, extra="forbid")
    sessionId: str = Field(max_length=64, description="The session that says it.")  # noqa: N815
    avatarId: str | None = Field(None, max_length=40, description="Whose face it is.")  # noqa: N815
    text: str = Field(min_length=1, max_length=4000, pattern=r"\S", description="What is said.")


class Started(BaseModel):
    """Where the video of it is."""

    model_config = like({"mode": "mse", "url": f"/api/muse/stream/{_SESSION}"})
    mode: Literal["mse", "file"] = Field(description="A stream for MediaSource, or a file.")
    url: str = Field(description="Where it is, on this server.")


@dataclass
class Visit:
    """What the page's calls know of a session."""

    memory: Memory
    texts: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_TEXTS))
    """To be said as soon as somebody watches."""
    asked: tuple[str, str] = ("", "")
    """The avatar and the text that another service is to show."""

    def facts(self) -> dict[str, Any]:
        """What it takes to go on with it at another server."""
        said = [(line.role, line.text) for line in self.memory.messages() if line.role != "system"]
        return {"said": said, "texts": list(self.texts), "asked": self.asked}


class PageRoutes:
    """The handlers. `brain` and `talks` are there once the application has started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._visits: WeakKeyDictionary[Talk, Visit] = WeakKeyDictionary()
        self._files: OrderedDict[str, tuple[Path, str]] = OrderedDict()
        """With their owners."""
        self._folder: TemporaryDirectory[str] | None = None
        self._filming = anyio.CapacityLimiter(1)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", tags=["page"])
        add = router.add_api_route
        add(
            "/session",
            self.session,
            methods=["POST"],
            response_model_exclude_defaults=True,
            responses=problems(422, 503),
        )
        add(
            "/openai/chat",
            self.chat,
            methods=["POST"],
            response_model=Answer,
            response_model_exclude_none=True,
            responses=problems(404, 410, 413, 415, 422, 502, 504),
            openapi_extra=takes({"application/json": {"schema": Chat.model_json_schema()}} | RECORDING),
        )
        add("/muse/start", self.start, methods=["POST"], responses=problems(404, 410, 422, 504))
        add(
            "/muse/stream/{session_id}",
            self.stream,
            methods=["GET"],
            response_class=StreamingResponse,
            responses=problems(404, 410, 422, 502) | answers("The stream.", {"video/webm": BINARY}),
        )
        part: Responses = {206: {"description": "The part asked for.", "content": {"video/webm": BINARY}}}
        add(
            "/muse/file/{name}",
            self.file,
            methods=["GET"],
            response_class=FileResponse,
            responses=problems(404, 410, 422, 502) | part | answers("The file.", {"video/webm": BINARY}),
        )
        add("/muse/file/{name}", self.file, methods=["HEAD"], include_in_schema=False)
        router.add_api_websocket_route("/muse/stream/{session_id}", self.socket)
        return router

    def close(self) -> None:
        """Delete the files."""
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    # -- talking -------------------------------------------------------------------------------------------
    async def session(self, request: Request, begin: Begin | None = None) -> Began:
        """Begin a session."""
        wanted = begin or Begin()
        talk = await self._open(request, _avatar(request, wanted.avatarId), wanted.record)
        return Began(sessionId=talk.id, recorded=talk.seat.session.recorded)

    async def chat(self, request: Request) -> Response:
        """A reply in text: to `{"text": ...}`, or to a recording as the body (MediaRecorder's pieces,
        joined). With a `sessionId`, in the body or the query, the conversation is remembered."""
        brain: Brain = request.app.state.brain
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind in ("", "application/json"):
            said = await _read(Chat, request)
            text, session = said.text, said.sessionId
            heard = None
        else:
            content, kind = await recording(request)
            pcm = await anyio.to_thread.run_sync(decoded, content, kind, LISTEN_RATE)
            asr = await anyio.to_thread.run_sync(brain.asr)
            listen = brain.meters["asr"].timed(asr)
            heard = text = (await brain.workers.run(listen, to_float(pcm), None)).text
            session = request.query_params.get("sessionId")
            if not text:
                raise ApiError("NOTHING_HEARD", "There are no words in the recording.")
        talk = None if session is None else _talks(request).get(session, caller(request), any=True)
        memory = self._new_memory() if talk is None else self._visit(talk).memory
        llm = await anyio.to_thread.run_sync(brain.llm)
        messages, library = [*memory.messages(), Message("user", text)], request.app.state.library
        found: tuple[ev.Source, ...] = ()
        if library is not None:
            found = await brain.workers.run(library.search, text, said_before(messages))
        answer = llm.reply(told(messages, found))
        pieces = [piece async for piece in brain.meters["llm"].to_first(answer)]
        reply = "".join(piece for piece in pieces if isinstance(piece, str)).strip()
        memory.user(text)
        memory.assistant(reply)
        if talk is not None:
            self._note(_talks(request), talk)
        return JSONResponse({"reply": reply} | ({} if heard is None else {"text": heard}) | cited(found))

    # -- video ---------------------------------------------------------------------------------------------
    async def start(self, request: Request, start: Start) -> Started:
        """Have a text spoken: the answer says where to watch."""
        talk = _talks(request).get(start.sessionId, caller(request), any=True)
        visit, muse = self._visit(talk), self._settings.muse
        avatar = _avatar(request, start.avatarId) if start.avatarId else talk.avatar
        if not (muse.stream_url if muse.mode == "mse" else muse.file_url):
            await _talks(request).recast(talk, avatar)
        visit.asked = (start.avatarId or avatar, start.text)
        self._note(_talks(request), talk)
        if muse.mode == "file":
            return Started(mode="file", url=f"/api/muse/file/{await self._film(request, talk, start.text)}")
        if not muse.stream_url:
            self._say(_talks(request), talk, start.text)
        return Started(mode="mse", url=f"/api/muse/stream/{talk.id}")

    async def stream(self, request: Request, session_id: str) -> Response:
        """The session as an endless WebM."""
        talk = _talks(request).get(session_id, caller(request), any=True)
        talks = _talks(request)
        pieces = self._watched(talks, talk, await self._pieces(talks, talk))
        first = await anext(pieces, b"")  # what keeps it from beginning is told instead of a stream

        async def all_of_them() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        return StreamingResponse(all_of_them(), media_type=_MEDIA_TYPE)

    async def socket(self, socket: WebSocket, session_id: str) -> None:
        """The same over a WebSocket, a segment in each message."""
        talks: Talks = socket.app.state.talks
        await socket.accept()
        try:
            talk = talks.get(session_id, caller(socket), any=True)
        except NoSuchTalk:
            await socket.close(1008, "there is no such session")
            return
        pieces = await self._pieces(talks, talk)
        end, reason = 1000, ""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, socket, tasks.cancel_scope)
                try:
                    async for piece in self._watched(talks, talk, pieces):
                        await socket.send_bytes(piece)
                except ApiError as error:
                    end, reason = 1011, f"{error.code}: {error}"
                tasks.cancel_scope.cancel()
            await socket.close(end, reason)
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client is gone

    async def file(
        self,
        request: Request,
        name: str,
        range: Annotated[str | None, Header(description="The part that is wanted.")] = None,
    ) -> Response:
        """A whole reply as a video file; parts of it with `Range`."""
        if self._settings.muse.file_url:
            talk = _talks(request).get(name, caller(request), any=True)
            return await self._fetched(talk, request.method, range)
        path, owner = self._files.get(name, (None, ""))
        if path is None or not caller(request).may_see(owner):
            raise ApiError("NO_SUCH_FILE", "There is no such file, or its time is over.")
        return FileResponse(path, media_type="video/webm")

    # -- inside --------------------------------------------------------------------------------------------
    async def _open(self, request: Request, avatar: str, record: bool) -> Talk:
        reader = await anyio.to_thread.run_sync(request.app.state.brain.reader)
        media = Media(fps=self._settings.video.fps)
        return _talks(request).create(
            avatar,
            media=media,
            id=str(uuid.uuid4()),
            listed=False,
            agent=reader,
            dialect="page",
            owner=caller(request).subject,
            record=record,
        )

    def _visit(self, talk: Talk) -> Visit:
        """It, as another server has left it if there was one."""
        if talk not in self._visits:
            known = talk.metadata
            visit = Visit(self._new_memory(*starmap(Message, known.get("said", ()))))
            visit.texts.extend(known.get("texts", ()))
            avatar, text = known.get("asked", visit.asked)
            visit.asked = avatar, text
            self._visits[talk] = visit
        return self._visits[talk]

    def _note(self, talks: Talks, talk: Talk) -> None:
        talk.metadata = self._visit(talk).facts()
        talks.note(talk)

    def _new_memory(self, *history: Message) -> Memory:
        assistant = self._settings.assistant
        return Memory(assistant.instructions, assistant.memory_turns, history=history)

    def _say(self, talks: Talks, talk: Talk, text: str) -> None:
        """Now if somebody watches, otherwise when somebody does."""
        if talk.stream is not None and talk.stream.watched:
            talk.seat.session.feed(ev.UserText(text))
        else:
            self._visit(talk).texts.append(text)
            self._note(talks, talk)

    async def _pieces(self, talks: Talks, talk: Talk) -> AsyncIterator[bytes]:
        return self._elsewhere(talk) if self._settings.muse.stream_url else video(await talks.stream(talk))

    async def _watched(self, talks: Talks, talk: Talk, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """`pieces`, and with the first of them whatever waited to be said."""
        async for piece in pieces:
            yield piece
            texts = self._visit(talk).texts
            if texts:
                talk.seat.session.feed(ev.UserText(" ".join(texts)))
                texts.clear()
                self._note(talks, talk)

    async def _film(self, request: Request, talk: Talk, text: str) -> str:
        """Make a video file of `text`; returns its name."""
        if self._settings.muse.file_url:
            return talk.id
        with taking_all(talk) as collector:
            talk.seat.session.feed(ev.UserText(text))
            await collector.wait()
        if collector.problem is not None or not collector.weights:
            problem = collector.problem or ev.Problem("VOICE_SILENT", "There was nothing to say.")
            raise ApiError(problem.code, problem.message)
        renderer = await request.app.state.pictures.renderer(talk.avatar)
        track = Track(talk.media.fps, np.array(collector.weights, np.float32))
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="visavis-")
        path = Path(self._folder.name) / f"{talk.id}.{uuid.uuid4().hex}.webm"  # by which it is found
        pcm, drawings = bytes(collector.pcm), collector.drawings
        await anyio.to_thread.run_sync(
            lambda: write_film(path, track, [pcm], talk.media.rate, renderer, drawings=drawings),
            limiter=self._filming,
        )
        self._files[path.name] = path, talk.seat.owner
        while len(self._files) > MAX_FILES:
            self._forget(next(iter(self._files)))
        request.app.state.tasks.start_soon(self._forget_later, path.name)
        return path.name

    async def _forget_later(self, name: str) -> None:
        await anyio.sleep(self._settings.muse.file_minutes * 60)
        self._forget(name)

    def _forget(self, name: str) -> None:
        if (kept := self._files.pop(name, None)) is not None:
            kept[0].unlink(missing_ok=True)

    # -- another service ------------------------------------------------------------------------------------
    def _question(self, talk: Talk) -> dict[str, str]:
        avatar, text = self._visit(talk).asked
        return {"sessionId": talk.id, "avatarId": avatar, "text": text}

    async def _elsewhere(self, talk: Talk) -> AsyncIterator[bytes]:
        """The stream of the other service; it ends when that one does. Raises `ApiError`."""
        url = httpx2.URL(self._settings.muse.stream_url).copy_merge_params(self._question(talk))
        try:
            async with connect(str(url), max_size=LARGEST_PIECE, open_timeout=CONNECT_SECONDS) as upstream:
                async for piece in upstream:
                    if isinstance(piece, bytes):
                        yield piece
        except (OSError, TimeoutError, WebSocketException) as error:
            raise _unreachable(error) from None

    async def _fetched(self, talk: Talk, method: str, part: str | None) -> Response:
        """The file of the other service, or the part of it that is asked for; its headers for `HEAD`."""
        client = httpx2.AsyncClient(timeout=httpx2.Timeout(60, connect=CONNECT_SECONDS))
        headers = {"Accept-Encoding": "identity"} | ({"Range": part} if part else {})
        try:
            asked = client.build_request(
                method, self._settings.muse.file_url, params=self._question(talk), headers=headers
            )
            answer = await client.send(asked, stream=True)
        except httpx2.HTTPError as error:
            await client.aclose()
            raise _unreachable(error) from None
        if answer.status_code not in (200, 206, 416):
            await answer.aclose()
            await client.aclose()
            raise ApiError("MUSE_FAILED", f"The video service has answered with {answer.status_code}.")

        async def body() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()
                await client.aclose()

        kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
        return StreamingResponse(body(), answer.status_code, headers=kept)


def _talks(request: Request) -> Talks:
    talks: Talks = request.app.state.talks
    return talks


def _avatar(request: Request, name: str | None) -> str:
    cast: Cast = request.app.state.cast
    muse: MuseSettings = request.app.state.settings.muse
    if not name or name == FORMER_DEFAULT or muse.stream_url or muse.file_url:
        return cast.first  # another service knows its own
    if name not in cast:
        raise ApiError("BAD_AVATAR", f"avatarId: there is no avatar {name[:40]!r}.")
    return name


async def _read(model: type[M], request: Request) -> M:
    """The body as a `model`; it says what is wrong as other calls do."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            raise ApiError("TOO_LARGE", f"The body may have at most {LARGEST_BODY >> 10} kB.")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        details = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors(include_url=False)]
        raise RequestValidationError(details) from None


def _unreachable(error: Exception) -> ApiError:
    _log.warning("the video service cannot be used", reason=str(error))
    return ApiError("MUSE_UNREACHABLE", "The video service cannot be reached.")


async def _until_gone(socket: WebSocket, scope: anyio.CancelScope) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()
