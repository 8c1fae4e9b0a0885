"""A connection to a remote agent: how it is made, and what goes over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from visavis.agents import remote_protocol as protocol
from visavis.agents.upstream import Refused
from visavis.audio import Resampler
from visavis.errors import VisavisError
from visavis.settings import RemoteSettings

CLOSING_SECONDS = 1.0
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""HTTP statuses that may be gone at the next attempt."""


class Line:
    """One connection and what was agreed on it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.hello: protocol.Hello | None = None
        self.first: str | bytes | None = None
        """What the agent said at once, if that was not its hello."""
        self._ears = Resampler(protocol.RATE, protocol.RATE)

    @property
    def rate(self) -> int:
        """Hz of the audio that comes from the agent."""
        return protocol.RATE if self.hello is None else self.hello.output_rate

    def agree(self, hello: protocol.Hello) -> None:
        """From now on audio is sent as the agent wants it."""
        self.hello = hello
        self._ears = Resampler(protocol.RATE, hello.input_rate)

    async def messages(self) -> AsyncIterator[str | bytes]:
        if self.first is not None:
            yield self.first
        async for message in self.socket:
            yield message

    async def send(self, message: protocol.Message) -> None:
        await self.socket.send(protocol.serialise(message))

    async def send_audio(self, pcm: bytes, last: bool = False) -> None:
        """Send the next of the microphone's audio; `last` when it has been switched off."""
        pcm = self._ears(pcm, last)
        if last:
            self._ears = Resampler(protocol.RATE, self._ears.target)
        if not pcm:
            return
        if self.hello is not None and self.hello.binary:
            await self.socket.send(pcm)
        else:
            await self.send({"type": "audio", "data": protocol.encoded(pcm)})


@asynccontextmanager
async def dial(settings: RemoteSettings) -> AsyncIterator[Line]:
    """A connection to the agent; raises `VisavisError` when there is none to be had."""
    token = settings.token.get_secret_value()
    try:
        socket = await connect(
            settings.url,
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            max_size=protocol.MAX_MESSAGE,
            open_timeout=settings.timeout_seconds,
            close_timeout=CLOSING_SECONDS,
        )
    except (OSError, InvalidHandshake, EOFError) as error:
        raise _failure(error, public(settings.url)) from None
    try:
        yield Line(socket)
    finally:
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            await socket.close()


def public(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _failure(error: Exception, where: str) -> VisavisError:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status not in _PASSING:
            advice = "check AGENT_TOKEN" if status in (401, 403) else "check AGENT_URL"
            return Refused("AGENT_REFUSED", f"The agent at {where} refused ({status}): {advice}.")
        reason = f"HTTP {status}"
    else:
        reason = type(error).__name__
    return VisavisError(
        "AGENT_UNREACHABLE",
        f"The agent at {where} cannot be reached ({reason}). "
        "Check that it runs and that AGENT_URL is its address.",
    )
