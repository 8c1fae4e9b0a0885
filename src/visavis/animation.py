"""Any recorded speech -> a face: `visavis.animate`, and `visavis.FaceStream` for speech as it comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from visavis import plugins
from visavis.arkit import COUNT, Weights, neutral
from visavis.audio import Media, to_pcm
from visavis.configuration import load_settings
from visavis.errors import VisavisError
from visavis.faces import FaceEngine
from visavis.faces.accents import LoudAccents
from visavis.faces.framing import Samples
from visavis.faces.guided import Guided
from visavis.faces.life import Life
from visavis.faces.speech_face import TIMED
from visavis.media_files import SoundFile, open_sound
from visavis.settings import Settings
from visavis.track import Retime, Track, check_fps

MEDIA = Media(24_000, 30)
"""What the engines are given; other rates are converted on the way in, other fps on the way out."""
LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
"""Hz of sound that can be animated."""
PIECE = 300
"""Frames an engine is given at once: large pieces are fast, and ten seconds of features are 10 MB."""

Audio = NDArray[Any] | bytes
"""float[n] in -1..1 or int[n], or [n, channels] of these; or the bytes of mono PCM16."""


def animate(
    samples: Audio,
    rate: int,
    fps: float = 30,
    engine: str | FaceEngine = "net",
    *,
    life: bool = True,
    seed: int = 0,
    text: str | None = None,
    language: str = "en",
) -> Track:
    """The face of recorded speech, far faster than real time.

    `samples`: see `Audio`; `rate` in Hz; `fps` 1 to 120. `engine` is a name as in the setting `face.engine`,
    or what `load_face` returned, which saves loading it again. `life` adds blinks, gaze, brows and breath,
    the same for the same `seed`. Samples that are not finite numbers count as silence.

    `text` is what is said, word for word, in `language` (a code such as `pl`). Then lips meet exactly where
    they do, and the track has the times of words and phonemes. English needs nothing else, other languages
    espeak-ng.

    Raises `VisavisError` when there is no sound, the engine cannot be had or fails, or something else is said
    than the text.
    """
    check_fps(fps)
    check_rate(rate)
    face = load_face(engine) if isinstance(engine, str) else engine
    heard = to_mono(samples)
    if not len(heard):
        raise VisavisError("NO_SOUND", "There is nothing to animate: no samples.")
    track = Track(fps, neutral(0))
    if text is not None:
        face, track = _guided(face, [heard], rate, text, language, track)
    stream = FaceStream(rate, fps, face, life=life, seed=seed)
    return replace(track, weights=stream.feed(heard, last=True))


def animate_file(
    path: str | Path,
    fps: float = 30,
    engine: str | FaceEngine = "net",
    *,
    life: bool = True,
    seed: int = 0,
    text: str | None = None,
    language: str = "en",
    progress: Callable[[float, float | None], None] | None = None,
) -> Track:
    """The face of the speech in an audio or video file, with memory for the track but not for the sound.

    As `animate`; with a `text` the sound is read twice. `progress` is told the seconds done and, where the
    file says it, the seconds in all. Raises `VisavisError` when the file cannot be read or has no sound.
    """
    path = Path(path)
    check_fps(fps)
    face = load_face(engine) if isinstance(engine, str) else engine
    track = Track(fps, neutral(0), source=path.name)
    part = 1.0 if text is None else 0.5

    def pieces(sound: SoundFile, before: float) -> Iterator[Samples]:
        heard = 0
        for piece in _pieces(sound.pieces(), sound.rate * PIECE // MEDIA.fps):
            yield piece
            heard += len(piece)
            if progress is not None:
                progress(before + part * heard / sound.rate, sound.seconds)

    if text is not None:
        with open_sound(path) as sound:
            check_rate(sound.rate)
            face, track = _guided(face, pieces(sound, 0.0), sound.rate, text, language, track)
    with open_sound(path) as sound:
        stream = FaceStream(sound.rate, fps, face, life=life, seed=seed)
        before = (1 - part) * (sound.seconds or 0.0)
        parts = [stream.feed(piece) for piece in pieces(sound, before)]
        parts.append(stream.feed(np.zeros(0, np.float32), last=True))
    return replace(track, weights=np.concatenate(parts))


def _guided(
    face: FaceEngine, pieces: Iterable[Samples], rate: int, text: str, language: str, track: Track
) -> tuple[FaceEngine, Track]:
    """The engine that also knows what is said in this sound, and the track with it."""
    from visavis.alignment import align, check, ear, voice  # here, for they load our voice and its net

    check(text)
    net = face if face.name == "net" else load_face("net")
    found = align(_resampled(pieces, rate, ear.SAMPLE_RATE), text, voice.voice_of(language), net)
    words = replace(track, words=found.words, phonemes=found.phonemes, text=" ".join(text.split()))
    return Guided(face, found.phonemes), words


def _resampled(pieces: Iterable[Samples], rate: int, target: int) -> Iterator[Samples]:
    resample = soxr.ResampleStream(rate, target, 1)
    for piece in pieces:
        yield resample.resample_chunk(piece)
    yield resample.resample_chunk(np.zeros(0, np.float32), last=True)


def load_face(name: str = "net", settings: Settings | None = None) -> FaceEngine:
    """A face engine, loaded once for many calls; without `settings`, those that the server would have.

    Raises `ConfigurationError` or `ModelMissing` when it cannot be had.
    """
    if name == TIMED:
        raise VisavisError(
            "NO_PHONEMES",
            f"The face engine {TIMED!r} draws speech with known phoneme times, and a recording has none; "
            "choose one that listens, such as net.",
        )
    engine: FaceEngine = plugins.load(
        "faces", name, settings or load_settings({}, None, os.environ, Path.cwd())
    )
    return engine


def check_rate(rate: int) -> None:
    """Raises `VisavisError` for samples a second that cannot be animated."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise VisavisError("BAD_RATE", f"Sound at {rate} Hz: {LOWEST_RATE} to {HIGHEST_RATE} Hz can be used.")


class FaceStream:
    """The face of one voice as its sound arrives, to put a face into a program of your own.

        stream = visavis.FaceStream(rate=16_000)
        for pcm in microphone:
            for weights in stream.feed(pcm):  # float32[52], 30 of them a second
                ...
        stream.feed(b"", last=True)

    Arguments as in `animate`. A stream is for one voice and one thread.
    """

    def __init__(
        self,
        rate: int,
        fps: float = 30,
        engine: str | FaceEngine = "net",
        *,
        life: bool = True,
        seed: int = 0,
    ) -> None:
        check_fps(fps)
        check_rate(rate)
        face = load_face(engine) if isinstance(engine, str) else engine
        self._name, self._moves = face.name, face.open(MEDIA, seed)
        self._resample = soxr.ResampleStream(rate, MEDIA.rate, 1) if rate != MEDIA.rate else None
        self._life = Life(seed, MEDIA.fps) if life else None
        self._accents = LoudAccents(MEDIA, seed)
        self._retime = Retime(MEDIA.fps, fps) if fps != MEDIA.fps else None
        self._waiting = np.zeros(0, np.float32)
        self._heard = self._fed = self._frames = 0

    def feed(self, samples: Audio, last: bool = False) -> Weights:
        """The frames that are now certain: float32[n, 52] in 0..1; n may be 0, for engines look ahead.

        With `last`, everything up to the end of the sound has been returned. Raises `VisavisError` when the
        engine fails.
        """
        heard = to_mono(samples)
        if self._resample is not None:
            heard = self._resample.resample_chunk(heard, last=last)
        self._waiting = np.concatenate([self._waiting, heard])
        self._heard += len(heard)
        whole = MEDIA.whole(self._heard)
        parts = []
        while self._fed + PIECE < whole:
            parts.append(self._step(self._fed + PIECE, last=False))
        parts.append(self._step(whole, last))
        weights = np.concatenate(parts)
        return weights if self._retime is None else self._retime(weights, last)

    def _step(self, end: int, last: bool) -> Weights:
        """The face after hearing up to frame `end`, or with `last` all there is."""
        count = len(self._waiting) if last else MEDIA.edge(end) - MEDIA.edge(self._fed)
        pcm, self._waiting = to_pcm(self._waiting[:count]), self._waiting[count:]
        self._fed = end
        due = (MEDIA.covering(self._heard) if last else end) - self._frames
        weights = self._move(pcm, last, due)
        if self._life is not None:
            self._accents.feed(pcm, None, last)
            weights = self._life.apply(weights, self._frames, self._accents.take(len(weights)))
        self._frames += len(weights)
        return weights

    def _move(self, pcm: bytes, last: bool, due: int) -> Weights:
        try:
            weights = np.asarray(self._moves.feed(pcm, None, last), np.float32)
            if weights.shape[1:] != (COUNT,) or len(weights) > due or (last and len(weights) != due):
                raise ValueError(f"it gave weights of shape {weights.shape} where [{due}, {COUNT}] was due")
            if not np.isfinite(weights).all():
                raise ValueError("it gave weights that are not finite numbers")
        except VisavisError:
            raise
        except Exception as error:  # a plug-in may raise anything
            at = self._frames / MEDIA.fps
            raise VisavisError(
                "FACE_FAILED", f"The face engine {self._name!r} failed {at:.1f} s into the sound: {error}."
            ) from error
        return weights.clip(0.0, 1.0)


def to_mono(samples: Audio) -> Samples:
    """Any samples (see `Audio`) as float32[n] in -1..1: the mean of the channels; no number is silence."""
    if isinstance(samples, bytes):
        samples = np.frombuffer(samples[: len(samples) // 2 * 2], "<i2")
    samples = np.asarray(samples)
    kind = samples.dtype
    if samples.ndim not in (1, 2) or not (
        np.issubdtype(kind, np.integer) or np.issubdtype(kind, np.floating)
    ):
        raise VisavisError(
            "BAD_SOUND",
            f"Samples are numbers of shape [n] or [n, channels], not {kind} of shape {samples.shape}.",
        )
    sound = samples.astype(np.float32)
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)
        middle = (limits.max + limits.min + 1) / 2  # 0, or 128 for unsigned bytes
        sound = (sound - np.float32(middle)) / np.float32(limits.max - middle + 1)
    if sound.ndim == 2:
        sound = sound.mean(1)
    return np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)


def _pieces(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """The same sound in pieces of at least `size` samples, but for the last."""
    waiting: list[Samples] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if count >= size:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)
