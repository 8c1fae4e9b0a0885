"""Faces that are moved in a process of their own: the same as in a thread, and nothing is lost with it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.test_faces import voice

from visavis.arkit import INDEX
from visavis.audio import Media
from visavis.errors import VisavisError
from visavis.events import Animate, Animated, Emotion, Phoneme
from visavis.faces import Face
from visavis.faces.process import Answer, Child, FaceProcess, Request, Room, load
from visavis.faces.speech_face import Faces, Move, move
from visavis.settings import FaceSettings, Settings

PATIENCE = 60.0
"""Seconds that a process may take to start on a busy machine."""
MEDIA = Media()
STEP = MEDIA.edge(6) * 2
SPOKEN = (Phoneme("m", 0.0, 0.1), Phoneme("a", 0.1, 0.4, 2), Phoneme("sil", 0.4, 1.2))


@pytest.fixture(scope="module")
def far() -> Iterator[FaceProcess]:
    with closing(FaceProcess(Settings())) as faces:
        yield faces


def jobs(number: int, *, timed: bool = False) -> list[Animate]:
    """A turn of a second or so, in pieces; every face is a little different."""
    pcm = voice(1.0 + 0.1 * number, MEDIA.rate)
    pieces = [pcm[begin : begin + STEP] for begin in range(0, len(pcm), STEP)]
    glad = (Emotion("", "joy", 0.2),) if number % 2 else ()
    return [
        Animate(
            number + 1,
            piece,
            (SPOKEN if index == 0 else ()) if timed else None,
            index == len(pieces) - 1,
            0.0,
            glad if index == 0 else (),
        )
        for index, piece in enumerate(pieces)
    ]


def play(
    faces: Sequence[Face], turns: list[list[Animate]], move_all: Callable[[list[Move]], list[Animated]]
) -> list[list[Animated]]:
    found: list[list[Animated]] = [[] for _ in faces]
    for index in range(max(map(len, turns))):
        who = [number for number, turn in enumerate(turns) if index < len(turn)]
        moved = move_all([Move(faces[number], turns[number][index]) for number in who])
        for number, animated in zip(who, moved, strict=True):
            found[number].append(animated)
    return found


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_face_there_is_the_face_here(far: FaceProcess) -> None:
    here = Faces.load(Settings())
    turns = [jobs(number, timed=number == 2) for number in range(4)]
    ours = [here.open(MEDIA, number, timed=number == 2) for number in range(4)]
    theirs = [far.open(MEDIA, number, timed=number == 2) for number in range(4)]
    for near, there in zip(play(ours, turns, move), play(theirs, turns, far.move), strict=True):
        assert [piece.turn for piece in near] == [piece.turn for piece in there]
        assert [piece.last for piece in near] == [piece.last for piece in there]
        for one, other in zip(near, there, strict=True):
            np.testing.assert_array_equal(one.weights, other.weights)
    assert far.status() == here.status()
    assert far.figures()["calls"] == here.figures()["calls"] == sum(map(len, turns))


class Near:
    """A process that is none: what is asked is answered here."""

    pid = 0

    def __init__(self, settings: Settings) -> None:
        self.room, self.asked = Room(Faces.load(settings)), list[Request]()

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.room.answer(request)

    def kill(self) -> None: ...
    def close(self) -> None: ...


def test_faces_that_nobody_holds_are_forgotten() -> None:
    started: list[Near] = []

    def start(settings: Settings) -> Any:
        started.append(Near(settings))
        return started[0]

    with closing(FaceProcess(Settings(face=FaceSettings(life=False)), start)) as faces:
        one, other = (faces.open(MEDIA, 0, timed=False) for _ in range(2))
        job = jobs(0)[0]
        faces.move([Move(one, job), Move(other, job)])
        assert len(started[0].room.open) == 2
        del one
        gc.collect()
        faces.move([Move(other, job)])
    assert len(started[0].room.open) == 1
    openings = [opening for request in started[0].asked for _, opening, _ in request.moves]
    assert [opening is None for opening in openings] == [False, False, True]


def test_an_engine_that_fails_there_is_counted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no face today")

    with closing(FaceProcess(Settings(), Near)) as faces:  # type: ignore[arg-type]
        face = faces.open(MEDIA, 0, timed=False)
        faces.move([Move(face, jobs(0)[0])])
        monkeypatch.setattr("visavis.faces.net.feed_all", fail)
        (animated,) = faces.move([Move(face, jobs(0)[1])])
        assert not animated.weights[:, INDEX["jawOpen"]].any()
        assert faces.meter.figures()["last_error"] == "no face today"
        assert (faces.meter.calls, faces.meter.errors) == (2, 1)


def test_when_the_process_ends_faces_rest_and_another_one_is_started() -> None:
    again_allowed, started = threading.Event(), list[Child]()

    def start(settings: Settings) -> Child:
        if started:
            assert again_allowed.wait(PATIENCE)
        started.append(Child(settings))
        return started[-1]

    with closing(FaceProcess(Settings(), start)) as faces:
        face, before = faces.open(MEDIA, 0, timed=False), faces.pid
        first, second, *_, last = jobs(0)
        (moved,) = faces.move([Move(face, first)])
        assert moved.weights.any()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        for job in (second, last):
            (resting,) = faces.move([Move(face, job)])
            assert (resting.turn, resting.last) == (job.turn, job.last)
            assert len(resting.weights) >= MEDIA.covering(len(job.pcm) // 2)
            assert not resting.weights.any()
        assert faces.status()["problems"][0].startswith("FACES_GONE: ")
        between = faces.open(MEDIA, 0, timed=False)
        assert not faces.move([Move(between, first)])[0].weights.any()
        again_allowed.set()
        until(lambda: faces.pid not in (None, before))
        assert "problems" not in faces.status()
        (resting,) = faces.move([Move(face, last)])
        assert not resting.weights.any(), "it does not know how that face began"
        again = faces.open(MEDIA, 0, timed=False)
        (moved_again,) = faces.move([Move(again, first)])
        np.testing.assert_array_equal(moved.weights, moved_again.weights)


def test_a_process_that_does_not_answer_holds_nobody_up() -> None:
    with closing(FaceProcess(Settings())) as faces:
        face, before = faces.open(MEDIA, 0, timed=False), faces.pid
        assert before is not None
        faces.move([Move(face, jobs(0)[0])])
        os.kill(before, signal.SIGSTOP)
        found: list[Animated] = []
        stuck = threading.Thread(target=lambda: found.extend(faces.move([Move(face, jobs(0)[1])])))
        stuck.start()
        faces.another().shutdown()
        stuck.join(PATIENCE)
        assert not found[0].weights.any()
        until(lambda: faces.pid not in (None, before))
        again = faces.open(MEDIA, 0, timed=False)
        assert faces.move([Move(again, jobs(0)[0])])[0].weights.any()


def test_the_process_ends_with_its_server() -> None:
    with closing(FaceProcess(Settings())) as faces:
        pid = faces.pid
    assert pid is not None
    assert faces.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_cannot_be_started_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(VisavisError, match=r"did not start .*exit code 3"):
        FaceProcess(Settings())


def test_what_keeps_the_engine_from_loading_is_said_here() -> None:
    with pytest.raises(VisavisError, match="There is no faces plug-in 'wav2nothing'") as raised:
        FaceProcess(Settings(face=FaceSettings(engine="wav2nothing")))
    assert raised.value.code == "BAD_CONFIGURATION"


@pytest.mark.parametrize(("engine", "process"), [("energy", True), ("net", False)])
def test_others_are_moved_in_a_thread(engine: str, *, process: bool) -> None:
    faces = load(Settings(face=FaceSettings(engine=engine, process=process)))
    assert isinstance(faces, Faces)
    assert faces.meter.warm_up is not None
