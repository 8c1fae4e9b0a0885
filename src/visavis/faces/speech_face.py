"""The face of a conversation: the right engine for each turn, life on top, and never a failure."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import structlog

from visavis.arkit import COUNT, Weights, neutral
from visavis.audio import Media
from visavis.events import Drawing, Emotion, Phoneme
from visavis.faces import DrawnStream, ExpressiveFace, FaceEngine, FaceStream, PictureEngine
from visavis.faces.accents import LoudAccents, StressAccents
from visavis.faces.life import Life
from visavis.meters import Meter, stage
from visavis.plugins import close, load
from visavis.settings import Settings

TIMED = "phonemes"
"""The engine for speech with phoneme times, whichever is configured for other speech."""

_log = structlog.get_logger(__name__)


class Faces:
    """The loaded engines, shared by all sessions."""

    def __init__(self, engine: FaceEngine, timed: FaceEngine, life: bool = True) -> None:
        self._engine, self._timed, self._life = engine, timed, life
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

    @property
    def idle(self) -> Drawing | None:
        """The picture between turns of an engine that draws itself; None when the weights are drawn."""
        return self._engine.idle if isinstance(self._engine, PictureEngine) else None

    def open(self, media: Media, seed: int, timed: bool) -> ExpressiveFace:
        """The face of one turn; `timed`: its speech comes with phonemes."""
        engine = self._timed if timed else self._engine
        return TurnFace(engine, media, seed, timed, self._life, self.meter)

    def status(self) -> dict[str, Any]:
        return {"engine": self._engine.name, "timed": self._timed.name, "life": self._life}

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
        self._name, self._media, self._meter = engine.name, media, meter
        self._samples = self._frames = 0
        self._stream: FaceStream | None = None
        self._drawings: tuple[Drawing, ...] = ()
        try:
            self._stream = engine.open(media, seed)
        except Exception as error:  # a plug-in may raise anything, and the audio must go on
            self._report(error)
        self._life = Life(seed, media.fps) if life else None
        self._accents = StressAccents(media, seed) if timed else LoudAccents(media, seed)

    def express(self, emotions: tuple[Emotion, ...]) -> None:
        if self._life is not None:
            self._life.express(emotions, self._frames)

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        self._samples += len(pcm) // 2
        first = self._frames
        due = (self._media.covering if last else self._media.whole)(self._samples) - first
        weights = self._move(pcm, phonemes, last, due)
        self._frames += len(weights)
        return (
            weights if self._life is None else self._enliven(self._life, weights, first, pcm, phonemes, last)
        )

    def drawings(self) -> tuple[Drawing, ...]:
        return self._drawings

    def _enliven(
        self,
        life: Life,
        weights: Weights,
        first: int,
        pcm: bytes,
        phonemes: tuple[Phoneme, ...] | None,
        last: bool,
    ) -> Weights:
        try:
            self._accents.feed(pcm, phonemes, last)
            return life.apply(weights, first, self._accents.take(len(weights)))
        except Exception:
            _log.exception("the life layer failed: none for the rest of this turn")
            self._life = None
            return weights

    def _move(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool, due: int) -> Weights:
        self._drawings = ()
        if self._stream is None:
            return neutral(due)
        began = time.perf_counter()
        try:
            weights = np.asarray(self._stream.feed(pcm, phonemes, last), np.float32)
            if weights.shape[1:] != (COUNT,) or len(weights) > due or (last and len(weights) != due):
                raise ValueError(f"got weights of shape {weights.shape}, expected [{due}, {COUNT}]")
            if not np.isfinite(weights).all():
                raise ValueError("got weights that are not finite numbers")
            drawings = tuple(self._stream.drawings()) if isinstance(self._stream, DrawnStream) else ()
            if drawings and len(drawings) != len(weights):
                raise ValueError(f"got {len(drawings)} drawings of {len(weights)} frames")
        except Exception as error:  # a plug-in may raise anything, and the audio must go on
            self._stream = None
            self._report(error)
            return neutral(due)
        self._drawings = drawings
        self._meter.took(time.perf_counter() - began)
        return np.clip(weights, 0.0, 1.0)

    def _report(self, error: Exception) -> None:
        self._meter.failed(error)
        _log.exception("face engine failed: neutral face for the rest of this turn", engine=self._name)
