"""The api dialect, `/api/v1`: sessions that are created over REST, written and spoken to, and followed.

Source: docs/protocols.md. Errors are `{code, message}`, with `fields` for a body or query that is wrong.
"""

from __future__ import annotations

import asyncio
import base64
import io
import time
import wave
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import orjson
from fastapi import APIRouter, Depends, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse

import visavis
from visavis import events as ev
from visavis.arkit import NAMES
from visavis.audio import BYTES, Media
from visavis.conversations.exports import captions
from visavis.security.callers import caller
from visavis.server import api_models as models
from visavis.server.api_errors import ApiError
from visavis.server.api_socket import ApiConnection
from visavis.server.described import BINARY, RECORDING, Responses, answers, problems, takes
from visavis.server.hearing import hear
from visavis.server.listing import of_others
from visavis.server.signalling import SDP, connect
from visavis.server.streams import BOUNDARY, events, pictures, video
from visavis.server.talks import NoSuchTalk, Talk, Talks
from visavis.server.uploads import decoded, recording
from visavis.server.waiting import Collector, Understanding, following, taking_all
from visavis.settings import Settings
from visavis.wires import cited
from visavis.wires.api import turn_id

_CAPTIONS: dict[str, Any] = {
    "text/vtt": {
        "schema": {"type": "string"},
        "example": "WEBVTT\n\n00:00:01.250 --> 00:00:02.400\n<v Mia>How are you?\n",
    }
}
_PEER: Responses = {
    201: {
        "description": "The answer, with every candidate in it.",
        "content": {SDP: {"schema": {"type": "string"}, "example": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"}},
        "headers": {"Location": {"description": "DELETE ends the peer.", "schema": {"type": "string"}}},
    }
}
ENDING = 5.0
"""Seconds that the end of a session is waited for."""
_LIVE = {
    "video/webm": BINARY,
    "multipart/x-mixed-replace": BINARY,
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": 'event: state\ndata: {"state":"speaking"}\n\n',
    },
}
_REPLY: Responses = {200: {"model": models.Reply, "description": "The reply (with `wait`)."}}


Waits = Annotated[bool, Query(description="Answer with the whole reply.")]


class Answer(Response):
    media_type = SDP


class ApiRoutes:
    """The handlers. `talks` is there once the application has started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started = time.monotonic()
        self._decoding = anyio.CapacityLimiter(2)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", tags=["api"])
        add = router.add_api_route
        one, full = problems(404, 410, 422), problems(503)
        add("/sessions", self.create, methods=["POST"], status_code=201, responses=problems(422) | full)
        add("/sessions", self.index, methods=["GET"], responses=problems(422, 503))
        add("/sessions/{session_id}", self.read, methods=["GET"], responses=one)
        add("/sessions/{session_id}", self.change, methods=["PATCH"], responses=one)
        add("/sessions/{session_id}", self.end, methods=["DELETE"], status_code=204, responses=one)
        add(
            "/sessions/{session_id}/captions",
            self.captions,
            methods=["GET"],
            response_class=Response,
            responses=one | answers("The captions.", _CAPTIONS),
        )
        add(
            "/sessions/{session_id}/text",
            self.text,
            methods=["POST"],
            status_code=202,
            response_model=models.Accepted,
            responses=_REPLY | one | problems(504),
        )
        add(
            "/sessions/{session_id}/audio",
            self.audio,
            methods=["POST"],
            status_code=202,
            response_model=models.Heard,
            responses=_REPLY | one | problems(409, 413, 415, 504),
            openapi_extra=takes(RECORDING),
        )
        add(
            "/sessions/{session_id}/avatar",
            self.avatar,
            methods=["GET"],
            response_class=StreamingResponse,
            responses=one | answers("The live stream.", _LIVE),
        )
        add(
            "/sessions/{session_id}/webrtc",
            self.webrtc,
            methods=["POST"],
            status_code=201,
            response_class=Response,
            responses=one | problems(413, 415, 501, 502) | _PEER,
            openapi_extra=takes({SDP: {"schema": {"type": "string"}}}),
        )
        add(
            "/sessions/{session_id}/webrtc/{peer_id}",
            self.webrtc_end,
            methods=["DELETE"],
            status_code=204,
            responses=one,
        )
        unwell: Responses = {503: {"model": models.Health, "description": "Something does not work."}}
        add("/health", self.health, methods=["GET"], response_model=models.Health, responses=unwell)
        add("/health", self.health, methods=["HEAD"], include_in_schema=False)
        add("/pipeline/status", self.pipeline, methods=["GET"], response_model=models.Status)
        router.add_api_websocket_route("/sessions/{session_id}/ws", self.socket)
        return router

    # -- sessions ------------------------------------------------------------------------------------------
    async def create(self, request: Request, wanted: models.NewSession | None = None) -> models.Session:
        """Begin a session. It ends when it is told to, or when nothing has happened in it for a while."""
        talks, wanted = _talks(request), wanted or models.NewSession()
        avatar = _known(request, wanted.avatar or request.app.state.cast.first)
        given = {"instructions": wanted.instructions, "voice": wanted.voice, "language": wanted.language}
        brief = replace(
            request.app.state.sessions.parts.brief,
            **{name: value for name, value in given.items() if value is not None},
        )
        media = Media(fps=self._settings.video.fps)
        talk = talks.create(
            avatar,
            media=media,
            brief=brief,
            output=wanted.output,
            metadata=wanted.metadata,
            owner=caller(request).subject,
            record=wanted.record,
        )
        return models.Session(**self._described(request, talk))

    async def index(
        self,
        request: Request,
        offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many to leave out first.")] = 0,
        limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 20,
    ) -> models.Page:
        """The sessions that live, oldest first, of all servers that belong together."""
        talks, end = _talks(request).all(caller(request)), offset + limit
        others, more = await of_others(request, end)
        here = [self._described(request, talk) for talk in talks[:end]]
        all = sorted([*here, *others], key=itemgetter("created_at"))
        shown = [models.Session(**session) for session in all[offset:end]]
        return models.Page(sessions=shown, total=len(talks) + more, offset=offset, limit=limit)

    async def read(self, request: Request, talk: Annotated[Talk, Depends(_talk_of)]) -> models.SessionDetails:
        """What the session is about."""
        record = talk.record
        return models.SessionDetails(
            **self._described(request, talk),
            state=record.state,
            turns=record.turns,
            transcript=[
                models.Line(
                    role=line.role,
                    text=line.text,
                    turn_id=turn_id(line.turn) if line.role == "assistant" else f"user_{line.turn}",
                    interrupted=line.interrupted,
                    **cited(line.sources),
                )
                for line in record.transcript
            ],
            metrics=[{"turn_id": turn_id(ledger.turn), **ledger.ms} for ledger in record.latencies],
        )

    async def change(
        self, request: Request, wanted: models.SessionChange, talk: Annotated[Talk, Depends(_talk_of)]
    ) -> models.Session:
        """Give the session another face, also where it is being watched, and the embedded agent the voice
        that fits it, from the next reply on; or stop recording it."""
        if wanted.record is False:
            talk.seat.session.forget()
        if wanted.avatar is not None:
            await _talks(request).recast(talk, _known(request, wanted.avatar))
        return models.Session(**self._described(request, talk))

    async def captions(self, talk: Annotated[Talk, Depends(_talk_of)]) -> Response:
        """What was said and heard in the turns that are over, as WebVTT; times count from the session's
        beginning."""
        vtt = captions(talk.record.transcript, talk.created, talk.avatar)
        return Response(vtt, media_type="text/vtt")

    async def end(self, request: Request, talk: Annotated[Talk, Depends(_talk_of)]) -> Response:
        """End the session, and whatever is being said in it; its place is free when this is answered."""
        _talks(request).end(talk)
        with anyio.move_on_after(ENDING):
            await talk.seat.ended.wait()
        return Response(status_code=204)

    def _described(self, request: Request, talk: Talk) -> dict[str, Any]:
        left = talk.expires - asyncio.get_running_loop().time()
        scheme = "wss" if request.url.scheme == "https" else "ws"
        path = request.url_for("socket", session_id=talk.id).path
        return {
            "session_id": talk.id,
            "created_at": _iso(talk.created),
            "expires_at": _iso(time.time() + left),
            "ws_url": f"{scheme}://{request.url.netloc}{path}",
            "avatar": talk.avatar,
            "output": talk.output,
            "fps": talk.media.fps,
            "audio": {
                "input_sample_rate": self._settings.api.input_sample_rate,
                "output_sample_rate": talk.media.rate,
            },
            "metadata": talk.metadata,
            "recorded": talk.seat.session.recorded,
        }

    # -- asking --------------------------------------------------------------------------------------------
    async def text(
        self, said: models.Text, talk: Annotated[Talk, Depends(_talk_of)], wait: Waits = False
    ) -> Response:
        """Say something in writing. The reply streams, or with `wait` is the answer of this call."""
        session = talk.seat.session
        if not wait:
            session.feed(ev.UserText(said.text, echo=True))
            return JSONResponse({"turn_id": turn_id(session.next_turn)}, 202)
        with taking_all(talk) as collector:
            session.feed(ev.UserText(said.text, echo=True))
            turn = session.next_turn
            await collector.wait()
        return _whole(talk, turn, collector)

    async def audio(
        self, request: Request, talk: Annotated[Talk, Depends(_talk_of)], wait: Waits = False
    ) -> Response:
        """Say something with a recording: WAV, WebM, Ogg, MP3, or raw PCM16 (`audio/pcm;rate=16000`); as the
        body, or the first file of a form."""
        body, kind = await recording(request)
        rate = request.app.state.sessions.parts.agent.input_rate
        raw = self._settings.api.input_sample_rate
        kind = kind if "rate=" in kind or "pcm" not in kind.lower() else f"{kind};rate={raw}"
        pcm = await anyio.to_thread.run_sync(decoded, body, kind, rate, limiter=self._decoding)
        if talk.hearing.locked():
            raise ApiError("BUSY", "Another recording is being taken in; send one after the other.")
        async with talk.hearing:
            if wait:
                with taking_all(talk) as collector:
                    turn = await hear(talk, pcm, rate)
                    await collector.wait()
                return _whole(talk, turn, collector)
            with following(talk, Understanding()) as understanding:
                turn = await hear(talk, pcm, rate)
                await understanding.wait()
        if understanding.problem is not None:
            raise ApiError(understanding.problem.code, understanding.problem.message)
        return JSONResponse({"turn_id": turn_id(turn), "transcript": understanding.text}, 202)

    # -- following -----------------------------------------------------------------------------------------
    async def avatar(
        self,
        request: Request,
        talk: Annotated[Talk, Depends(_talk_of)],
        format: Annotated[
            str, Query(pattern="^(webm|mjpeg|weights)?$", description="Empty: what `Accept` asks for.")
        ] = "",
    ) -> Response:
        """The session as it happens: an endless WebM (VP8 and Opus) that MediaSource and `<video>` take, with
        an idle face between its turns; `multipart/x-mixed-replace` JPEG (`format=mjpeg`, or asked for with
        `Accept`); or server-sent events `frame` (`format=weights`) of the turns alone, each with `turn_id`,
        `frame_id`, `weights` by name and the sound as PCM16 in base64."""
        accept = request.headers.get("accept", "")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if format == "weights" or (not format and "text/event-stream" in accept):
            return StreamingResponse(events(talk), media_type="text/event-stream", headers=headers)
        stream = await _talks(request).stream(talk)
        if format == "mjpeg" or (not format and ("multipart/" in accept or "image/jpeg" in accept)):
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            return StreamingResponse(pictures(stream), media_type=kind, headers=headers)
        kind = 'video/webm; codecs="vp8,opus"'
        return StreamingResponse(video(stream), media_type=kind, headers=headers)

    async def webrtc(self, request: Request, talk: Annotated[Talk, Depends(_talk_of)]) -> Response:
        """See, hear and speak to the session over WebRTC: the body is an offer (SDP) with every candidate in
        it, as in WHEP. A session has one peer; the one before is disconnected."""
        peer, answer = await connect(request, _talks(request), talk, self._settings.webrtc)
        location = request.url_for("webrtc_end", session_id=talk.id, peer_id=peer.id).path
        return Answer(answer, 201, {"Location": location, "Cache-Control": "no-store"})

    async def webrtc_end(self, talk: Annotated[Talk, Depends(_talk_of)], peer_id: str) -> Response:
        """Disconnect the peer; the session goes on."""
        if talk.peer is None or talk.peer.id != peer_id:
            raise ApiError("NO_SUCH_PEER", "The session has no such peer.")
        talk.peer.close()
        return Response(status_code=204)

    async def socket(self, socket: WebSocket, session_id: str) -> None:
        """`WS /api/v1/sessions/{id}/ws`."""
        talks: Talks = socket.app.state.talks
        try:
            talk = talks.get(session_id, caller(socket))
        except NoSuchTalk as missing:
            await socket.accept()
            await socket.close(1008, "the session has ended" if missing.ended else "there is no such session")
            return
        limit = self._settings.server.max_message_bytes
        await ApiConnection(socket, talks, talk, limit, self._settings.api.input_sample_rate).run()

    # -- the server ----------------------------------------------------------------------------------------
    async def health(self, request: Request) -> Response:
        """Whether the server can work, its version, and for how long it has run."""
        state = request.app.state
        problems = [
            *state.sessions.parts.agent.status().get("problems", []),
            *state.faces.status().get("problems", []),
            *state.sessions.parts.animator.problems,
        ]
        body = {
            "status": "unhealthy" if problems else "healthy",
            "version": visavis.__version__,
            "uptime_s": round(time.monotonic() - self._started, 1),
        }
        return JSONResponse(body | ({"problems": problems} if problems else {}), 503 if problems else 200)

    async def pipeline(self, request: Request) -> Response:
        """Every stage: its handler, how often it was called, and how long it took."""
        state = request.app.state
        body = {
            "agent": state.sessions.parts.agent.status(),
            "stages": state.brain.status()
            | {"avatar": state.faces.figures(), "pictures": state.pictures.figures()},
            "face": state.faces.status() | {"worker": state.sessions.parts.animator.status()},
            "pictures": state.pictures.status(),
            "sessions": {"total": len(state.sessions), "api": len(state.talks), "webrtc": state.talks.peers},
        }
        return JSONResponse(body)


# -- helpers -----------------------------------------------------------------------------------------------
def _talks(request: Request) -> Talks:
    talks: Talks = request.app.state.talks
    return talks


async def _talk_of(request: Request, session_id: str) -> Talk:
    return _talks(request).get(session_id, caller(request))


def _known(request: Request, avatar: str) -> str:
    if avatar not in request.app.state.cast:
        raise ApiError("BAD_AVATAR", f"avatar: there is no avatar {avatar[:40]!r}.")
    return avatar


def _whole(talk: Talk, turn: int, collector: Collector) -> Response:
    """The reply; `turn` is what it would have been if it had begun."""
    if collector.problem is not None:
        raise ApiError(collector.problem.code, collector.problem.message)
    ended = collector.reply
    body = {
        "turn_id": turn_id(turn if ended is None else ended.turn),
        "transcript": collector.text,
        "text": "" if ended is None else ended.text,
        "audio": base64.b64encode(_wav(bytes(collector.pcm), talk.media.rate)).decode(),
        "fps": talk.media.fps,
        "weights": collector.weights,
        "names": NAMES,
        "interrupted": collector.interrupted,
        **cited(collector.sources),
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _wav(pcm: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(BYTES)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
