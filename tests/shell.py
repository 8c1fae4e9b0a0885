"""A session on a virtual clock: a scripted agent, a face that answers at once, a client that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio

from visavis import events as ev
from visavis.agents import Brief
from visavis.arkit import Weights, neutral
from visavis.audio import Media
from visavis.conversation import Conversation
from visavis.faces.animator import Animator
from visavis.pacing import Policy
from visavis.session import Parts, Past, Session
from visavis.ticker import Ticker
from visavis.tools.toolbox import Toolbox

E = TypeVar("E")


class Inline(Executor):
    """Runs everything at once: a worker without a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Still:
    """A face that never moves."""

    def __init__(self, media: Media) -> None:
        self._media, self._samples, self._frames = media, 0, 0

    def express(self, emotions: object) -> None:
        pass

    def feed(self, pcm: bytes, phonemes: object, last: bool) -> Weights:
        self._samples += len(pcm) // 2
        total = self._media.covering(self._samples) if last else self._media.whole(self._samples)
        new, self._frames = total - self._frames, total
        return neutral(new)

    def drawings(self) -> tuple[ev.Drawing, ...]:
        return ()


class Faces:
    reads = True

    def open(self, media: Media, seed: int, *, timed: bool) -> Still:
        return Still(media)


class Puppet:
    """An agent whose events the test sends by hand."""

    input_rate, output_rate = 16_000, 24_000

    def __init__(self) -> None:
        self.heard: list[ev.ToAgent] = []
        self.say, self._events = anyio.create_memory_object_stream[ev.FromAgent](1000)
        self.block: anyio.Event | None = None
        self.closed = False

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[Puppet]:
        try:
            yield self
        finally:
            self.closed = True
            self.say.close()
            self._events.close()

    def status(self) -> dict[str, Any]:
        return {"name": "puppet", "problems": []}

    async def send(self, event: ev.ToAgent) -> None:
        if self.block is not None:
            await self.block.wait()
        self.heard.append(event)

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._events.__aiter__()

    def speak(self, seconds: float, id: str = "r") -> None:
        """A whole reply at once."""
        self.say.send_nowait(ev.ReplyStarted(id))
        self.say.send_nowait(ev.ReplyAudio(id, bytes(int(seconds * self.output_rate) * 2)))
        self.say.send_nowait(ev.ReplyDone(id))


class Ear:
    """A client that keeps what it is told, with the time."""

    def __init__(self) -> None:
        self.log: list[tuple[float, ev.ToClient]] = []
        self.dropped: list[int] = []

    def put(self, event: ev.ToClient) -> None:
        self.log.append((asyncio.get_running_loop().time(), event))

    def drop(self, turn: int) -> None:
        self.dropped.append(turn)

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.log if isinstance(event, kind)]

    def times(self, kind: type) -> list[float]:
        return [at for at, event in self.log if isinstance(event, kind)]


@asynccontextmanager
async def session(
    agent: Any,
    *,
    policy: Policy | None = None,
    media: Media | None = None,
    tools: Toolbox | None = None,
    past: Past | None = None,
    turns: int = 0,
) -> AsyncIterator[tuple[Session, Ear]]:
    """A running session with a client attached; leaving ends it. `turns`: how many there were before."""
    parts = Parts(agent, Faces(), Animator(Inline()), Ticker(), tools=tools or Toolbox())
    made, ear = Session("s", parts, Conversation(media, policy, turns, turns), past=past), Ear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        made.attach(ear)
        yield made, ear
        made.close()
