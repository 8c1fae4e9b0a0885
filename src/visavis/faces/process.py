"""The faces of all conversations, moved in a process of their own.

Moving faces is as much Python's work as the net's: in a thread beside the event loop they would take turns.
The process hears requests on its standard input and answers on its standard output: pickles, their length in
front. When it ends, the faces that it moved stay neutral for the rest of their turns, and another is started.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any
from weakref import finalize

import structlog

from visavis import garbage, logs
from visavis.audio import Media
from visavis.errors import VisavisError, for_people
from visavis.events import Animate, Animated, Drawing
from visavis.faces import ExpressiveFace
from visavis.faces.speech_face import TIMED, Faces, Move, move, unmoved
from visavis.lane import Lane
from visavis.meters import Meter, stage
from visavis.settings import Settings

ENGINE = "net"
"""The one that is moved there: Python's work, in pieces too small for a thread."""
PATIENCE = 60.0
"""Seconds in which the process must be ready."""
AGAIN = 1.0, 30.0
"""Seconds until another process is started, at first and at most."""
PIPE = 1 << 20
"""Bytes of the pipes, where that can be chosen: a request has half of it."""
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
"""Have the C library (glibc) keep what large arrays were in: every batch makes the same ones, and a sixth of
its time went into pages that came and went."""
END = 5.0
"""Seconds that the process has to end."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a face is opened with."""

    media: Media
    seed: int
    timed: bool


@dataclass(frozen=True, slots=True)
class Request:
    moves: list[tuple[int, Opening | None, Animate]]
    """The number of each face, and how to open it if it is new."""
    gone: list[int]
    """Faces that nobody will ask for again."""


@dataclass(frozen=True, slots=True)
class Answer:
    animated: list[Animated]
    seconds: list[float]
    """What the calls of the engine took."""
    errors: list[str]
    """Why others of them failed."""


class Child:
    """One such process, until it ends. `ask` is for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        """Start it and wait until it is ready. Raises `VisavisError`."""
        command = [sys.executable, "-c", f"from {__name__} import main; main()"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | MEMORY,
            process_group=0,  # Ctrl-C is for the server, which ends this process
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        _widen(self._requests)
        _widen(self._answers)
        late = threading.Timer(PATIENCE, self.kill)
        late.start()
        try:
            _send(self._requests, settings)
            failure = _receive(self._answers)
        except (EOFError, OSError) as error:
            self.close()
            raise VisavisError(
                "FACES_GONE", f"The process that moves faces did not start ({self})."
            ) from error
        finally:
            late.cancel()
        if failure is not None:
            self.close()
            raise VisavisError(*failure)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __str__(self) -> str:
        return f"process {self.pid}, exit code {self._process.poll()}"

    def ask(self, request: Request) -> Answer:
        """Raises `EOFError` or `OSError` when it has ended."""
        _send(self._requests, request)
        answer: Answer = _receive(self._answers)
        return answer

    def kill(self) -> None:
        """End it at once; who waits for an answer hears of it."""
        self._process.kill()

    def close(self) -> None:
        """End it when it is done."""
        with suppress(OSError):
            self._requests.close()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


class FarFace:
    """Stands for one there."""

    def __init__(self, number: int, opening: Opening, child: Child | None) -> None:
        """`child`: None when there is no process; the face is neutral then."""
        self.number, self.opening, self.child = number, opening, child
        self.opened = False


class FaceProcess:
    """As `Faces`, and the `work` of an `Animator`."""

    idle: Drawing | None = None
    reads = True

    def __init__(self, settings: Settings, start: Callable[[Settings], Child] = Child) -> None:
        """Blocking. Raises `VisavisError` when it cannot be started."""
        self._settings, self._start = settings, start
        self.meter = Meter()
        self._child: Child | None = start(settings)
        self._count = 0
        self._gone: deque[int] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def open(self, media: Media, seed: int, timed: bool) -> FarFace:
        """The face of one turn; `timed`: its speech comes with phonemes."""
        self._count += 1
        face = FarFace(self._count, Opening(media, seed, timed), self._child)
        finalize(face, self._gone.append, face.number).atexit = False
        return face

    def move(self, moves: Sequence[Move]) -> list[Animated]:
        """See `speech_face.move`; for one thread at a time, except that one may be stuck."""
        child, found = self._child, dict[int, Animated]()
        ours = [each for each in moves if child is not None and _of(each).child is child]
        if child is not None and ours:
            gone = [self._gone.popleft() for _ in range(len(self._gone))]
            wanted = [(_of(each).number, _opening(_of(each)), each.job) for each in ours]
            try:
                answer = child.ask(Request(wanted, gone))
            except (EOFError, OSError, ValueError):  # the last: it was closed meanwhile
                self._lost(child)
            else:
                found = {id(each): moved for each, moved in zip(ours, answer.animated, strict=True)}
                self._note(answer)
        return [found.get(id(each)) or unmoved(each.job) for each in moves]

    def another(self) -> Executor:
        """Instead of a thread that waits for a process that does not answer."""
        if (child := self._child) is not None:
            child.kill()
        return Lane("face")

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        child = self._child
        return None if child is None else child.pid

    def status(self) -> dict[str, Any]:
        face = self._settings.face
        problem = "FACES_GONE: The process that moves faces has ended; another one is being started."
        problems = {"problems": [problem]} if self._child is None else {}
        return {"engine": face.engine, "timed": TIMED, "life": face.life, **problems}

    def figures(self) -> dict[str, Any]:
        """What moving the faces takes, with either engine."""
        return stage(self._settings.face.engine, self._child, self.meter)

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.close()

    def _note(self, answer: Answer) -> None:
        for seconds in answer.seconds:
            self.meter.took(seconds)
        for reason in answer.errors:
            self.meter.failed(RuntimeError(reason))

    def _lost(self, child: Child) -> None:
        """It has ended: have another one."""
        with self._lock:
            if self._child is not child:
                return
            self._child = None
        child.close()
        error = f"the process that moves faces has ended ({child})"
        self.meter.failed(RuntimeError(error))
        _log.error(f"{error}: neutral faces for the rest of these turns", code="FACES_GONE")
        threading.Thread(target=self._restart, name="faces", daemon=True).start()

    def _restart(self) -> None:
        wait, longest = AGAIN
        while not self._closing.wait(wait):
            try:
                child = self._start(self._settings)
            except (VisavisError, OSError) as error:
                _log.error("the process that moves faces does not start", reason=str(error))
                wait = min(2 * wait, longest)
                continue
            with self._lock:
                if not self._closing.is_set():
                    self._child = child
                    return
            child.close()


def load(settings: Settings) -> Faces | FaceProcess:
    """The faces of a server, in a process of their own if that is set and helps. Raises as `Faces.load`."""
    apart = settings.face.process and settings.face.engine == ENGINE
    began = time.monotonic()
    faces = FaceProcess(settings) if apart else Faces.load(settings)
    faces.meter.warm_up = time.monotonic() - began
    return faces


def _of(each: Move) -> FarFace:
    assert isinstance(each.face, FarFace)
    return each.face


def _opening(face: FarFace) -> Opening | None:
    """How to open it, if it is not yet."""
    opening = None if face.opened else face.opening
    face.opened = True
    return opening


# -- the process ---------------------------------------------------------------------------------------------
class Notes(Meter):
    """What is to be told of the engine's calls."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds, self._reasons = list[float](), list[str]()

    def took(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def failed(self, error: Exception) -> None:
        self._reasons.append(str(error) or type(error).__name__)

    def take(self) -> tuple[list[float], list[str]]:
        found = self._seconds, self._reasons
        self._seconds, self._reasons = [], []
        return found


class Room:
    """The faces that are open there."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces
        faces.meter = self._notes = Notes()
        self.open: dict[int, ExpressiveFace] = {}

    def answer(self, request: Request) -> Answer:
        for number, opening, _ in request.moves:
            if opening is not None:
                self.open[number] = self._faces.open(opening.media, opening.seed, opening.timed)
        found = move([Move(self.open[number], job) for number, _, job in request.moves])
        for number in request.gone:
            self.open.pop(number, None)
        return Answer(found, *self._notes.take())


def main() -> None:
    """Move faces as long as somebody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it comes here all the same (Windows)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    settings: Settings = _receive(requests)
    logs.set_up(settings.logs)
    try:
        room = Room(Faces.load(settings))
    except Exception as error:
        told = for_people(error) or VisavisError("FACES_GONE", f"{type(error).__name__}: {error}")
        _send(answers, (told.code, str(told)))
        return
    garbage.settle()
    _send(answers, None)
    with suppress(EOFError, BrokenPipeError):  # the server has ended, perhaps without a word
        while True:
            _send(answers, room.answer(_receive(requests)))


def _send(pipe: IO[bytes], value: object) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """What was sent, by a process of our own, so that a pickle does no harm. Raises `EOFError` at its end."""
    head = pipe.read(8)
    size = int.from_bytes(head, "little")
    data = pipe.read(size)
    if len(head) < 8 or len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301


def _widen(pipe: IO[bytes]) -> None:
    """Have a large message go through without stopping, where the system can (Linux)."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
    except (ImportError, AttributeError, OSError):
        pass
