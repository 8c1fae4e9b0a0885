"""One WebSocket connection to a session of the api dialect."""

from __future__ import annotations

import asyncio

import anyio
from starlette.websockets import WebSocket

from visavis import events as ev
from visavis.security.limits import Bucket
from visavis.server.lines import Line
from visavis.server.sockets import now_ms
from visavis.server.talks import Talk, Talks
from visavis.video.studio import Shown
from visavis.webm_reader import MAGIC, RATE, NotWebM, WebMReader
from visavis.wires import BadMessage, Message
from visavis.wires.api import ApiWire

OUTBOX_BYTES = 4 << 20
"""What may wait for a slow reader: more than three seconds of pictures."""

BLOCKS_PER_SECOND, BLOCKS_AT_ONCE = 100, 1000
"""Of WebM: twice what is spoken in 20 ms each, and what waits behind a network that stalls for 20 s. They are
decoded on the event loop, and a message of silence can be hours long."""


class ApiConnection:
    """Follows a session, and speaks for its user. The session goes on without it."""

    def __init__(
        self, socket: WebSocket, talks: Talks, talk: Talk, max_message_bytes: int, input_rate: int
    ) -> None:
        self._socket, self._talks, self._talk, self._rate = socket, talks, talk, input_rate
        self._wire = ApiWire(talk.id, talk.media, talk.output)
        self._line = Line(socket, max_message_bytes, self._take, self.put, outbox_bytes=OUTBOX_BYTES)
        self._listening, self._hands_free = False, True
        self._webm: WebMReader | None = None
        self._blocks = Bucket(BLOCKS_PER_SECOND, BLOCKS_AT_ONCE, asyncio.get_running_loop().time())

    # -- the session's side ------------------------------------------------------------------------------
    def put(self, event: ev.ToClient) -> None:
        turn = event.turn if isinstance(event, ev.Frames) else None
        self._line.outbox.put(self._wire.encode(event, now_ms()), turn)

    @property
    def wants_jpeg(self) -> bool:
        return True

    def show(self, shown: Shown) -> None:
        messages = self._wire.encode(shown.frames, now_ms(), shown.jpegs)
        self._line.outbox.put(messages, shown.frames.turn)

    def drop(self, turn: int) -> None:
        self._line.outbox.drop(turn)

    # -- the network's side ------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serve the client until either side ends the connection, or the session ends."""
        await self._socket.accept()
        talk = self._talk
        following = talk.audience if talk.output == "weights" else await self._talks.portrait(talk)
        following.join(self)
        self.put(ev.StateChanged(self._talk.record.state))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._close_with_the_session)
                await self._line.run()
                tasks.cancel_scope.cancel()
        finally:
            following.leave(self)

    async def _close_with_the_session(self) -> None:
        await self._talk.seat.ended.wait()
        self._line.outbox.close(*(self._talk.seat.farewell or (1000, "the session has ended")))

    def _take(self, message: Message) -> None:
        self._talks.touch(self._talk)
        for event in self._wire.decode(message):
            match event:
                case ev.Ping():
                    self.put(ev.Pong())
                case ev.UserAudio(pcm):
                    self._hear(pcm)
                case ev.MicOn(hands_free=hands_free):
                    self._listening, self._hands_free = False, hands_free
                case ev.MicOff():
                    self._listening, self._hands_free, self._webm = False, True, None
                    self._talk.seat.session.feed(event)
                case _:
                    self._talk.seat.session.feed(event)

    def _hear(self, sound: bytes) -> None:
        """The next sound of the microphone: raw PCM16, or the next piece of MediaRecorder's WebM."""
        if sound.startswith(MAGIC):
            self._webm, self._listening = WebMReader(self._may_decode), False
        rate = self._rate
        if self._webm is not None:
            try:
                sound, rate = self._webm.feed(sound), RATE
            except NotWebM as error:
                self._webm = None
                raise BadMessage("BAD_AUDIO", f"The sound cannot be read: {error}.") from None
        elif len(sound) % 2:
            raise BadMessage("BAD_AUDIO", "PCM16 audio must have an even number of bytes.")
        if not self._listening:
            self._listening = True
            self._talk.seat.session.feed(ev.MicOn(rate, self._hands_free))
        if sound:
            self._talk.seat.session.feed(ev.UserAudio(sound))

    def _may_decode(self) -> bool:
        return self._blocks.take(1, asyncio.get_running_loop().time())
