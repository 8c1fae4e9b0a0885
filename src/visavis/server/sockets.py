"""One WebSocket connection of the widget dialect: the only place where its messages meet the network."""

from __future__ import annotations

import time
from dataclasses import replace

from starlette.websockets import WebSocket

from visavis import events as ev
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
        self._line = Line(socket, max_message_bytes, self._take, self.put)
        self._seat: Seat | None = None
        self._avatar = ""

    # -- the session's side ------------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        turn = event.turn if isinstance(event, ev.Frames) else None
        for message in self._wire.encode(event, now_ms()):
            self._line.outbox.put(message, turn)

    def drop(self, turn: int) -> None:
        self._line.outbox.drop(turn)

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
        if (seat := self._seat) is not None and seat.client is self:
            seat.client = None
            seat.session.detach(self)
            self._sessions.leave(seat, for_good=code in GOODBYES)

    def _take(self, message: Message) -> None:
        for event in self._wire.decode(message):
            if isinstance(event, Hello):
                self._greet(event)
            elif isinstance(event, ev.Ping):
                self.put(ev.Pong())
            else:
                self._sit().session.feed(event)

    def _sit(self) -> Seat:
        """The session of this connection, opened by the first thing the client says."""
        if self._seat is None:
            brief = replace(self._sessions.parts.brief, avatar=self._avatar)
            wire, owner = self._wire, self._owner
            seat = self._sessions.open(wire.session_id, self._token, wire.media, brief, owner=owner)
            self._take_seat(seat)
            return seat
        return self._seat

    def _take_seat(self, seat: Seat) -> None:
        if seat.client is not None:
            seat.client.replaced()
            seat.session.detach(seat.client)
        self._seat, seat.client = seat, self
        seat.session.attach(self)

    def _greet(self, hello: Hello) -> None:
        self._avatar = hello.avatar
        if hello.resume is None:
            return
        if self._seat is not None:
            raise BadMessage("TOO_LATE", '"hello" with "resume" must come before anything else.')
        seat = self._sessions.resume(hello.resume, self._wire.media, self._owner)
        if seat is None:
            gone = "That conversation is over; a new one has begun."
            self.put(ev.Problem("RESUME_EXPIRED", gone))
            return
        self._token, self._wire.session_id = seat.token, seat.session.id
        self._put_config(resumed=True)
        self._take_seat(seat)

    def _put_config(self, *, resumed: bool) -> None:
        rate = self._sessions.parts.agent.input_rate
        self._line.outbox.put(self._wire.config(rate, self._token, now_ms(), resumed=resumed))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
