"""The shell around a Conversation: whatever arrives is fed, whatever comes out is performed at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from visavis import events as ev
from visavis.agents import Agent, AgentEngine, Brief, Library
from visavis.audio import BYTES, Media, Resampler
from visavis.conversation import Conversation
from visavis.errors import for_people
from visavis.faces import Face
from visavis.faces.animator import Animator
from visavis.faces.speech_face import Move, resting, unmoved
from visavis.json_values import well_formed
from visavis.recording.lines import pack
from visavis.recording.tape import Tape
from visavis.security.limits import Bucket
from visavis.stages import Message
from visavis.ticker import Look, Ticker
from visavis.tools.toolbox import Toolbox

AGENT_BACKLOG = 512
"""Events that may wait for an agent; microphone audio comes in pieces of about 0.1 s."""
MOST_CALLS = 16
"""Tools that an agent may use at the same time."""
MISSED = 64
"""Messages kept for a client that is away."""


class Client(Protocol):
    """Where a session's events go."""

    def put(self, event: ev.ToClient) -> None: ...
    def drop(self, turn: int) -> None:
        """Frames of this turn that have not left yet are not to be sent."""
        ...


class Faces(Protocol):
    @property
    def reads(self) -> bool:
        """Speech with phonemes is drawn from them; otherwise it is heard like any other."""
        ...

    def open(self, media: Media, seed: int, *, timed: bool) -> Face: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What all sessions share."""

    agent: AgentEngine
    faces: Faces
    animator: Animator
    ticker: Ticker
    seed: int = 0
    brief: Brief = field(default_factory=Brief)
    """What every agent is told, unless its session says otherwise."""
    tools: Toolbox = field(default_factory=Toolbox)
    """What every agent can do besides."""
    library: Library | None = None
    """What every agent can look up."""
    hears: tuple[Callable[[str, ev.Effect], None], ...] = ()
    """Are told all that comes of every conversation, with the id of its session."""


@dataclass(frozen=True, slots=True)
class Past:
    """What links a session to an earlier one, and to those who write it down."""

    hear: Callable[[ev.Effect], None] | None = None
    """Is told all that comes of the conversation."""
    recall: Callable[[], Awaitable[tuple[Message, ...]]] | None = None
    """What was said before."""
    missed: tuple[ev.ToClient, ...] = ()
    """What the client is told first."""


class Session:
    """One conversation, alive for as long as `run`; everything here happens on the event loop's thread."""

    def __init__(
        self,
        id: str,
        parts: Parts,
        conversation: Conversation,
        on_end: Callable[[], None] = lambda: None,
        brief: Brief | None = None,
        past: Past | None = None,
        hearing: Bucket | None = None,
        tape: Tape | None = None,
    ) -> None:
        """`hearing`: seconds of sound that may be heard; None is any number. `tape` is told all that comes
        in, with its time, and what the agent is told."""
        self.id, self.tape = id, tape
        self._hearing, self._deaf = hearing, False
        self.look: Look | None = None
        self.closed = self._failed = False
        self._parts, self._conversation, self._on_end = parts, conversation, on_end
        self._now = asyncio.get_running_loop().time
        self._brief = replace(brief or parts.brief, tools=parts.tools.declared, library=parts.library)
        self._media = conversation.media
        self._client: Client | None = None
        self._past = past or Past()
        self._missed: deque[ev.ToClient] = deque(self._past.missed, MISSED)
        self._asks_in, self._asks = anyio.create_memory_object_stream[ev.ToAgent](AGENT_BACKLOG)
        self._scope = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        self._calls: set[str] = set()
        self._acting: dict[str, asyncio.Future[ev.ActionDone]] = {}
        self._ears = Resampler(parts.agent.input_rate, parts.agent.input_rate)
        self._voices: dict[str, Resampler] = {}
        self._face: Face | None = None
        self._face_turn = 0
        self._log = structlog.get_logger().bind(talk=self)

    # -- recording -------------------------------------------------------------------------------------
    @property
    def recorded(self) -> bool:
        return self.tape is not None

    def forget(self) -> None:
        """The client does not want to be recorded."""
        if self.tape is not None:
            self.tape.erase()
            self.tape = None

    def facts(self) -> dict[str, Any]:
        """What decides its outputs besides its inputs."""
        agent, conversation = self._parts.agent, self._conversation
        return {
            "media": {"rate": self._media.rate, "fps": self._media.fps},
            "agent": {"input_rate": agent.input_rate, "output_rate": agent.output_rate},
            "seed": self._parts.seed,
            "turns": conversation.next_turn - 1,
            "user_turns": conversation.user_turns,
            "stored": self._past.hear is not None,
            "missed": [pack(event) for event in self._past.missed],
        }

    # -- the client's side -----------------------------------------------------------------------------
    def attach(self, client: Client, now: float | None = None) -> None:
        """From now on events go to `client`, first what it missed."""
        at = self._now() if now is None else now
        if self.tape is not None:
            self.tape.attached(at)
        self._client = client
        while self._missed:
            client.put(self._missed.popleft())
        if self._conversation.away:
            self.feed(ev.ClientBack(), at, taped=True)

    def detach(self, client: Client, now: float | None = None) -> None:
        """`client` is gone; the turn waits for it, or for the one that comes back in its place."""
        if self._client is client:
            at = self._now() if now is None else now
            if self.tape is not None:
                self.tape.detached(at)
            self._client = None
            self.feed(ev.ClientLost(), at, taped=True)

    def close(self) -> None:
        """End the session and everything it opened."""
        self._hush()
        self.closed = True
        self._parts.ticker.forget(self)
        self._scope.cancel()

    def _hush(self) -> None:
        """What was heard of the reply that is being spoken is not to be lost with the session."""
        if self._past.hear is not None and not self._failed:
            self.feed(ev.Interrupt())

    # -- the heart -----------------------------------------------------------------------------------------
    def feed(self, event: ev.Event, now: float | None = None, *, taped: bool = False) -> None:
        """Feed the conversation and perform what it says; never waits, never raises. `taped`: what the event
        comes from is on the tape already."""
        if self.closed:
            return
        try:
            at = self._now() if now is None else now
            if self.tape is not None and not taped:
                self.tape.fed(event, at)
            for effect in self._conversation.feed(event, at):
                self._perform(effect, at)
            self._parts.ticker.watch(self)
        except Exception:
            self._log.exception("the session failed", event_type=type(event).__name__)
            self._put(ev.Problem("INTERNAL", "Something went wrong on the server; the conversation ended."))
            self._failed = True
            self.close()

    @property
    def deadline(self) -> float | None:
        return None if self.closed else self._conversation.deadline

    @property
    def state(self) -> ev.State:
        return self._conversation.state

    @property
    def answering(self) -> bool:
        """Whether somebody waits for the rest of a turn."""
        return self.state in ("thinking", "speaking") and not self.closed and not self._conversation.away

    @property
    def turn(self) -> int:
        """The number of the reply that began last; 0 before the first."""
        return self._conversation.next_turn - 1

    def tell(self, event: ev.ToClient) -> None:
        """Tell the client something that is not of the conversation."""
        if self.tape is not None:
            self.tape.told(event, self._now())
        self._put(event)

    @property
    def next_turn(self) -> int:
        """The number of the reply that begins next."""
        return self._conversation.next_turn

    @property
    def live(self) -> bool:
        """Whether replies that begin are played as they arrive; see `Turn.live`."""
        return self._conversation.live

    @live.setter
    def live(self, live: bool) -> None:
        if self.tape is not None:
            self.tape.live(live, self._now())
        self._conversation.live = live

    def tick(self, now: float, group: int) -> None:
        self.feed(ev.Tick(group), now)

    def _perform(self, effect: ev.Effect, at: float) -> None:
        if self._past.hear is not None:
            self._past.hear(effect)
        for hear in self._parts.hears:
            hear(self.id, effect)
        match effect:
            case ev.Animate():
                self._animate(effect)
            case ev.UserAudio() | ev.MicOn():
                self._listen(effect, at)
            case ev.UserText() | ev.MicOff() | ev.CancelReply() | ev.ToolResult() | ev.Recast():
                self._ask(effect)
            case ev.ToolCall():
                self._use_tool(effect)
            case ev.ActionDone(call):
                if (acting := self._acting.pop(call, None)) is not None and not acting.done():
                    acting.set_result(effect)
            case ev.TurnEnded(turn, interrupted=True):
                if self._client is not None:
                    self._client.drop(turn)
                self._put(effect)
            case _:
                self._put(effect)

    def _put(self, event: ev.ToClient) -> None:
        if self._client is not None:
            self._client.put(event)
        elif not isinstance(event, ev.Frames):
            self._missed.append(event)

    # -- the face ------------------------------------------------------------------------------------------
    def _animate(self, job: ev.Animate) -> None:
        if self._face is None or self._face_turn != job.turn:
            timed = job.phonemes is not None
            self._face = self._parts.faces.open(self._media, self._parts.seed + job.turn, timed=timed)
            self._face_turn = job.turn
        face = self._face

        def wanted() -> bool:
            return not self.closed and self._face is face and self._conversation.wants(job.turn)

        def lost() -> None:
            """The engine does not return, and may yet touch this face."""
            if wanted():
                self._face = resting(face)
                self.feed(unmoved(job))

        self._parts.animator.submit(job.due, Move(face, job), self.feed, wanted, lost)

    # -- tools -----------------------------------------------------------------------------------------------
    def _use_tool(self, call: ev.ToolCall) -> None:
        assert self._tasks is not None  # it is an agent that calls, while the session runs
        if len(self._calls) >= MOST_CALLS or call.call in self._calls:
            refusal = ev.ToolResult(call.call, "Too many tools are in use; wait for them.", failed=True)
            asyncio.get_running_loop().call_soon(self.feed, refusal)
        else:
            self._calls.add(call.call)
            self._tasks.start_soon(self._perform_tool, call)

    async def _perform_tool(self, call: ev.ToolCall) -> None:
        result = await self._parts.tools.perform(call, self._act)
        self._calls.remove(call.call)
        self._log.info("a tool was used", tool=call.name, failed=result.failed)
        self.feed(result)

    async def _act(self, action: ev.Action) -> ev.ActionDone | None:
        """Have the client do something; with a `call`, wait for what comes of it."""
        self.tell(action)
        if not action.call:
            return None
        acting: asyncio.Future[ev.ActionDone] = asyncio.get_running_loop().create_future()
        self._acting[action.call] = acting
        try:
            return await acting
        finally:
            self._acting.pop(action.call, None)

    # -- the agent -----------------------------------------------------------------------------------------
    def _listen(self, event: ev.UserAudio | ev.MicOn, at: float) -> None:
        rate = self._parts.agent.input_rate
        if isinstance(event, ev.MicOn):
            self._ears = Resampler(event.rate or rate, rate)
            self._ask(event)
        else:
            played = event.played * self._parts.agent.output_rate // self._media.rate
            pcm = self._ears(event.pcm)
            if self._hearing is None or self._may_hear(self._hearing, len(pcm) / BYTES / rate, at):
                self._ask(replace(event, pcm=pcm, played=played))

    def _may_hear(self, hearing: Bucket, seconds: float, at: float) -> bool:
        """Whether so much sound is still heard; what is not is told once, until there is room again."""
        heard = hearing.take(seconds, at)
        if not heard and not self._deaf:
            self._put(ev.Problem("RATE_LIMITED", "Too much sound in a minute; some of it is not heard."))
        self._deaf = not heard
        return heard

    def _ask(self, event: ev.ToAgent) -> None:
        if self.tape is not None:
            self.tape.asked(event)
        try:
            self._asks_in.send_nowait(event)
        except anyio.WouldBlock:
            # Effects never feed back at once: the failure is an event of its own.
            failure = ev.ReplyFailed("AGENT_OVERLOADED", "The agent does not keep up; please try again.")
            asyncio.get_running_loop().call_soon(self.feed, failure)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the session ends, its agent is gone already

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Open the agent and carry its events until the session is closed; never raises."""
        structlog.contextvars.bind_contextvars(talk=self)  # for whatever the agent's tasks and threads log
        try:
            with self._scope:
                if self._past.recall is not None:
                    self._brief = replace(self._brief, history=await self._past.recall())
                async with self._parts.agent.open(self._brief) as agent, anyio.create_task_group() as tasks:
                    self._tasks = tasks
                    tasks.start_soon(self._forward, agent)
                    task_status.started()
                    async for event in agent:
                        self._hear(well_formed(event))
                    tasks.cancel_scope.cancel()
                self._fail("AGENT_GONE", "The agent has left the conversation.")
        except Exception as error:
            problem = for_people(error)
            if problem is None:
                self._log.exception("the agent failed")
                self._fail("AGENT_FAILED", "The agent failed; please start a new conversation.")
            else:
                self._fail(problem.code, str(problem))
        finally:
            self._hush()
            self.closed = True
            self._parts.ticker.forget(self)
            self._asks_in.close()
            self._asks.close()
            self._on_end()

    def _fail(self, code: str, message: str) -> None:
        if not self.closed:
            self.tell(ev.Problem(code, message))

    async def _forward(self, agent: Agent) -> None:
        async with aclosing(self._asks) as asks:
            async for event in asks:
                await agent.send(event)

    def _hear(self, event: ev.FromAgent) -> None:
        """Feed an agent's event, its audio at the rate of the conversation."""
        source, target = self._parts.agent.output_rate, self._media.rate
        match event:
            case ev.ReplyAudio() if (voice := self._voices.get(event.reply)) is not None:
                phonemes = event.phonemes if self._parts.faces.reads else None
                pcm = voice(event.pcm)
                if pcm is not event.pcm or phonemes is not event.phonemes:
                    event = replace(event, pcm=pcm, phonemes=phonemes)
            case ev.ReplyStarted(reply):
                self._voices = {reply: Resampler(source, target)}
            case ev.ReplyDone(reply) if (voice := self._voices.pop(reply, None)) is not None:
                if tail := voice(b"", last=True):
                    self.feed(ev.ReplyAudio(reply, tail))
        self.feed(event)


def hearing(seconds: float) -> Bucket | None:
    """What lets a session hear so many seconds of sound a minute; 0 is any number."""
    return Bucket(seconds / 60, seconds, 0) if seconds else None
