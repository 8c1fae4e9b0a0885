"""A server that speaks the Gemini Live protocol (BidiGenerateContent), and misbehaves on request.

Google's SDK always connects with TLS: the simulator makes its own certificate authority, which the SDK trusts
when SSL_CERT_FILE names it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from visavis.simulators.gemini_session import Context, SimulatedSession
from visavis.simulators.voice import SimulatedVoice

Fault = Literal["close", "abort", "hang", "quota", "malformed", "go_away"]
"""What goes wrong: the connection is closed or cut, nothing comes any more, the quota is used up, a message
is no JSON, the server announces that it will close the connection."""


@dataclass(frozen=True, slots=True)
class GeminiBehaviour:
    """How the simulated provider answers."""

    key: str = ""
    """The only key that is accepted; empty accepts every one."""
    model: str = ""
    """The only model that there is; empty is every one."""
    hears: str = "Hello there."
    """What it understands of any speech."""
    answers: str = "You said: {}"
    """Its reply, in which {} is what the user said; empty stays silent."""
    speed: float = 4.0
    """Times real time at which it sends its speech."""
    delay: float = 0.0
    """Seconds before it answers."""
    chunk_ms: int = 100
    """Milliseconds of speech in each message; 0 is all at once."""
    playback: bool = True
    """Its turn lasts until the user can have heard all of it, as Gemini's does."""
    late_transcript: bool = False
    """What the user said is known only after the answer."""
    late_words: bool = False
    """The words of a reply come after all of its sound."""
    fault: Fault | None = None
    fault_at: int = 1
    """Messages of a reply before the fault."""
    faults: int = 1
    """How often; afterwards it behaves."""


class GeminiSimulator:
    """The provider's side of every session."""

    def __init__(self, voice: SimulatedVoice, behaviour: GeminiBehaviour | None = None) -> None:
        self.voice = voice
        self.behaviour = behaviour or GeminiBehaviour()
        self.faults = self.behaviour.faults if self.behaviour.fault else 0
        self.sessions: list[SimulatedSession] = []
        """All there ever were, the latest last."""
        self.asked: list[Context] = []
        """For each answer, what the model knew, the question last."""
        self.handles: dict[str, Context] = {}
        """What a session that is resumed knows."""
        self._authority = trustme.CA()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve at the base URL that is given back, for `GEMINI_BASE_URL`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        server = serve(
            self._talk, host, port, ssl=context, close_timeout=1, compression=None, max_size=16 << 20
        )
        async with server as running:
            taken = running.sockets[0].getsockname()[1]
            yield f"https://{host}:{taken}"

    def trust(self, file: Path) -> None:
        """Write the certificate authority to `file`, for `SSL_CERT_FILE`."""
        self._authority.cert_pem.write_to_path(file)

    @property
    def session(self) -> SimulatedSession:
        """The latest."""
        return self.sessions[-1]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something that it received or sent makes `condition` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def changed(self) -> None:
        self._changed.set()

    def wrong(self, sent: int) -> Fault | None:
        """What goes wrong instead of the message after `sent` others of a reply, if anything does."""
        if self.faults <= 0 or sent != self.behaviour.fault_at:
            return None
        self.faults -= 1
        return self.behaviour.fault

    def refusal(self, key: str, model: str) -> tuple[int, str] | None:
        """The close code and reason for a client with this key that wants this model."""
        if self.behaviour.key and key != self.behaviour.key:
            return 1007, "API key not valid. Please pass a valid API key."
        if self.behaviour.model and model != f"models/{self.behaviour.model}":
            return 1008, f"{model} is not found for API version v1beta, or is not supported for bidi"
        return None

    async def _talk(self, socket: ServerConnection) -> None:
        session = SimulatedSession(self, socket)
        try:
            await session.run()
        except ConnectionClosed:
            pass
        finally:
            await session.stop()
            self.changed()
