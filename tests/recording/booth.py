"""A recording booth on a virtual clock: sessions with real connections, faces and files, nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import numpy as np
from starlette.websockets import WebSocket
from tests import vtime
from tests.asgi import scope
from tests.shell import Inline, Puppet

from visavis import events as ev
from visavis.conversations.store import Store
from visavis.faces.animator import Animator
from visavis.faces.speech_face import Faces
from visavis.recording import ENDING
from visavis.recording.folder import Folder, Opener
from visavis.server.lines import Lines
from visavis.server.sessions import Sessions
from visavis.server.sockets import Connection
from visavis.server.talks import Talks
from visavis.session import Parts
from visavis.settings import LimitSettings, RecordingSettings, Settings
from visavis.ticker import Ticker
from visavis.tools.toolbox import Toolbox

SETTINGS = Settings()
CREEP = 2e-5
"""Seconds that pass whenever somebody looks at the clock: no two looks are the same, as on real clocks."""
FACES = Faces.load(SETTINGS)


class CreepingLoop(vtime.VirtualLoop):
    def time(self) -> float:
        self._jump.now += CREEP
        return super().time()


class Booth:
    """Where one agent talks to whoever comes in."""

    def __init__(self, agent: Puppet, sessions: Sessions, folder: Folder, talks: Talks) -> None:
        self.agent, self.sessions, self.folder, self.talks = agent, sessions, folder, talks
        self._lines, self.guests = Lines(), list[Guest]()

    async def guest(self) -> Guest:
        """Somebody comes in."""
        guest = Guest(self.sessions, self._lines)
        self.guests.append(guest)
        await anyio.sleep(0.001)
        return guest


class Guest:
    """A client of the widget dialect."""

    def __init__(self, sessions: Sessions, lines: Lines) -> None:
        self.heard: list[str | bytes] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        app = SimpleNamespace(state=SimpleNamespace(lines=lines))
        socket = WebSocket(scope("websocket", "/ws", app=app), self._said.get, self._hear)
        self._task = asyncio.create_task(Connection(socket, sessions, 1 << 20).run())

    async def _hear(self, message: Any) -> None:
        await self.reading.wait()
        if message["type"] == "websocket.send":
            text = message.get("text")
            self.heard.append(message["bytes"] if text is None else text)
        elif message["type"] == "websocket.close":
            self._said.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    def say(self, message: str | bytes | None = None, /, **fields: Any) -> None:
        """A message as it is, or an object."""
        sent = json.dumps(fields) if message is None else message
        kind = "text" if isinstance(sent, str) else "bytes"
        self._said.put_nowait({"type": "websocket.receive", kind: sent})

    def of(self, type: str) -> list[dict[str, Any]]:
        messages = [json.loads(message) for message in self.heard if isinstance(message, str)]
        return [message for message in messages if message["type"] == type]

    async def leave(self, code: int = 1006) -> None:
        self.reading.set()
        if not self._task.done():
            self._said.put_nowait({"type": "websocket.disconnect", "code": code})
        await self._task


@asynccontextmanager
async def booth(
    path: Path,
    *,
    tools: Toolbox | None = None,
    limits: LimitSettings | None = None,
    open_file: Opener | None = None,
    output_rate: int = 24_000,
    store: Store | None = None,
    **recording: Any,
) -> AsyncIterator[Booth]:
    """An open booth; everybody has left in the end, and the recordings are written."""
    settings = SETTINGS.model_copy(update={"recording": RecordingSettings(folder=path, **recording)})
    folder, agent = Folder(settings, path, open_file), Puppet()
    agent.output_rate = output_rate
    parts = Parts(agent, FACES, Animator(Inline()), Ticker(), seed=7, tools=tools or Toolbox())
    async with anyio.create_task_group() as tasks:
        sessions = Sessions(parts, tasks, 9, 30.0, store, limits, folder)
        pictures: Any = None  # nobody looks
        made = Booth(agent, sessions, folder, Talks(sessions, tasks, pictures, 60.0))
        yield made
        for guest in made.guests:
            await guest.leave(1000)
        for seat in made.sessions:
            seat.session.close()
    folder.write()


def record(path: Path, talk: Callable[[Booth], Coroutine[Any, Any, None]], **options: Any) -> Path:
    """The recording of a talk with one session."""

    async def main() -> None:
        async with booth(path, **options) as made:
            await talk(made)

    with asyncio.Runner(loop_factory=CreepingLoop) as runner:
        runner.run(main())
    (file,) = path.glob(f"*{ENDING}")
    return file


def speech(seconds: float, rate: int = 24_000) -> bytes:
    """A voice of sorts: a tone that comes and goes."""
    times = np.arange(int(seconds * rate)) / rate
    loudness = 9000 * np.abs(np.sin(3 * times))
    return (loudness * np.sin(2 * np.pi * 180 * times)).astype("<i2").tobytes()


def reply(agent: Puppet, seconds: float, id: str = "r", text: str = "") -> None:
    """A whole reply at once."""
    agent.say.send_nowait(ev.ReplyStarted(id))
    if text:
        agent.say.send_nowait(ev.ReplyText(id, text))
    agent.say.send_nowait(ev.ReplyAudio(id, speech(seconds, agent.output_rate)))
    agent.say.send_nowait(ev.ReplyDone(id))
