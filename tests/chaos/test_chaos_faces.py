"""A face engine that never returns: everybody's sound goes on, one thread is lost, and only some are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from tests.chaos.house import Guest
from tests.chaos.party import ask, disaster

from visavis.arkit import Weights
from visavis.audio import Media
from visavis.faces import FaceStream
from visavis.faces.animator import MOST_LEFT, Animator
from visavis.faces.speech_face import Faces
from visavis.plugins import load


class Stuck(BaseException):
    """Raised by an engine instead of never returning; nothing on the way may take it for an error."""


class Engine:
    """Gets stuck in every face that begins while it is `bad`."""

    name = "stuck"

    def __init__(self, engine: Any) -> None:
        self._engine, self.bad = engine, False

    def open(self, media: Media, seed: int) -> FaceStream:
        stream, bad = self._engine.open(media, seed), self.bad
        self.bad = False

        class Stream:
            def feed(self, pcm: bytes, phonemes: Any, last: bool) -> Weights:
                if bad:
                    raise Stuck
                weights: Weights = stream.feed(pcm, phonemes, last)
                return weights

        return Stream()


class Thread(Executor):
    """Does everything at once; what gets stuck never ends."""

    def __init__(self, kept: list[Future[Any]]) -> None:
        self._kept = kept

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Stuck:
            self._kept.append(future)
        return future


def faces(guest: Guest) -> set[bool]:
    """Whether the faces of a guest's frames move."""
    return {any(frame["weights"].values()) for frame in guest.of("sync_frame")}


def test_a_face_engine_that_never_returns(tmp_path: Path) -> None:
    stuck: list[Future[Any]] = []

    async def happening(app: FastAPI) -> None:
        sessions = app.state.sessions
        engine = Engine(load("faces", "energy", app.state.settings))
        animator = Animator(Thread(stuck), another=lambda: Thread(stuck))
        sessions.parts = replace(sessions.parts, animator=animator, faces=Faces(engine, engine, life=False))
        async with Guest(app) as guest:
            for number in range(MOST_LEFT):
                engine.bad = True
                guest.heard.clear()
                await ask(guest, f"stuck-{number} 2.5")
                assert faces(guest) == {False}
                assert animator.left == len(stuck) == number + 1
                if number < MOST_LEFT - 1:
                    guest.heard.clear()
                    await ask(guest, f"after-{number} 1.0")
                    assert True in faces(guest)
            guest.heard.clear()
            await ask(guest, "still 1.0")  # nobody asks the engine any more
            assert faces(guest) == {False}
            assert "FACES_STUCK" in animator.problems[0]
            assert not guest.codes

    disaster(happening, tmp_path, logged=["the face engine does not return"])
