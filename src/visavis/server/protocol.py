"""Uvicorn's protocols: HTTP that does not wait for ever, and WebSockets with a small send buffer and a way to
hang up on a reader that is stuck."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SEND_BUFFER = 64 * 1024
"""Bytes. The kernel's default hides a stalled reader for tens of seconds of frames."""
TRANSPORT = "visavis.transport"
"""The key of the connection's transport in the ASGI scope's extensions."""
HEAD_SECONDS = 10.0
"""In which a request must have said what it is."""
LARGEST_HEAD = 64 * 1024
"""Bytes of a request's first line and headers."""


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
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    async def run_asgi(self) -> None:
        extensions = self.scope["extensions"]
        if extensions is not None:
            extensions[TRANSPORT] = {"transport": self.transport}
        await super().run_asgi()
