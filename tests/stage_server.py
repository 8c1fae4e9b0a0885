"""Stages behind HTTP on a loopback port, in a thread, for the handlers `remote`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import uvicorn
from pydantic import SecretStr

from visavis.deploy.stage_server import StageServer
from visavis.events import ToolCall
from visavis.server.run import bind
from visavis.settings import RemoteStageSettings, Settings, StageSettings
from visavis.stages import Message, remote
from visavis.tools import Tool

SECRET = "between-two-machines"


class Brain:
    """A `LanguageModel` that says what it was told; "wait" waits until somebody leaves."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[Message], Sequence[Tool]]] = []
        self.begun, self.closed = threading.Event(), threading.Event()

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[str | ToolCall, None]:
        self.asked.append((messages, tools))
        try:
            yield "You said: "
            if messages[-1].text == "break":
                raise RuntimeError("a secret of this machine")
            if messages[-1].text == "wait":
                self.begun.set()
                await asyncio.sleep(600)
            if tools:
                yield ToolCall("", tools[0].name, {"city": "Paris"})
            yield messages[-1].text
        finally:
            self.closed.set()


def settings(kind: str, address: str, **more: Any) -> Settings:
    """Of a server that uses the stage at `address`."""
    there = RemoteStageSettings.model_validate(
        {"token": SecretStr(SECRET), "start_seconds": 0.0, kind: address} | more
    )
    return Settings(remote_stages=there)


def offer(kind: str, handler: str) -> StageServer:
    """A stage with a plug-in of its kind."""
    stages = StageSettings.model_validate({kind: handler})
    return StageServer(
        kind, Settings(stages=stages, remote_stages=RemoteStageSettings(token=SecretStr(SECRET)))
    )


@contextmanager
def served(stage: StageServer, port: int = 0) -> Iterator[str]:
    """Its address, while it runs."""
    sock = bind("127.0.0.1", port)
    sock.listen()  # Who comes before the thread has begun waits, and is not refused.
    server = uvicorn.Server(
        uvicorn.Config(stage.app(), log_config=None, ws="none", timeout_graceful_shutdown=5)
    )
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        sock.close()


@cache
def _there(kind: str, handler: str) -> str:
    """The address of a stage that runs as long as the tests."""
    running = served(offer(kind, handler))
    _running.append(running)
    return running.__enter__()


_running: list[Any] = []


def load_end_of_turn(own: Settings) -> remote.RemoteEndOfTurn:
    return remote.load_end_of_turn(settings("end_of_turn", _there("end_of_turn", own.stages.end_of_turn)))


def load_asr(own: Settings) -> remote.RemoteEars:
    return remote.load_asr(settings("asr", _there("asr", own.stages.asr)))


def load_tts(own: Settings) -> remote.RemoteVoice:
    return remote.load_tts(settings("tts", _there("tts", own.stages.tts)))
