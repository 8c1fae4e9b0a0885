"""Uvicorn's protocols: HTTP that does not wait for ever, and WebSockets with a small send buffer and a way to
hang up on a reader that is stuck."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

from visavis.security.limits import Bucket

SEND_BUFFER = 64 * 1024
"""Bytes. The kernel's default hides a stalled reader for tens of seconds of frames."""
TRANSPORT = "visavis.transport"
"""The key of the connection's transport in the ASGI scope's extensions."""
HEAD_SECONDS = 10.0
"""In which a request must have said what it is."""
LARGEST_HEAD = 64 * 1024
"""Bytes of a request's first line and headers."""
MESSAGE_SECONDS = 120.0
"""In which a WebSocket message must have arrived whole."""
SMALL = 1024
"""Bytes of a piece of a message from which on it is one that programs send."""
SMALL_FRAMES, BURST_SECONDS = 100, 10
"""Smaller pieces, pings and pongs a second, on average over so many seconds; they are no messages."""


def http_protocol(body_seconds: float) -> type[HttpToolsProtocol]:
    """HTTP whose requests must have arrived whole in `body_seconds` after their headers."""

    class Http(HttpToolsProtocol):
        _patience: asyncio.TimerHandle | None = None
        _head = 0
        _in_head = True
        _upgraded = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect(HEAD_SECONDS)

        def connection_lost(self, exc: Exception | None) -> None:
            self._expect(None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head:
                self._head += len(data)
                if self._head > LARGEST_HEAD:
                    self.transport.abort()
            answered = self.cycle is None or self.cycle.response_complete
            if answered and not self._upgraded and self._patience is self.timeout_keep_alive_task is None:
                self._expect(HEAD_SECONDS)  # bytes that are no request end uvicorn's own wait

        def on_message_begin(self) -> None:
            self._in_head, self._head = True, 0
            self._expect(HEAD_SECONDS)
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._in_head:  # what comes behind a body is no header
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._expect(body_seconds)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._expect(None)
            super().on_message_complete()

        def handle_websocket_upgrade(self) -> None:
            self._upgraded = True
            self._expect(None)
            super().handle_websocket_upgrade()

        def _expect(self, seconds: float | None) -> None:
            """Hang up when nothing more is expected before so many seconds have gone by."""
            if self._patience is not None:
                self._patience.cancel()
            hang_up = self.transport.close if self._in_head else self.transport.abort
            self._patience = self.loop.call_later(seconds, hang_up) if seconds else None

    return Http


class Protocol(WebSocketsSansIOProtocol):
    """The application hears of whole messages; what else costs time or memory is bounded here."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._small = Bucket(SMALL_FRAMES, SMALL_FRAMES * BURST_SECONDS, self.loop.time())
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        begun = self.frames or self.conn.reader.buffer
        if begun and self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(MESSAGE_SECONDS, self.transport.abort)
        elif not begun:
            self._arrived()

    def send_receive_event_to_app(self) -> None:
        self._arrived()
        super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        if len(event.data) >= SMALL or self._take_small():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self._take_small():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._take_small():
            super().handle_pong(event)

    def _arrived(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _take_small(self) -> bool:
        """Whether one more small frame is allowed; hangs up when it is not."""
        if self._small.take(1, self.loop.time()):
            return True
        self.transport.abort()
        return False

    async def run_asgi(self) -> None:
        extensions = self.scope["extensions"]
        if extensions is not None:
            extensions[TRANSPORT] = {"transport": self.transport, "write": self.write}
        await super().run_asgi()

    def write(self, messages: Sequence[str | bytes]) -> bool:
        """Send these messages in one piece, at once, without a task and ASGI's copies in between. False when
        that cannot be now, and nothing is sent."""
        open_ = self.handshake_complete and not self.close_sent and self.conn.state is State.OPEN
        if not open_ or self.conn.extensions or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(b"".join([part for message in messages for part in _frame(message)]))
        return True


def _frame(message: str | bytes) -> tuple[bytes, bytes]:
    """A WebSocket message as a server sends it, whole and not masked: its head and its content."""
    kind, data = (0x82, message) if isinstance(message, bytes) else (0x81, message.encode())
    size = len(data)
    if size < 126:
        return bytes((kind, size)), data
    if size < 1 << 16:
        return bytes((kind, 126)) + size.to_bytes(2, "big"), data
    return bytes((kind, 127)) + size.to_bytes(8, "big"), data
