"""Logs name the session and the turn, and nothing that was said."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from tests.process import server
from tests.shell import Ear, Faces, Inline, Puppet, session
from tests.vtime import run
from websockets.asyncio.client import connect

from visavis import events as ev
from visavis import logs
from visavis.conversation import Conversation
from visavis.faces.animator import Animator
from visavis.session import Parts, Session
from visavis.settings import LogSettings
from visavis.ticker import Ticker

SAID = "Tell me about the heliotrope zeppelin, please."


def lines(stream: io.StringIO | str) -> list[dict[str, Any]]:
    text = stream if isinstance(stream, str) else stream.getvalue()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Talkative(Puppet):
    """An agent that logs what it does, on the loop and in a thread."""

    logged = 0

    async def send(self, event: ev.ToAgent) -> None:
        await super().send(event)
        structlog.get_logger().info("loop")
        await anyio.to_thread.run_sync(lambda: structlog.get_logger().info("thread"))
        self.logged += 1


def test_whatever_is_logged_while_a_session_runs_names_it_and_its_turn() -> None:
    stream = io.StringIO()
    logs.set_up(LogSettings(), stream=stream)
    agent = Talkative()

    async def main() -> None:
        async with session(agent) as (talk, _):
            talk.feed(ev.UserText("one"))
            await anyio.sleep(0.1)
            agent.speak(1.0)
            await anyio.sleep(2)
            talk.feed(ev.UserText("two"))
            while agent.logged < 2:  # the virtual clock stands still while the thread runs
                await anyio.sleep(0)

    run(main())
    structlog.get_logger().info("elsewhere")
    found = [(line["event"], line.get("session"), line.get("turn")) for line in lines(stream)]
    assert [line for line in found if line[0] == "loop"] == [("loop", "s", 0), ("loop", "s", 1)]
    assert [line[:2] for line in found if line[0] == "thread"] == [("thread", "s")] * 2
    assert found[-1] == ("elsewhere", None, None)


def test_nothing_is_logged_in_the_name_of_another_session() -> None:
    """They share the clock that sends their frames."""
    stream = io.StringIO()
    logs.set_up(LogSettings(), stream=stream)

    async def main() -> None:
        agents = {name: Puppet() for name in "abc"}
        ticker, animator = Ticker(), Animator(Inline())
        async with anyio.create_task_group() as tasks:
            talks = []
            for name, agent in agents.items():
                parts = Parts(agent, Faces(), animator, ticker, hears=(logs.log_turns,))
                talks.append(Session(name, parts, Conversation()))
                tasks.start_soon(talks[-1].run)
                talks[-1].attach(Ear())
            for length, agent in enumerate(agents.values(), 1):
                agent.speak(length)
            await anyio.sleep(5)
            for talk in talks:
                talk.close()

    run(main())
    ended = {line["session"]: line["heard_s"] for line in lines(stream) if line["event"] == "turn ended"}
    assert ended == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_turns_are_logged_without_their_words() -> None:
    stream = io.StringIO()
    logs.set_up(LogSettings(), stream=stream)
    logs.log_turns("s", ev.TurnEnded(3, SAID, True, 1.234, 2))
    logs.log_turns("s", ev.TurnLedger(3, {"speech_end": 0, "sent": 300}))
    logs.log_turns("s", ev.Problem("LLM_UNREACHABLE", SAID))
    logs.log_turns("s", ev.UserTurn(1, SAID))
    ended, ledger, problem = lines(stream)
    assert (ended["session"], ended["turn"], ended["heard_s"], ended["underruns"]) == ("s", 3, 1.23, 2)
    assert (ledger["turn"], ledger["sent_ms"]) == (3, 300)
    assert (problem["code"], problem["level"]) == ("LLM_UNREACHABLE", "warning")
    assert "heliotrope" not in stream.getvalue()


@pytest.mark.parametrize(
    ("settings", "debug", "shown"),
    [
        (LogSettings(level="warning"), False, ["warning"]),
        (LogSettings(), False, ["info", "warning"]),
        (LogSettings(level="debug"), False, ["debug", "info", "warning"]),
        (LogSettings(level="error"), True, ["debug", "info", "warning"]),
    ],
)
def test_the_level_is_chosen(settings: LogSettings, debug: bool, shown: list[str]) -> None:
    stream = io.StringIO()
    logs.set_up(settings, debug=debug, stream=stream)
    log = structlog.get_logger()
    log.debug("x")
    log.info("x")
    log.warning("x")
    assert [line["level"] for line in lines(stream)] == shown


def test_the_format_is_chosen() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for form, stream, is_json in (
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ):
        logs.set_up(LogSettings.model_validate({"format": form}), stream=stream)
        structlog.get_logger().info("x", session="s1")
        assert stream.getvalue().startswith("{") == is_json
        assert "s1" in stream.getvalue()


@pytest.mark.models
def test_what_was_said_to_a_real_server_is_not_in_its_logs(tmp_path: Path) -> None:
    with server(tmp_path, VISAVIS_LOGS__FORMAT="json") as running:
        answer = asyncio.run(_talk(running.ws))
        broken = asyncio.run(_break(running.ws))
    assert broken == "TOO_LATE"
    words = answer.split()
    assert len(words) > 3
    assert {"turn ended", "latency"} <= {line["event"] for line in lines(running.log)}
    ended = next(line for line in lines(running.log) if line["event"] == "turn ended")
    assert re.fullmatch("[0-9a-f]{32}", ended["session"])
    assert ended["turn"] == 1
    log = running.log.lower()
    for said in ("heliotrope", "zeppelin", *(" ".join(words[k : k + 3]) for k in range(len(words) - 2))):
        assert said.lower() not in log


async def _talk(url: str) -> str:
    """Ask something; returns the answer."""
    async with connect(url, max_size=None) as socket, asyncio.timeout(60):
        await socket.send(json.dumps({"type": "text", "data": SAID, "userId": "somebody"}))
        async for raw in socket:
            message = json.loads(raw)
            if message["type"] == "transcript_done" and message["role"] == "assistant":
                return str(message["text"])
    raise AssertionError("no answer came")


async def _break(url: str) -> str:
    """Say something that is wrong, with words in it."""
    async with connect(url, max_size=None) as socket, asyncio.timeout(20):
        await socket.send(json.dumps({"type": "interrupt"}))
        await socket.send(json.dumps({"type": "hello", "resume": "heliotrope"}))
        async for raw in socket:
            message = json.loads(raw)
            if message["type"] == "error":
                return str(message["code"])
    raise AssertionError("no error came")
