"""Talkers count what is really there, and a measurement says what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve

from visavis.capacity.measure import HEAD, Step, environment, suggestion
from visavis.capacity.talkers import Crowd, Heard, Talker
from visavis.cli.bench import capacity
from visavis.cli.main import app
from visavis.configuration import load_settings

FRAME = orjson.dumps({"type": "sync_frame", "audio": "x" * 3000}).decode()
LONG = orjson.dumps({"type": "sync_frame", "audio": "x" * 70_000}).decode()
DONE = orjson.dumps({"type": "transcript_done", "role": "assistant", "text": "."}).decode()
USER = orjson.dumps({"type": "transcript_done", "role": "user", "text": "?"}).decode()
ERROR = orjson.dumps({"type": "error", "code": "NO"}).decode()
Answer = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture(autouse=True)
def _nobody_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visavis.capacity.talkers.PAUSE", 1000.0)


def talked(answer: Answer, talkers: int = 1) -> Heard:
    """What talkers count who ask once a server that answers like this."""

    async def main() -> Heard:
        told: list[dict[str, Any]] = []
        answered = asyncio.Event()

        async def talk(socket: ServerConnection) -> None:
            async for message in socket:
                told.append(orjson.loads(message))
                await answer(socket)
                await socket.ping()  # what was said before it has been taken when it is answered
                if len(told) == talkers:
                    answered.set()

        async with serve(talk, "127.0.0.1", 0) as server:
            crowd = Crowd(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")
            await crowd.grow(talkers)
            heard = crowd.count()
            crowd.ask(talkers, 0)
            async with asyncio.timeout(60):
                await answered.wait()
                await asyncio.gather(*[await socket.ping() for socket in server.connections])
            lost = heard.lost
            await crowd.leave()
            assert {message["type"] for message in told} == {"text"}
            assert heard.lost == lost  # who leaves is not lost
            return heard

    return asyncio.run(main())


def test_frames_of_any_size_are_counted_and_nothing_else_is() -> None:
    async def answer(socket: ServerConnection) -> None:
        for message in (USER, *[FRAME] * 20, LONG, DONE):
            await socket.send(message)
        await socket.send(b"\0" * 300)

    heard = talked(answer, talkers=3)
    assert (heard.frames, heard.replies, heard.lost, len(heard.first)) == (63, 3, 0, 3)


def test_stalls_and_reserves_follow_from_when_frames_arrive() -> None:
    async def main() -> Heard:
        heard, now = Heard(), [0.0]
        talker = Talker("localhost", "/ws", heard)
        talker.clock = lambda: now[0]
        talker.connection_made(_Nowhere())
        talker.data_received(b"HTTP/1.1 101 Switching Protocols\r\n")
        talker.data_received(b"\r\n")
        talker.ask()
        for frame in range(30):
            # The tenth comes half a second later than it is needed, all others at once.
            now[0] = 1.0 if frame < 10 else 2.0
            data = b"\x81\x7e" + len(FRAME).to_bytes(2, "big") + FRAME.encode()
            talker.data_received(data[:100])
            talker.data_received(data[100:])
        return heard

    heard = asyncio.run(main())
    assert (heard.frames, heard.stalls, heard.first) == (30, 1, [1.0])
    # It begins again with the frames 10, 11 and 12; frame k then is needed (k - 10) / 30 s later.
    assert heard.leads == pytest.approx([(frame - 10) / 30 for frame in range(13, 30)])


class _Nowhere(asyncio.Transport):
    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def test_who_is_told_of_an_error_or_cut_off_is_lost() -> None:
    async def refuse(socket: ServerConnection) -> None:
        await socket.send(ERROR)

    assert talked(refuse).lost == 1


def step(talkers: int, stalls: int = 0, lost: int = 0) -> Step:
    heard = Heard(frames=1000, stalls=stalls, lost=lost, first=[0.05], leads=[0.25] * 100)
    return Step(talkers, 10.0, heard, cpu=0.1, own=0.05)


def test_a_server_is_given_fewer_than_it_carried() -> None:
    assert suggestion([step(50), step(100), step(150, stalls=1)]) == 80
    assert suggestion([step(50, lost=1)]) == 0


def test_a_step_is_a_line_of_a_table() -> None:
    line = step(100, stalls=2).line()
    assert line == "| 100 | 2 | 0 | 0.100 | 0.01 | 250 | 50 | 0.01 |"
    assert HEAD.splitlines()[0].count("|") == line.count("|")


def test_the_server_that_is_measured_understands_its_settings(tmp_path: Any) -> None:
    settings = load_settings({}, None, environment(2.0, "energy"), tmp_path)
    assert (settings.scripted.speed, settings.face.engine, settings.auth.enabled) == (2.0, "energy", False)


def test_the_command_is_there_and_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert capacity.__doc__ is not None
    assert "without a stall" in CliRunner().invoke(app, ["bench", "capacity", "--help"]).output
    monkeypatch.setattr("sys.platform", "plan9")
    refused = CliRunner().invoke(app, ["bench", "capacity"])
    assert refused.exit_code == 2 and "Linux" in refused.output
