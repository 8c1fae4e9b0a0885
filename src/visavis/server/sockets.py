"""One WebSocket connection of the widget dialect: the only place where its messages meet the network."""

from __future__ import annotations

import time
from collections import deque

import anyio
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from visavis import events as ev
from visavis.server.protocol import TRANSPORT
from visavis.server.sessions import Seat, Sessions, new_id, new_token
from visavis.wires import BadMessage, Hello, Message
from visavis.wires.widget import WidgetWire

OUTBOX_BYTES = 512 * 1024
"""What may wait for a slow reader: more than three seconds of JSON frames."""
BAD_IN_A_ROW = 10
"""Malformed messages after which a connection is closed."""
GOODBYES = (1000, 1001)
"""Close codes of a client that leaves on purpose."""
CLOSE_SECONDS = 1.0
"""How long a last message may take to leave before the line is cut."""


class Full(Exception):
    """There is no room for another conversation."""


class Outbox:
    """Messages on their way to one client: bounded, and its frames can be called back."""

    def __init__(self, limit: int = OUTBOX_BYTES) -> None:
        self._queue: deque[tuple[int | None, Message]] = deque()
        self._limit, self._size = limit, 0
        self._changed = anyio.Event()
        self.closed = anyio.Event()
        self.closing: tuple[int, str] | None = None

    def put(self, message: Message, turn: int | None = None) -> None:
        """`turn` marks a frame of that turn. Beyond the limit nothing is taken and the client is given up."""
        if self.closing is not None:
            return
        if self._size + len(message) > self._limit:
            self._queue.clear()
            self.close(1013, "too slow: the client does not read what it is sent")
            return
        self._queue.append((turn, message))
        self._size += len(message)
        self._changed.set()

    def drop(self, turn: int) -> None:
        """Call back the frames of a turn that was interrupted."""
        kept = [(number, message) for number, message in self._queue if number != turn]
        self._queue = deque(kept)
        self._size = sum(len(message) for _, message in kept)

    def close(self, code: int, reason: str) -> None:
        """Nothing more is taken; what waits is sent, then the connection is closed."""
        if self.closing is None:
            self.closing = (code, reason)
            self._changed.set()
            self.closed.set()

    async def get(self) -> Message | None:
        """The next message; None when all is sent and the connection is to be closed."""
        while not self._queue:
            if self.closing is not None:
                return None
            self._changed = anyio.Event()
            await self._changed.wait()
        _, message = self._queue.popleft()
        self._size -= len(message)
        return message


class Connection:
    """A client of the widget dialect, from its first message to its last."""

    def __init__(self, socket: WebSocket, sessions: Sessions, max_message_bytes: int) -> None:
        self._socket, self._sessions, self._max_bytes = socket, sessions, max_message_bytes
        self._token = new_token()
        self._wire = WidgetWire(new_id())
        self._outbox = Outbox()
        self._written = anyio.Event()
        self._seat: Seat | None = None
        self._bad = 0
        self._log = structlog.get_logger().bind(session=self._wire.session_id)

    # -- the session's side ------------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        turn = event.turn if isinstance(event, ev.Frames) else None
        for message in self._wire.encode(event, _now_ms()):
            self._outbox.put(message, turn)

    def drop(self, turn: int) -> None:
        self._outbox.drop(turn)

    def replaced(self) -> None:
        """The conversation goes on over another connection."""
        self._outbox.close(1000, "resumed on another connection")

    def ended(self) -> None:
        """The conversation has ended by itself."""
        self._outbox.close(1011, "the conversation has ended")

    # -- the network's side ------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serve the client until either side ends the connection."""
        await self._socket.accept()
        self._put_config(resumed=False)
        code = 1006
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._guard)
                code = await self._read()
                tasks.cancel_scope.cancel()
        finally:
            self._leave(code)

    def _leave(self, code: int) -> None:
        if (seat := self._seat) is not None and seat.client is self:
            seat.client = None
            seat.session.detach(self)
            self._sessions.leave(seat, for_good=code in GOODBYES)

    async def _read(self) -> int:
        """Take messages until the client is gone; returns its close code."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1006)
            text = message.get("text")
            self._take(text if text is not None else message["bytes"])

    def _take(self, message: Message) -> None:
        if self._outbox.closing is not None:
            return
        if len(message) > self._max_bytes:
            limit = f"A message may have at most {self._max_bytes} bytes."
            self.put(ev.Problem("MESSAGE_TOO_LARGE", limit))
            self._outbox.close(1009, "message too large")
            return
        try:
            for event in self._wire.decode(message):
                self._feed(event)
            self._bad = 0
        except Full:
            self.put(ev.Problem("SERVER_FULL", "All places are taken; please try again in a minute."))
            self._outbox.close(1013, "server full")
        except BadMessage as error:
            self.put(ev.Problem(error.code, str(error)))
            self._bad += 1
            if self._bad >= BAD_IN_A_ROW:
                self._outbox.close(1008, "too many malformed messages")

    def _feed(self, event: ev.FromClient | Hello) -> None:
        if isinstance(event, Hello):
            self._greet(event)
        elif isinstance(event, ev.Ping):
            self.put(ev.Pong())
        else:
            self._sit().session.feed(event)

    def _sit(self) -> Seat:
        """The session of this connection, opened by the first thing the client says."""
        if self._seat is None:
            if self._sessions.full:
                raise Full
            seat = self._sessions.open(self._wire.session_id, self._token, self._wire.media)
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
        if hello.resume is None:
            return
        if self._seat is not None:
            raise BadMessage("TOO_LATE", '"hello" with "resume" must come before anything else.')
        seat = self._sessions.resume(hello.resume)
        if seat is None:
            gone = "That conversation is over; a new one has begun."
            self.put(ev.Problem("RESUME_EXPIRED", gone))
            return
        self._token, self._wire.session_id = seat.token, seat.session.id
        self._put_config(resumed=True)
        self._take_seat(seat)

    def _put_config(self, *, resumed: bool) -> None:
        rate = self._sessions.parts.agent.input_rate
        self._outbox.put(self._wire.config(rate, self._token, _now_ms(), resumed=resumed))

    async def _write(self) -> None:
        """Send what the outbox holds; when it is to close, close."""
        try:
            while (message := await self._outbox.get()) is not None:
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message)
            await self._socket.close(*self._outbox.closing or (1000, ""))
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the client is gone: the reader hears of it
        self._written.set()

    async def _guard(self) -> None:
        """Hang up on a client that does not even take the last message."""
        await self._outbox.closed.wait()
        with anyio.move_on_after(CLOSE_SECONDS) as waited:
            await self._written.wait()
        if waited.cancelled_caught:
            self._hang_up()

    def _hang_up(self) -> None:
        transport = self._socket.scope.get("extensions", {}).get(TRANSPORT, {}).get("transport")
        if transport is not None:
            transport.abort()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
