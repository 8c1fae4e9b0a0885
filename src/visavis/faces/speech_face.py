"""The face of a conversation: the right engine for each turn, life on top, and never a failure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import structlog

from visavis.arkit import COUNT, Weights, neutral
from visavis.audio import Media
from visavis.events import Animate, Animated, Drawing, Emotion, Phoneme
from visavis.faces import (
    DrawnStream,
    ExpressiveFace,
    Face,
    FaceEngine,
    FaceStream,
    ManyVoices,
    PictureEngine,
)
from visavis.faces.accents import LoudAccents, StressAccents, listen
from visavis.faces.framing import split
from visavis.faces.life import Life, enliven
from visavis.meters import Meter, stage
from visavis.plugins import close, load
from visavis.settings import Settings

TIMED = "phonemes"
"""The engine for speech with phoneme times, whichever is configured for other speech."""

FEWEST_SAMPLES, HELD_BACK = 100, 64
"""Less sound than a frame has, in bytes; more frames than an engine keeps for later."""

Piece = tuple[bytes, tuple[Phoneme, ...] | None, bool]
"""What a stream is fed: pcm, phonemes, last."""

_log = structlog.get_logger(__name__)


class Faces:
    """The loaded engines, shared by all sessions."""

    def __init__(self, engine: FaceEngine, timed: FaceEngine, life: bool = True) -> None:
        self._engine, self._timed, self._life = engine, timed, life
        self.idle: Drawing | None = engine.idle if isinstance(engine, PictureEngine) else None
        """The picture between turns of an engine that draws itself; None when the weights are drawn."""
        self.meter = Meter()

    @classmethod
    def load(cls, settings: Settings) -> Faces:
        """Raises `ConfigurationError` or `ModelMissing` when the configured engine cannot be had."""
        name = settings.face.engine
        engine: FaceEngine = load("faces", name, settings)
        if name == TIMED or isinstance(engine, PictureEngine):
            return cls(engine, engine, settings.face.life)
        return cls(engine, load("faces", TIMED, settings), settings.face.life)

    @property
    def reads(self) -> bool:
        """Speech with phonemes is drawn from them; an engine that draws itself hears it like any other."""
        return self.idle is None

    def open(self, media: Media, seed: int, timed: bool) -> ExpressiveFace:
        """The face of one turn; `timed`: its speech comes with phonemes."""
        engine = self._timed if timed else self._engine
        return TurnFace(engine, media, seed, timed, self._life, self.meter)

    def status(self) -> dict[str, Any]:
        problem = getattr(self._engine, "problem", None)
        problems = {"problems": [problem]} if problem else {}
        return {"engine": self._engine.name, "timed": self._timed.name, "life": self._life, **problems}

    def figures(self) -> dict[str, Any]:
        """What moving the faces takes, with either engine."""
        return stage(self._engine.name, self._engine, self.meter)

    async def aclose(self) -> None:
        """Close the engines."""
        for engine in {id(each): each for each in (self._engine, self._timed)}.values():
            await close(engine)


class TurnFace:
    """One engine's stream, made safe: it never raises and always has the right number of frames.

    When the engine raises, or returns what it must not, the rest of the turn has a neutral face.
    """

    def __init__(
        self, engine: FaceEngine, media: Media, seed: int, timed: bool, life: bool, meter: Meter
    ) -> None:
        self.engine, self._media, self.meter = engine, media, meter
        self._samples = self._frames = 0
        self.stream: FaceStream | None = None
        self._drawings: tuple[Drawing, ...] = ()
        try:
            self.stream = engine.open(media, seed)
        except Exception as error:  # a plug-in may raise anything, and the audio must go on
            self.failed(error)
        self.shared = isinstance(engine, ManyVoices)
        self._draws = isinstance(self.stream, DrawnStream)
        self.life = Life(seed, media.fps) if life else None
        self.accents = StressAccents(media, seed) if timed else LoudAccents(media, seed)

    def express(self, emotions: tuple[Emotion, ...]) -> None:
        if self.life is not None:
            self.life.express(emotions, self._frames)

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        return feed_all([self], [(pcm, phonemes, last)])[0]

    def drawings(self) -> tuple[Drawing, ...]:
        return self._drawings

    # -- the parts of `feed_all` --------------------------------------------------------------------------
    def expect(self, pcm: bytes, last: bool) -> int:
        """How many frames this sound may have moved by its end."""
        self._samples += len(pcm) // 2
        return (self._media.covering if last else self._media.whole)(self._samples) - self._frames

    def move(self, piece: Piece, due: int) -> Weights:
        """What the engine, alone, makes of a piece."""
        pcm, phonemes, last = piece
        self._drawings = ()
        if self.stream is None:
            return neutral(due)
        stream: Any = self.stream
        began = time.perf_counter()
        try:
            weights = stream.feed(pcm, phonemes, last)
            [weights] = _checked([weights], [due], [last])
            drawings = tuple(stream.drawings()) if self._draws else ()
            if drawings and len(drawings) != len(weights):
                raise ValueError(f"got {len(drawings)} drawings of {len(weights)} frames")
        except Exception as error:  # a plug-in may raise anything, and the audio must go on
            self.failed(error)
            return neutral(due)
        self._drawings = drawings
        self.meter.took(time.perf_counter() - began)
        return weights

    def moved(self, weights: Weights, due: int, last: bool, seconds: float) -> Weights:
        """What the engine has made of a piece, in so many seconds, for this voice among others."""
        try:
            [weights] = _checked([weights], [due], [last])
        except ValueError as error:
            self.failed(error)
            return neutral(due)
        self.meter.took(seconds)
        return weights

    def failed(self, error: Exception) -> None:
        self.stream = None
        self.meter.failed(error)
        _log.error(
            "face engine failed: neutral face for the rest of this turn",
            engine=self.engine.name,
            exc_info=error,
        )

    def resting(self) -> TurnFace:
        """Another one that goes on where this one was asked for the last time, neutral and without life."""
        other = copy(self)
        other.stream = other.life = None
        other._frames = self._media.whole(self._samples)
        return other

    def advance(self, count: int) -> int:
        """So many frames more are moved; returns the first of them."""
        first, self._frames = self._frames, self._frames + count
        return first


def feed_all(faces: Sequence[TurnFace], pieces: Sequence[Piece]) -> list[Weights]:
    """`feed` of each of these faces, all different; together it takes little longer than for one of them."""
    dues = [face.expect(pcm, last) for face, (pcm, _, last) in zip(faces, pieces, strict=True)]
    weights = [neutral(0)] * len(faces)
    together: dict[int, list[int]] = {}
    for index, (face, piece) in enumerate(zip(faces, pieces, strict=True)):
        if face.shared and face.stream is not None:
            together.setdefault(id(face.engine), []).append(index)
        else:
            weights[index] = face.move(piece, dues[index])
    for group in together.values():
        for index, rows in zip(group, _move(faces, pieces, dues, group), strict=True):
            weights[index] = rows
    return _enliven(faces, pieces, weights)


def _move(
    faces: Sequence[TurnFace], pieces: Sequence[Piece], dues: Sequence[int], group: Sequence[int]
) -> list[Weights]:
    """What one engine makes of the pieces of a group of faces."""
    members, engine = [faces[index] for index in group], cast(Any, faces[group[0]].engine)
    due, lasts = [dues[index] for index in group], [pieces[index][2] for index in group]
    began = time.perf_counter()
    try:
        found = engine.feed_all([face.stream for face in members], [pieces[index][::2] for index in group])
        took = time.perf_counter() - began
        try:
            weights = _checked(found, due, lasts)
        except ValueError:  # who is it?
            moved = zip(members, found, due, lasts, strict=True)
            return [face.moved(rows, count, last, took) for face, rows, count, last in moved]
    except Exception as error:  # as above
        for face in members:
            face.failed(error)
        return [neutral(count) for count in due]
    for face in members:
        face.meter.took(took)
    return weights


def _enliven(faces: Sequence[TurnFace], pieces: Sequence[Piece], weights: list[Weights]) -> list[Weights]:
    firsts = [face.advance(len(rows)) for face, rows in zip(faces, weights, strict=True)]
    alive = [index for index, face in enumerate(faces) if face.life is not None]
    if not alive:
        return weights
    try:
        _hear([faces[index].accents for index in alive], [pieces[index] for index in alive])
        lives = [life for face in faces if (life := face.life) is not None]
        rows = [weights[index] for index in alive]
        accents = [faces[index].accents.take(len(weights[index])) for index in alive]
        lively = enliven(lives, rows, [firsts[index] for index in alive], accents)
        for index, lived in zip(alive, lively, strict=True):
            weights[index] = lived
    except Exception:
        _log.exception("the life layer failed: none for the rest of these turns")
        for face in faces:
            face.life = None
    return weights


def _hear(accents: Sequence[StressAccents | LoudAccents], pieces: Sequence[Piece]) -> None:
    loud: list[tuple[LoudAccents, tuple[bytes, bool]]] = []
    for each, (pcm, phonemes, last) in zip(accents, pieces, strict=True):
        if isinstance(each, LoudAccents):
            loud.append((each, (pcm, last)))
        else:
            each.feed(pcm, phonemes, last)
    listen([each for each, _ in loud], [piece for _, piece in loud])


def _checked(found: Sequence[Weights], dues: Sequence[int], lasts: Sequence[bool]) -> list[Weights]:
    """Weights in 0..1. Raises `ValueError` when any are not what they should be."""
    found = [np.asarray(weights, np.float32) for weights in found]
    for weights, due, last in zip(found, dues, lasts, strict=True):
        if weights.shape[1:] != (COUNT,) or len(weights) > due or (last and len(weights) != due):
            raise ValueError(f"got weights of shape {weights.shape}, expected [{due}, {COUNT}]")
    together = np.concatenate(found)
    if not np.isfinite(together).all():
        raise ValueError("got weights that are not finite numbers")
    return split(together.clip(0.0, 1.0), [len(weights) for weights in found])


@dataclass(frozen=True, slots=True)
class Move:
    """An `Animate`, and the face that is to follow it."""

    face: Face
    job: Animate


def move(moves: Sequence[Move]) -> list[Animated]:
    """Move the faces of different turns; it never raises where `ExpressiveFace.feed` does not."""
    for each in moves:
        if each.job.emotions:
            _expressive(each).express(each.job.emotions)
    ours = [each for each in moves if isinstance(each.face, TurnFace)]
    faces: Any = [each.face for each in ours]
    pieces = [(each.job.pcm, each.job.phonemes, each.job.last) for each in ours]
    found = {id(each): rows for each, rows in zip(ours, feed_all(faces, pieces), strict=True)}
    return [_animated(each, found.get(id(each))) for each in moves]


def resting(face: Face) -> Face:
    """What stands for a face whose engine has not returned, in the rest of its turn."""
    return face.resting() if isinstance(face, TurnFace) else face


def unmoved(job: Animate) -> Animated:
    """A face that was asked for in vain: as many neutral frames as there can be room for, since those that
    were held back are in it as well."""
    return Animated(job.turn, neutral(len(job.pcm) // FEWEST_SAMPLES + HELD_BACK), job.last)


def _animated(each: Move, weights: Weights | None) -> Animated:
    face, job = _expressive(each), each.job
    if weights is None:
        weights = face.feed(job.pcm, job.phonemes, job.last)
    return Animated(job.turn, weights, job.last, face.drawings())


def _expressive(each: Move) -> ExpressiveFace:
    return cast(ExpressiveFace, each.face)
