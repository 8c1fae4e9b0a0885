"""A server that speaks the OpenAI Realtime protocol, in both its shapes, and misbehaves on request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from visavis.simulators.openai_session import SimulatedSession
from visavis.simulators.voice import SimulatedVoice

Fault = Literal["close", "abort", "hang", "expire", "error", "quota", "rate_limit", "malformed"]
"""What goes wrong: the connection is closed or cut, nothing comes any more, the session has expired, the
response fails, an event is no JSON."""


@dataclass(frozen=True, slots=True)
class OpenAIBehaviour:
    """How the simulated provider answers."""

    protocol: Literal["ga", "beta"] = "ga"
    key: str = ""
    """The only key that is accepted; empty accepts every one."""
    model: str = ""
    """The only model that there is; empty is every one."""
    refuse: Literal["event", "status"] = "event"
    """A wrong key is refused after the handshake, as OpenAI does, or by its HTTP status."""
    hears: str = "Hello there."
    """What it understands of any speech."""
    answers: str = "You said: {}"
    """Its reply, in which {} is what the user said."""
    speed: float = 4.0
    """Times real time at which it sends its speech."""
    delay: float = 0.0
    """Seconds before it answers."""
    chunk_ms: int = 100
    """Milliseconds of speech in each delta; 0 is all at once."""
    text_ahead: float = 0.3
    """Seconds of speech by which the transcript is ahead of the sound."""
    late_transcript: bool = False
    """What the user said is known only after the answer."""
    fault: Fault | None = None
    fault_at: str = "response.output_audio.delta"
    """The event (its name in the "ga" shape) after which the fault happens."""
    faults: int = 1
    """How often; afterwards it behaves."""


class OpenAISimulator:
    """The provider's side of every session."""

    def __init__(self, voice: SimulatedVoice, behaviour: OpenAIBehaviour | None = None) -> None:
        self.voice = voice
        self.behaviour = behaviour or OpenAIBehaviour()
        self.faults = self.behaviour.faults
        self.sessions: list[SimulatedSession] = []
        """All there ever were, the latest last."""
        self.handshakes = 0
        self._changed = asyncio.Event()
        self._ids = itertools.count(1)

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve at the base URL that is given back, for `OPENAI_BASE_URL`."""
        server = serve(
            self._talk,
            host,
            port,
            process_request=self._admit,
            close_timeout=1,
            compression=None,
            max_size=16 << 20,
        )
        async with server as running:
            taken = running.sockets[0].getsockname()[1]
            yield f"http://{host}:{taken}/v1"

    @property
    def session(self) -> SimulatedSession:
        """The latest."""
        return self.sessions[-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that it received or sent makes `condition` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def changed(self) -> None:
        self._changed.set()

    def id(self, kind: str) -> str:
        """A fresh id; no two sessions share one."""
        return f"{kind}_{next(self._ids)}"

    def wrong(self, event: str) -> Fault | None:
        """What goes wrong after this event, if anything does."""
        if self.behaviour.fault is None or self.behaviour.fault_at != event or self.faults <= 0:
            return None
        self.faults -= 1
        return self.behaviour.fault

    # -- the handshake -----------------------------------------------------------------------------------
    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        self.changed()
        if not urlsplit(request.path).path.endswith("/realtime"):
            return connection.respond(HTTPStatus.NOT_FOUND, "The protocol is spoken at /v1/realtime.\n")
        if self.behaviour.refuse == "status" and self._refusal(request) == "invalid_api_key":
            response = connection.respond(HTTPStatus.UNAUTHORIZED, "")
            response.body = orjson.dumps({"error": {"code": "invalid_api_key", "message": "Wrong key"}})
            return response
        return None

    def _refusal(self, request: Request) -> str:
        """The code of the error that this client gets instead of a session."""
        if self.behaviour.key and request.headers.get("Authorization") != f"Bearer {self.behaviour.key}":
            return "invalid_api_key"
        models = parse_qs(urlsplit(request.path).query).get("model", [""])
        if self.behaviour.model and models != [self.behaviour.model]:
            return "model_not_found"
        if (request.headers.get("OpenAI-Beta") == "realtime=v1") != (self.behaviour.protocol == "beta"):
            return "beta_api_shape_disabled" if self.behaviour.protocol == "ga" else "missing_beta_header"
        return ""

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        session = SimulatedSession(self, socket)
        try:
            if refusal := self._refusal(socket.request):
                key = socket.request.headers.get("Authorization", "").removeprefix("Bearer ")
                await session.complain(f"Refused: {refusal} (you gave {key}).", refusal)
                await socket.close(3000, f"invalid_request_error.{refusal}")
                return
            self.sessions.append(session)
            self.changed()
            await session.run()
        except ConnectionClosed:
            pass
        finally:
            await session.stop()
            self.changed()
