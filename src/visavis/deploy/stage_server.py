"""One stage behind HTTP: a plug-in as a service of its own, for the handlers `remote` of other servers."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import numpy as np
import orjson
import structlog
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from visavis import plugins
from visavis.errors import ConfigurationError, VisavisError, for_people
from visavis.faces.context import ContextEngine
from visavis.settings import Settings
from visavis.stages import CastTextToSpeech, Speech, StreamedTextToSpeech
from visavis.stages import remote_wire as wire
from visavis.workers import Workers

MOST_WAITING = 64
"""Requests that may wait for the model; further ones are told to come back."""
MOST_VOICES = 32
"""Voices of avatars that are kept."""
_log = structlog.get_logger()
T = TypeVar("T")


class StageServer:
    """The plug-in that the settings choose for `kind`, and what may be asked of it."""

    def __init__(self, kind: str, settings: Settings) -> None:
        """Blocking: loads it. Raises as `plugins.load` does."""
        if kind not in wire.KINDS:
            raise ConfigurationError(f"There is no stage {kind!r} to serve: {', '.join(wire.KINDS)}.")
        face = kind == "face"
        self.kind, self.handler = kind, settings.face.engine if face else getattr(settings.stages, kind)
        if self.handler == "remote":
            key = "face.engine" if face else f"stages.{kind}"
            raise ConfigurationError(f"{key} is 'remote': there is nothing to serve here.")
        if face:
            self.engine: Any = _window_model(self.handler, settings)
        else:
            self.engine = plugins.load(kind, self.handler, settings)
        self.workers = Workers(1 if face else settings.server.workers)
        self._token = settings.remote_stages.token.get_secret_value()
        self._voices: dict[str, Any] = {"": self.engine}

    @property
    def hello(self) -> wire.Hello:
        engine = self.engine
        return wire.Hello(
            self.kind,
            self.handler,
            getattr(engine, "model", None),
            getattr(engine, "device", None),
            tuple(sorted(getattr(engine, "languages", ()))),
            getattr(engine, "detects", False),
            getattr(engine, "rate", 0),
            isinstance(engine, CastTextToSpeech),
        )

    def app(self) -> Starlette:
        answer = {
            "end_of_turn": self._end_of_turn,
            "asr": self._asr,
            "llm": self._llm,
            "tts": self._tts,
            "face": self._face,
        }[self.kind]
        routes = [
            Route("/hello", partial(self._guarded, self._greet), methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route(f"/{self.kind}", partial(self._guarded, answer), methods=["POST"]),
        ]

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            await plugins.close(self.engine)

        return Starlette(routes=routes, lifespan=lifespan)

    # -- requests --------------------------------------------------------------------------------------------
    async def _guarded(self, answer: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        said, ours = request.headers.getlist("authorization"), f"Bearer {self._token}".encode()
        if "origin" in request.headers:
            return _error(403, "FORBIDDEN", "A stage is for servers, not for pages.")
        if self._token and not (len(said) == 1 and hmac.compare_digest(said[0].encode(), ours)):
            return _error(401, "UNAUTHORIZED", "The secret is missing or wrong.")
        if len(self.workers.queue) >= MOST_WAITING:
            return _error(503, "STAGE_BUSY", f"The stage {self.kind!r} has too much to do.")
        try:
            return await answer(request)
        except ClientDisconnect:
            return Response(status_code=499)
        except (ValueError, ValidationError) as error:
            return _error(400, "BAD_REQUEST", str(error)[:300])
        except VisavisError as error:
            return _error(500, error.code, str(error))
        except Exception:
            _log.exception("the stage failed", kind=self.kind)
            return _error(500, "STAGE_FAILED", f"The stage {self.kind!r} failed; its log tells why.")

    async def _greet(self, request: Request) -> Response:
        return _json(self.hello)

    async def _health(self, request: Request) -> Response:
        problem = getattr(self.engine, "problem", None)
        return _json({"status": "ok" if problem is None else "failing", "kind": self.kind})

    async def _end_of_turn(self, request: Request) -> Response:
        audio = wire.samples(await _body(request))
        return _json({"probability": await self._run(request, self.engine, audio)})

    async def _asr(self, request: Request) -> Response:
        audio, language = wire.samples(await _body(request)), request.query_params.get("language")
        if language not in self.engine.languages:
            language = None
        return _json(await self._run(request, self.engine, audio, language))

    async def _llm(self, request: Request) -> Response:
        asked = wire.QUESTION.validate_json(await _body(request))
        return _stream(request, self._thought(asked), _patience(request))

    async def _tts(self, request: Request) -> Response:
        asked = wire.SAYING.validate_json(await _body(request))
        return _stream(request, self._said(asked, _due(request)), _patience(request))

    async def _face(self, request: Request) -> Response:
        samples = wire.samples(await _body(request))
        if not 0 < len(samples) <= wire.LONGEST_WINDOW or not np.isfinite(samples).all():
            raise ValueError(f"a window is sound of at most {wire.LONGEST_WINDOW} samples")
        weights = await self._run(request, self.engine, samples)
        return Response(wire.body(weights), media_type="application/octet-stream")

    async def _run(self, request: Request, call: Callable[..., T], *arguments: Any) -> T:
        """`call` in a thread, unless whoever asked leaves, or would have, while it waits for one."""
        due, patience = _due(request), _patience(request)
        found: T = await _unless_gone(request, self.workers.run(call, *arguments, due=due), patience)
        return found

    # -- answers in pieces -----------------------------------------------------------------------------------
    async def _thought(self, asked: wire.Question) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.engine.reply(asked.messages, asked.tools)) as pieces:
            async for piece in pieces:
                yield wire.written(wire.Line(text=piece) if isinstance(piece, str) else wire.Line(call=piece))

    async def _said(self, asked: wire.Saying, due: float) -> AsyncGenerator[bytes, None]:
        voice = await self._voice(asked.avatar)
        language = asked.language if asked.language in self.engine.languages else None
        if not isinstance(voice, StreamedTextToSpeech):
            speech: Speech = await self.workers.run(voice, asked.text, language, due=due)
            yield wire.spoken(speech)
            return
        async with aclosing(voice.stream(asked.text, language)) as pieces:
            async for speech in pieces:
                yield wire.spoken(speech)

    async def _voice(self, avatar: str) -> Any:
        if avatar not in self._voices and isinstance(self.engine, CastTextToSpeech):
            if len(self._voices) >= MOST_VOICES:
                return self.engine
            self._voices[avatar] = await self.workers.run(self.engine.of_avatar, avatar)
        return self._voices.get(avatar, self.engine)


def _window_model(name: str, settings: Settings) -> Any:
    """What is in a face engine that hears windows. Raises `ConfigurationError`."""
    engine = plugins.load("faces", name, settings)
    if not isinstance(engine, ContextEngine):
        raise ConfigurationError(
            f"face.engine {name!r} remembers what it heard, or draws, and cannot be served; 'wav2arkit' and "
            "'lam' can."
        )
    return engine.mover


def _due(request: Request) -> float:
    """When the answer is needed, by the loop's clock. Raises `ValueError`."""
    return asyncio.get_running_loop().time() + wire.seconds(request.headers.get(wire.DUE, "0"))


def _patience(request: Request) -> float:
    """Seconds after which nobody waits for the answer. Raises `ValueError`."""
    return wire.seconds(request.headers.get(wire.PATIENCE, str(wire.MOST_SECONDS)))


def _stream(request: Request, pieces: AsyncGenerator[bytes, None], patience: float) -> Response:
    async def answered() -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(pieces):
                while (piece := await _unless_gone(request, anext(pieces, None), patience)) is not None:
                    yield piece
            yield wire.written(wire.Line(end=True))
        except ClientDisconnect:
            return
        except Exception as error:
            said = for_people(error)
            if said is None:
                _log.exception("the stage failed")
                said = VisavisError("STAGE_FAILED", "The stage failed; its log tells why.")
            yield wire.written(wire.Line(error=(said.code, str(said))))

    return StreamingResponse(answered(), media_type="application/octet-stream")


async def _unless_gone(request: Request, work: Any, patience: float) -> Any:
    """What `work` returns; raises `ClientDisconnect` when whoever asked has left before, and `VisavisError`
    when it takes longer than their patience."""
    found: list[Any] = []
    failed: list[Exception] = []
    gone = False
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal gone
            while (await request.receive())["type"] != "http.disconnect":
                pass
            gone = True
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        tasks.cancel_scope.deadline = anyio.current_time() + patience
        try:
            found.append(await work)
        except Exception as error:  # not out of here, where it would become a group
            failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    if not found and not gone:
        raise VisavisError("STAGE_LATE", "The stage has too much to do: nobody waits for this any more.")
    if not found:
        raise ClientDisconnect
    return found[0]


async def _body(request: Request) -> bytes:
    """Raises `ValueError` when it is too large."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > wire.LARGEST_REQUEST:
            raise ValueError(f"a request may have {wire.LARGEST_REQUEST >> 20} MiB")
    return bytes(body)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _error(status: int, code: str, message: str) -> Response:
    return _json({"error": {"code": code, "message": message}}, status)
