"""Feeds a recording's inputs at their times to the same core, codecs and faces; compares the outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from visavis import events as ev
from visavis.arkit import neutral
from visavis.audio import Media
from visavis.conversation import Conversation
from visavis.errors import VisavisError
from visavis.faces.speech_face import Faces, Move, move
from visavis.recording import OUTPUTS
from visavis.recording.lines import Line, encode, message_of, unpack
from visavis.recording.reader import BrokenOff, Recording, Step
from visavis.recording.redaction import Redaction
from visavis.recording.tape import LineTape, Tape
from visavis.session import Parts, Past, Session, hearing
from visavis.settings import Settings
from visavis.wires import BadMessage, Hello, Message
from visavis.wires.widget import WidgetWire

CLOSE = 5e-4
"""By how much weights may differ from the recorded ones, which then stand for them: other processors round
differently, and messages carry three digits."""
KEPT = 20
"""Differences that are kept."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What came of one input, then and now; `at` is seconds from the recording's beginning."""

    at: float
    input: Line
    recorded: Sequence[bytes]
    replayed: Sequence[bytes]


@dataclass
class Outcome:
    """What a replay came to. `differences`: the first of them, of `different` inputs."""

    inputs: int = 0
    outputs: int = 0
    seconds: float = 0.0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)
    worst: float = 0.0
    """The largest difference of a weight that was let pass."""
    faces: bool = False
    """They were moved again, and not taken from the recording."""
    broken_off: bool = False


def replay(path: Path, settings: Settings, *, recorded_faces: bool = False) -> Outcome:
    """Replay the recording at `path`; `recorded_faces` takes the faces from it instead of moving them again.

    Raises `VisavisError` when it cannot be read, or its face engine is not here.
    """
    recording = Recording(path)
    try:
        redaction = Redaction.of(recording.header["redacted"])
        moved = not recorded_faces and not redaction.text  # phonemes are words, too
        faces = Faces.load(_like(settings, recording.header)) if moved else None
        return asyncio.run(_run(recording, redaction, faces))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{path} cannot be replayed: it is damaged ({type(error).__name__})."
        raise VisavisError("BAD_RECORDING", reason) from error


def _like(settings: Settings, header: Line) -> Settings:
    """Settings with the face of the recording; where its models are is a matter of this machine."""
    face = settings.face.model_copy(update=header["settings"]["face"])
    return settings.model_copy(update={"face": face})


async def _run(recording: Recording, redaction: Redaction, faces: Faces | None) -> Outcome:
    player = _Player(recording.header, redaction, faces)
    outcome, last = Outcome(faces=faces is not None), None
    try:
        try:
            for step in recording.steps():
                if last is not None:
                    _judge(outcome, last, player.play(last), player.begun)
                last = step
        except BrokenOff:
            outcome.broken_off = True
        if last is not None:
            replayed = player.play(last)
            # The last outputs may be missing where a file breaks off.
            whole = replayed[: len(last.outputs)] if outcome.broken_off else replayed
            _judge(outcome, last, whole, player.begun)
        outcome.worst = player.worst
        return outcome
    finally:
        player.close()


def _judge(outcome: Outcome, step: Step, replayed: list[bytes], begun: float) -> None:
    outcome.inputs += 1
    outcome.outputs += len(step.outputs)
    outcome.seconds = step.at - begun
    if replayed != step.outputs:
        outcome.different += 1
        if len(outcome.differences) < KEPT:
            outcome.differences.append(Difference(step.at - begun, step.input, step.outputs, replayed))


class _Player:
    """A session, its connections, and what they say; the recording is their clock."""

    def __init__(self, header: Line, redaction: Redaction, faces: Faces | None) -> None:
        self.begun, self.worst = float(header["t"]), 0.0
        self._redaction, self._faces = redaction, faces
        self._media = Media(**header["media"])
        self._outputs: list[bytes] = []
        self._times: list[int] = []
        self._tape = Tape(self._put, lambda: None)
        self._lines: dict[int, _Line] = {}
        self._follower = self._tape.follower()
        self._jobs: dict[int, Move] = {}
        self._session = self._open(header)

    def _open(self, header: Line) -> _Replayed:
        # Parts that only a live session has need not be whole.
        agent: Any = _Agent(**header["agent"])
        moved: Any = self._faces or _Unmoved()
        animator: Any = self
        ticker: Any = _Nobody()
        past = Past(
            (lambda effect: None) if header["stored"] else None,
            missed=tuple(unpack(line) for line in header["missed"]),
        )
        talk = Conversation(self._media, None, header["turns"], header["user_turns"])
        parts = Parts(agent, moved, animator, ticker, header["seed"])
        limit = hearing(header["hearing"])
        return _Replayed(header["session"], parts, talk, past=past, hearing=limit, tape=self._tape)

    def play(self, step: Step) -> list[bytes]:
        """What comes of an input now, as lines."""
        self._outputs = []
        outs = (orjson.loads(line) for line in step.outputs if line.startswith(b'{"kind":"out"'))
        self._times = [int(line["ms"]) for line in outs]
        self._perform(step.input, step.at)
        return self._outputs

    def close(self) -> None:
        self._session.release()

    def _put(self, kind: str, values: dict[str, Any], size: int) -> None:
        if kind in OUTPUTS:
            self._outputs.append(encode(kind, values, self._redaction))

    def _ms(self) -> int:
        """The wall-clock time that the next message was recorded with."""
        sent = sum(line.startswith(b'{"kind":"out"') for line in self._outputs)
        return self._times[min(sent, len(self._times) - 1)] if self._times else 0

    def _perform(self, line: Line, at: float) -> None:
        match line["kind"]:
            case "join":
                wire = WidgetWire(line["session"], self._media)
                wire.extended, wire.binary, wire.array = line["extended"], line["binary"], line["array"]
                tape = self._tape.join(wire, at)
                self._lines[line["line"]] = _Line(wire, tape, self._ms)
            case "in":
                self._take(self._lines[line["line"]].wire, message_of(line), at)
            case "say":
                self._lines[line["line"]].put(unpack(line))
            case "config":
                self._lines[line["line"]].configure(line)
            case "attach":
                self._session.attach(self._lines[max(self._lines)] if self._lines else self._follower, at)
            case "detach":
                self._session.leave(at)
            case "feed":
                self._session.feed(self._moved(unpack(line)), at)
            case "told":
                self._session.tell(unpack(line))
            case "live":
                self._session.live = line["live"]

    def _take(self, wire: WidgetWire, message: Message, at: float) -> None:
        try:
            said = wire.decode(message)
        except BadMessage:
            return  # what the client was told of it is on the tape
        for event in said:
            if not isinstance(event, Hello | ev.Ping):
                self._session.feed(event, at, taped=True)

    # -- the face ------------------------------------------------------------------------------------------
    def submit(self, due: float, job: Move, done: object, wanted: object, lost: object) -> None:
        """Stands for the animator: the work is done when its result was there."""
        self._jobs[job.job.turn] = job

    def _moved(self, event: Any) -> Any:
        """The recorded face, or what is made of it now when that is another one."""
        if not isinstance(event, ev.Animated) or self._faces is None:
            return event
        job = self._jobs.pop(event.turn, None)
        if job is None:
            return event
        made = move([job])[0]
        if made.weights.shape != event.weights.shape:
            return replace(made, drawings=())
        apart = float(np.max(np.abs(made.weights - event.weights), initial=0.0))
        if apart > CLOSE:
            return replace(made, drawings=())
        self.worst = max(self.worst, apart)
        return event


class _Line:
    """One connection of the widget dialect."""

    def __init__(self, wire: WidgetWire, tape: LineTape, ms: Callable[[], int]) -> None:
        self.wire, self._tape, self._ms = wire, tape, ms

    def put(self, event: ev.ToClient) -> None:
        ms = self._ms()
        self._tape.sent(self.wire.encode(event, ms), ms)

    def drop(self, turn: int) -> None:
        self._tape.drop(turn)

    def configure(self, line: Line) -> None:
        ms, token = self._ms(), "x" * int(line["token"])
        config = self.wire.config(line["input_rate"], token, ms, resumed=line["resumed"], recorded=True)
        self._tape.sent([config], ms)


class _Replayed(Session):
    """One that nobody answers: what the agent and the tools did is on the tape."""

    def leave(self, at: float) -> None:
        if self._client is not None:
            self.detach(self._client, at)

    def release(self) -> None:
        self._asks_in.close()
        self._asks.close()

    def _ask(self, event: ev.ToAgent) -> None:
        if self.tape is not None:
            self.tape.asked(event)

    def _use_tool(self, call: ev.ToolCall) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Agent:
    input_rate: int
    output_rate: int


class _Nobody:
    """Wakes no session: that is on the tape."""

    def watch(self, session: Session) -> None:
        pass

    def forget(self, session: Session) -> None:
        pass


class _Unmoved:
    """Opens faces that are not moved."""

    reads = True

    def open(self, media: Media, seed: int, *, timed: bool) -> Any:
        return self

    def express(self, emotions: object) -> None:
        pass

    def feed(self, pcm: bytes, phonemes: object, last: bool) -> Any:
        return neutral(0)

    def drawings(self) -> tuple[ev.Drawing, ...]:
        return ()
