"""One WebSocket connection of the dialect of frames: a session of its own, shown in pictures."""

from __future__ import annotations

import time
import uuid

import anyio
import structlog
from starlette.websockets import WebSocket

from visavis import events as ev
from visavis.errors import for_people
from visavis.security.callers import caller
from visavis.server.hearing import hear
from visavis.server.lines import Full, Line
from visavis.server.talks import Talk, Talks
from visavis.server.uploads import decoded
from visavis.video.studio import Shown
from visavis.wires import BadMessage, Message
from visavis.wires.frames import MEDIA, FramesWire, Recording

MAX_MESSAGE = 50 << 20
"""Bytes of a message."""
IDLE_SECONDS = 60.0
OUTBOX_BYTES = 4 << 20
RECORDINGS = 4
"""That may wait to be taken in."""
MAGICS = (b"RIFF", b"\x1a\x45\xdf\xa3", b"OggS", b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3")
"""What files begin with; anything else is PCM16, but for MP4, which says what it is four bytes later."""


class FramesConnection:
    """The session ends with the connection."""

    def __init__(self, socket: WebSocket, talks: Talks, avatar: str, *, record: bool) -> None:
        """`record`: those who talk have agreed to be recorded, where this server does."""
        self._socket, self._talks, self._avatar, self._record = socket, talks, avatar, record
        self._line = Line(
            socket, MAX_MESSAGE, self._take, self.put, outbox_bytes=OUTBOX_BYTES, idle_seconds=IDLE_SECONDS
        )
        self._wire = FramesWire(str(uuid.uuid4()), *talks.size)
        self._talk: Talk | None = None
        self._recordings, self._uploads = anyio.create_memory_object_stream[bytes](RECORDINGS)

    @property
    def wants_jpeg(self) -> bool:
        return True

    # -- the session's side ------------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        self._line.outbox.put(self._wire.encode(event, time.time()))

    def show(self, shown: Shown) -> None:
        messages = self._wire.encode(shown.frames, time.time(), shown.jpegs)
        self._line.outbox.put(messages, shown.frames.turn)

    def drop(self, turn: int) -> None:
        self._line.outbox.drop(turn)

    # -- the network's side ------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serve the client until either side ends the connection."""
        with self._recordings, self._uploads:
            await self._serve()

    async def _serve(self) -> None:
        await self._socket.accept()
        if self._avatar not in self._socket.app.state.cast:
            await self._refuse(1008, ev.Problem("BAD_AVATAR", f"There is no avatar {self._avatar[:40]!r}."))
            return
        try:
            self._talk = self._talks.create(
                self._avatar,
                media=MEDIA,
                id=self._wire.session_id,
                listed=False,
                dialect="frames",
                owner=caller(self._socket).subject,
                record=self._record,
            )
        except Full as full:
            await self._refuse(1013, ev.Problem(full.code, str(full)))
            return
        portrait = await self._talks.portrait(self._talk)
        recorded = self._talk.seat.session.recorded
        self._line.outbox.put([self._wire.connected(time.time(), recorded=recorded)])
        portrait.join(self)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear, self._talk)
                tasks.start_soon(self._close_with_the_session, self._talk)
                await self._line.run()
                tasks.cancel_scope.cancel()
        finally:
            portrait.leave(self)
            self._talks.end(self._talk)

    async def _refuse(self, code: int, problem: ev.Problem) -> None:
        self.put(problem)
        self._line.outbox.close(code, problem.message)
        await self._line.run()

    async def _close_with_the_session(self, talk: Talk) -> None:
        await talk.seat.ended.wait()
        self._line.outbox.close(*(talk.seat.farewell or (1011, "the conversation has ended")))

    def _take(self, message: Message) -> None:
        if self._talk is None:
            return
        self._talks.touch(self._talk)
        match self._wire.decode(message):
            case ev.Ping():
                self.put(ev.Pong())
            case Recording(content):
                try:
                    self._recordings.send_nowait(content)
                except anyio.WouldBlock:
                    raise BadMessage(
                        "BUSY", "Other recordings are being taken in; send one by one."
                    ) from None
            case event:
                self._talk.seat.session.feed(event)

    async def _hear(self, talk: Talk) -> None:
        """Take in recordings, one after the other."""
        rate = self._talks.input_rate
        async for content in self._uploads:
            file = content.startswith(MAGICS) or content[4:8] == b"ftyp"
            kind = "" if file else f"audio/pcm;rate={MEDIA.rate}"
            try:
                pcm = await anyio.to_thread.run_sync(decoded, content, kind, rate)
            except Exception as error:
                problem = for_people(error)
                if problem is None:
                    structlog.get_logger().exception("a recording could not be decoded")
                code, text = (problem.code, str(problem)) if problem else ("INTERNAL", "It cannot be read.")
                self.put(ev.Problem(code, text))
                continue
            await hear(talk, pcm, rate)
