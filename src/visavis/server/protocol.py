"""Uvicorn's WebSocket protocol with a small send buffer and a way to hang up on a reader that is stuck."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SEND_BUFFER = 64 * 1024
"""Bytes. The kernel's default hides a stalled reader for tens of seconds of frames."""
TRANSPORT = "visavis.transport"
"""The key of the connection's transport in the ASGI scope's extensions."""


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
