"""One WebSocket connection of the widget dialect: the only place where its messages meet the network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from starlette.websockets import WebSocket

from visavis import events as ev
from visavis.recording.tape import LineTape
from visavis.security.callers import caller
from visavis.server.lines import Line
from visavis.server.sessions import Seat, Sessions, new_id, new_token
from visavis.wires import BadMessage, Hello, Message
from visavis.wires.widget import WidgetWire

GOODBYES = (1000, 1001)
"""Close codes of a client that leaves on purpose."""


class Connection:
    """A client of the widget dialect, from its first message to its last."""

    def __init__(self, socket: WebSocket, sessions: Sessions, max_message_bytes: int) -> None:
        self._socket, self._sessions = socket, sessions
        self._token, self._owner = new_token(), caller(socket).subject
        self._wire = WidgetWire(new_id())
        self._line = Line(socket, max_message_bytes, self._take, self._say)
        self._seat: Seat | None = None
        self._avatar, self._recorded = "", sessions.recorded
        self._tape: LineTape | None = None

    # -- the session's side ------------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        turn = event.turn if isinstance(event, ev.Frames) else None
        self._send(self._wire.encode(event, ms := now_ms()), ms, turn)

    def _send(self, messages: Sequence[Message], ms: int, turn: int | None = None) -> None:
        self._line.outbox.put(messages, turn)
        if self._tape is not None:
            self._tape.sent(messages, ms)

    def drop(self, turn: int) -> None:
        self._line.outbox.drop(turn)
        if self._tape is not None:
            self._tape.drop(turn)

    def replaced(self) -> None:
        """The conversation goes on over another connection."""
        self._line.outbox.close(1000, "resumed on another connection")

    def ended(self) -> None:
        """The conversation has ended by itself."""
        farewell = self._seat.farewell if self._seat is not None else None
        self._line.outbox.close(*(farewell or (1011, "the conversation has ended")))

    # -- the network's side ------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serve the client until either side ends the connection."""
        await self._socket.accept()
        self._put_config(resumed=False)
        if self._sessions.draining:  # here, so that nobody is told that what they resume is over
            self._line.outbox.close(1013, "the server is about to restart")
        code = 1006
        try:
            code = await self._line.run()
        finally:
            self._leave(code)

    def _leave(self, code: int) -> None:
        if self._tape is not None:
            self._tape.left(code, _now())
        if (seat := self._seat) is not None and seat.client is self:
            seat.client = None
            seat.session.detach(self)
            self._sessions.leave(seat, for_good=code in GOODBYES)

    def _take(self, message: Message) -> None:
        at = _now()
        if self._tape is not None:
            self._tape.took(message, at)
        for event in self._wire.decode(message):
            if isinstance(event, Hello):
                self._greet(event, at)
            elif isinstance(event, ev.Ping):
                self._say(ev.Pong())
            else:
                self._sit(message, at).session.feed(event, at, taped=self._tape is not None)

    def _say(self, event: ev.ToClient) -> None:
        """Tell the client something that is not of the session."""
        if self._tape is not None:
            self._tape.said(event, _now())
        self.put(event)

    def _sit(self, message: Message, at: float) -> Seat:
        """The session of this connection, opened by the first thing the client says."""
        if self._seat is None:
            brief = replace(self._sessions.parts.brief, avatar=self._avatar)
            wire, owner, recorded = self._wire, self._owner, self._recorded
            seat = self._sessions.open(
                wire.session_id, self._token, wire.media, brief, owner=owner, recorded=recorded
            )
            self._join_tape(seat, at)
            self._take_seat(seat)
            if self._tape is not None:
                self._tape.took(message, at)
            return seat
        return self._seat

    def _join_tape(self, seat: Seat, at: float) -> None:
        """Where the session is recorded, so is this connection, from here on."""
        if (tape := seat.session.tape) is not None:
            self._tape = tape.join(self._wire, at)

    def _take_seat(self, seat: Seat) -> None:
        if seat.client is not None:
            seat.client.replaced()
            seat.session.detach(seat.client)
        self._seat, seat.client = seat, self
        seat.session.attach(self)

    def _greet(self, hello: Hello, at: float) -> None:
        self._avatar = hello.avatar or self._avatar
        if not hello.recording:
            self._recorded = False
            if self._seat is not None:
                self._seat.session.forget()
        if hello.resume is None:
            if self._seat is not None:
                self._sessions.cast(self._seat, hello.avatar)
            return
        if self._seat is not None:
            raise BadMessage("TOO_LATE", '"hello" with "resume" must come before anything else.')
        seat = self._sessions.resume(hello.resume, self._wire.media, self._owner, recorded=self._recorded)
        if seat is None:
            gone = "That conversation is over; a new one has begun."
            self.put(ev.Problem("RESUME_EXPIRED", gone))
            return
        if not hello.recording:
            seat.session.forget()
        self._recorded = seat.session.recorded
        self._token, self._wire.session_id = seat.token, seat.session.id
        self._join_tape(seat, at)
        self._put_config(resumed=True)
        self._take_seat(seat)
        self._sessions.cast(seat, hello.avatar)

    def _put_config(self, *, resumed: bool) -> None:
        rate = self._sessions.parts.agent.input_rate
        if self._tape is not None:
            self._tape.configured(resumed, rate, len(self._token), _now())
        ms = now_ms()
        config = self._wire.config(rate, self._token, ms, resumed=resumed, recorded=self._recorded)
        self._send([config], ms)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _now() -> float:
    return asyncio.get_running_loop().time()
