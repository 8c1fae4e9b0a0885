"""Messages that leave at once: whole, in order, and only when the connection takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import uvicorn
from tests import vtime
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from visavis.server.lines import Outbox
from visavis.server.protocol import TRANSPORT, Protocol
from visavis.wires import Message

SIZES = (0, 1, 125, 126, 65_535, 65_536)


class Wire:
    """The transport of a server's protocol, and the client at its other end."""

    def __init__(self) -> None:
        self.client = ClientProtocol(parse_uri("ws://localhost/ws"))
        self.writes = 0
        self.closing = False

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.client.receive_data(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def received(self) -> list[Message]:
        """What the client has understood."""
        frames = [event for event in self.client.events_received() if isinstance(event, Frame)]
        return [
            bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
            for frame in frames
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]


def connected(test: Callable[[Wire, Protocol, Any], Awaitable[None]]) -> None:
    """Run `test` with an accepted connection and the `send` of its application."""

    async def main() -> None:
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            ready.set_result((scope, send))
            await asyncio.Event().wait()

        config = uvicorn.Config(app, ws=Protocol, ws_per_message_deflate=False, ws_ping_interval=None)
        config.load()
        protocol, wire = Protocol(config, ServerState(), {}), Wire()
        protocol.connection_made(wire)  # type: ignore[arg-type]
        wire.client.send_request(wire.client.connect())
        protocol.data_received(b"".join(wire.client.data_to_send()))
        scope, send = await ready
        assert scope["extensions"][TRANSPORT]["write"] == protocol.write
        await test(wire, protocol, send)
        for task in protocol.tasks:
            task.cancel()

    vtime.run(main())


def test_messages_of_any_size_are_written_in_one_piece() -> None:
    async def test(wire: Wire, protocol: Protocol, send: Any) -> None:
        texts, sounds = ["é" * (size // 2) + "x" * (size % 2) for size in SIZES], [bytes(n) for n in SIZES]
        before = wire.writes
        assert protocol.write([*texts, *sounds])
        assert wire.writes == before + 1
        assert wire.received() == [*texts, *sounds]
        await send({"type": "websocket.send", "text": "through ASGI"})
        assert wire.received() == ["through ASGI"]

    connected(test)


@pytest.mark.parametrize("trouble", ["paused", "closed", "closing"])
def test_nothing_is_written_where_that_cannot_be(trouble: str) -> None:
    async def test(wire: Wire, protocol: Protocol, send: Any) -> None:
        match trouble:
            case "paused":
                protocol.pause_writing()
            case "closed":
                await send({"type": "websocket.close", "code": 1000})
            case "closing":
                wire.closing = True
        assert not protocol.write(["no"])
        assert wire.received() == []
        if trouble == "paused":
            protocol.resume_writing()
            assert protocol.write(["yes"])
            assert wire.received() == ["yes"]

    connected(test)


class Line:
    """What may be written at once, as long as `open`."""

    def __init__(self) -> None:
        self.open, self.left, self.pieces = True, list[Message](), 0

    def write(self, messages: Sequence[Message]) -> bool:
        if self.open:
            self.left.extend(messages)
            self.pieces += 1
        return self.open


def test_what_waits_goes_first_and_what_is_under_way_is_not_overtaken() -> None:
    async def main() -> None:
        line = Line()
        outbox = Outbox(write=line.write)
        outbox.put(["config"])
        assert line.left == []  # nobody has taken anything out yet: it waits
        assert await outbox.get() == "config"
        outbox.put(["while the config is being sent"])
        assert line.left == []
        assert await outbox.get() == "while the config is being sent"
        taking = asyncio.create_task(outbox.get())
        await asyncio.sleep(0.1)
        outbox.put(["a", "b"])
        await asyncio.sleep(0)
        assert line.left == ["a", "b"] and outbox.size == 0
        line.open = False
        outbox.put(["c"])
        await asyncio.sleep(0)
        line.open = True
        outbox.put(["d"])
        assert outbox.size == 2
        assert [await taking, await outbox.get()] == ["c", "d"]
        assert line.left == ["a", "b"]

    vtime.run(main())


def test_what_comes_of_one_moment_leaves_in_one_piece_without_what_was_called_back() -> None:
    async def main() -> None:
        line = Line()
        outbox = Outbox(6, line.write)
        taking = asyncio.create_task(outbox.get())
        await asyncio.sleep(0.1)
        outbox.put(["word"])
        outbox.put(["frame", "frame"], 1)
        outbox.put(["word"])
        outbox.drop(1)
        outbox.put(["interrupted"])
        assert line.left == []
        await asyncio.sleep(0)
        assert line.left == ["word", "word", "interrupted"] and line.pieces == 1
        outbox.put(["frame"], 2)
        outbox.drop(2)
        outbox.put(["next"])
        await asyncio.sleep(0)
        assert line.left[3:] == ["next"] and line.pieces == 2
        outbox.put(["last"])
        outbox.close(1000, "")
        await asyncio.sleep(0)
        assert (await taking, line.left[4:]) in [("last", []), (None, ["last"])]
        assert await outbox.get() is None and outbox.size == 0

    vtime.run(main())


def test_what_cannot_leave_at_once_and_is_too_much_is_given_up() -> None:
    async def main() -> None:
        line = Line()
        outbox = Outbox(10, line.write)
        taking = asyncio.create_task(outbox.get())
        await asyncio.sleep(0.1)
        outbox.put(["a long message that leaves at once"])
        await asyncio.sleep(0)
        assert line.pieces == 1 and not outbox.closed.is_set()
        line.open = False
        outbox.put(["a long message that cannot"])
        await asyncio.sleep(0)
        assert outbox.closing is not None and outbox.closing[0] == 1013
        assert await taking is None and line.pieces == 1

    vtime.run(main())


def test_a_reader_that_is_too_slow_is_given_up() -> None:
    async def main() -> None:
        line = Line()
        line.open = False
        outbox = Outbox(10, line.write)
        outbox.put(["12345", "67890"])
        assert outbox.size == 10
        outbox.put(["1"])
        assert outbox.closing is not None and outbox.closing[0] == 1013
        assert outbox.size == 0 and await outbox.get() is None
        line.open = True
        outbox.put(["too late"])
        assert line.left == []

    vtime.run(main())
