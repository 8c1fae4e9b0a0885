"""One WebSocket of any dialect: what is sent waits in a bounded outbox, what is malformed is counted."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from visavis import events as ev
from visavis.errors import VisavisError
from visavis.server.protocol import TRANSPORT
from visavis.wires import BadMessage, Message

OUTBOX_BYTES = 512 * 1024
"""What may wait for a slow reader: more than three seconds of JSON frames."""
BAD_IN_A_ROW = 10
"""Malformed messages after which a connection is closed."""
CLOSE_SECONDS = 1.0
"""How long a last message may take to leave before the line is cut."""


class Full(VisavisError):
    """There is no room for another conversation, or there soon is no server."""


class Outbox:
    """Messages on their way to one client: bounded, and its frames can be called back."""

    def __init__(
        self, limit: int = OUTBOX_BYTES, write: Callable[[Sequence[Message]], bool] | None = None
    ) -> None:
        """`write` sends messages at once where that can be done; what it does not take waits."""
        self._queue: deque[tuple[int | None, Message]] = deque()
        self._limit, self._size, self._write = limit, 0, write
        self._changed = anyio.Event()
        self._sent = False
        """Whoever takes messages out waits for the next: all that were put in are on their way."""
        self._leaving = False
        """What waits is about to be written: all that comes of one event, or moment, in one piece."""
        self.put_at = asyncio.get_running_loop().time()
        """When something was last put in, in seconds."""
        self.closed = anyio.Event()
        self.closing: tuple[int, str] | None = None

    def put(self, messages: Sequence[Message], turn: int | None = None) -> None:
        """`turn` marks frames of that turn. Beyond the limit nothing is taken and the client is given up."""
        if self.closing is not None or not messages:
            return
        loop = asyncio.get_running_loop()
        self.put_at = loop.time()
        if self._write is not None and self._sent and not self._queue and not self._leaving:
            self._leaving = True
            loop.call_soon(self._leave, self._write)
        self._queue.extend([(turn, message) for message in messages])
        self._size += sum(map(len, messages))
        if not self._leaving:
            self._wait()

    def _leave(self, write: Callable[[Sequence[Message]], bool]) -> None:
        """Write all that waits at once, if it is still there and can be."""
        self._leaving = False
        if self._queue and self._sent and write([message for _, message in self._queue]):
            self._queue.clear()
            self._size = 0
        elif self._queue:
            self._wait()

    def _wait(self) -> None:
        """Let the client's pace decide when the rest is sent, unless it is too much."""
        if self._size > self._limit:
            self._queue.clear()
            self._size = 0
            self.close(1013, "too slow: the client does not read what it is sent")
        else:
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

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    async def get(self) -> Message | None:
        """The next message; None when all is sent and the connection is to be closed."""
        while not self._queue:
            if self.closing is not None:
                return None
            self._changed = anyio.Event()
            self._sent = True
            await self._changed.wait()
            self._sent = False
        _, message = self._queue.popleft()
        self._size -= len(message)
        return message


class Lines:
    """Those of a server, and what clients were told was wrong with what they sent."""

    def __init__(self) -> None:
        self._open: set[Line] = set()
        self.problems: Counter[str] = Counter()
        """By code."""

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def having(self, line: Line) -> Iterator[None]:
        """While it is open."""
        self._open.add(line)
        try:
            yield
        finally:
            self._open.remove(line)

    def waiting(self) -> list[int]:
        """Bytes in each outbox."""
        return [line.outbox.size for line in self._open]


class Line:
    """Carries messages both ways until either side ends it.

    `take` gets each message and may raise `BadMessage`, or `Full`; `tell` says a problem in the dialect.
    """

    def __init__(
        self,
        socket: WebSocket,
        max_bytes: int,
        take: Callable[[Message], None],
        tell: Callable[[ev.Problem], None],
        *,
        outbox_bytes: int = OUTBOX_BYTES,
        idle_seconds: float | None = None,
    ) -> None:
        """`idle_seconds`: how long neither side may say anything."""
        self._wire = socket.scope.get("extensions", {}).get(TRANSPORT, {})
        self.outbox = Outbox(outbox_bytes, self._wire.get("write"))
        self._socket, self._max_bytes, self._take, self._say = socket, max_bytes, take, tell
        self._idle = idle_seconds
        self._written = anyio.Event()
        self._bad = 0
        self._lines: Lines = socket.app.state.lines

    async def run(self) -> int:
        """Serve an accepted connection to its end; returns the client's close code."""
        with self._lines.having(self):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._guard)
                code = await self._read()
                tasks.cancel_scope.cancel()
        return code

    def _tell(self, problem: ev.Problem) -> None:
        self._lines.problems[problem.code] += 1
        self._say(problem)

    async def _read(self) -> int:
        while True:
            with anyio.move_on_after(self._idle) as waiting:
                message = await self._socket.receive()
            if waiting.cancelled_caught:
                if self._idle and asyncio.get_running_loop().time() - self.outbox.put_at >= self._idle:
                    self.outbox.close(1000, f"nothing was said for {self._idle:g} s")
                continue
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1006)
            text = message.get("text")
            self._receive(text if text is not None else message["bytes"])

    def _receive(self, message: Message) -> None:
        if self.outbox.closing is not None:
            return
        if len(message) > self._max_bytes:
            limit = f"A message may have at most {self._max_bytes} bytes."
            self._tell(ev.Problem("MESSAGE_TOO_LARGE", limit))
            self.outbox.close(1009, "message too large")
            return
        try:
            self._take(message)
            self._bad = 0
        except Full as full:
            self._tell(ev.Problem(full.code, str(full)))
            self.outbox.close(1013, str(full))
        except BadMessage as error:
            self._tell(ev.Problem(error.code, str(error)))
            self._bad += 1
            if self._bad >= BAD_IN_A_ROW:
                self.outbox.close(1008, "too many malformed messages")

    async def _write(self) -> None:
        """Send what the outbox holds; when it is to close, close."""
        try:
            while (message := await self.outbox.get()) is not None:
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message)
            await self._socket.close(*self.outbox.closing or (1000, ""))
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the client is gone: the reader hears of it
        self._written.set()

    async def _guard(self) -> None:
        """Hang up on a client that does not even take the last message."""
        await self.outbox.closed.wait()
        with anyio.move_on_after(CLOSE_SECONDS) as waited:
            await self._written.wait()
        if waited.cancelled_caught and (transport := self._wire.get("transport")) is not None:
            transport.abort()
