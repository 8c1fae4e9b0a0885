"""What is said in a recording: words with times, as the embedded agent hears them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from visavis import plugins
from visavis.animation import check_rate
from visavis.events import Word
from visavis.media_files import open_sound
from visavis.settings import Settings
from visavis.stages import LISTEN_RATE, VAD_FRAME, Samples, SpeechToText, VoiceActivity, VoiceStream
from visavis.stages.pieces import LONGEST_PIECE, pieces
from visavis.turntaking import ENOUGH_VOICE, Voice

PAUSE = LISTEN_RATE // 2
"""Samples of silence that end a stretch of speech."""
MARGIN = 6
"""Frames of sound around a stretch that the recogniser hears, too."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech without a pause: sound for the recogniser, and the samples between which somebody speaks."""

    start: int
    end: int
    audio: Samples


def recognise(
    path: Path, settings: Settings, progress: Callable[[float, float | None], None] | None = None
) -> tuple[Word, ...]:
    """The words of an audio or video file, with memory for one stretch of speech.

    Stretches begin and end when a voice does; within one, words are spread by their lengths. `progress` is
    told the seconds done and, where the file says it, the seconds in all. Raises `VisavisError`, and
    `ModelMissing` when a model is not there.
    """
    words: list[Word] = []
    with open_sound(path) as sound:
        check_rate(sound.rate)
        activity: VoiceActivity = plugins.load("vad", settings.stages.vad, settings)
        ears: SpeechToText = plugins.load("asr", settings.stages.asr, settings)
        for stretch in stretches(_frames(sound.pieces(), sound.rate), activity.open()):
            words += spread(ears(stretch.audio).text, stretch.start, stretch.end)
            if progress is not None:
                progress(stretch.end / LISTEN_RATE, sound.seconds)
    return tuple(words)


def stretches(frames: Iterable[Samples], voice: VoiceStream) -> Iterator[Stretch]:
    """The stretches of speech in frames of `VAD_FRAME` samples; one too long for the recogniser is cut where
    it is quietest."""
    heard, audio = Voice(0), np.zeros(0, np.float32)  # audio: up to `heard.heard`
    for frame in frames:
        audio = np.concatenate([audio, frame])
        heard.frame(voice(frame), user=True)
        if heard.onset is None:
            audio = audio[-MARGIN * VAD_FRAME :]
        elif heard.quiet >= PAUSE:
            yield from _ended(heard, audio)
            heard.reset()
            audio = audio[-MARGIN * VAD_FRAME :]
        elif len(audio) > LONGEST_PIECE:
            begin, piece = heard.heard - len(audio), next(pieces(audio))
            yield Stretch(max(begin, heard.onset), begin + len(piece), piece)
            audio, heard.onset = audio[len(piece) :], begin + len(piece)
    yield from _ended(heard, audio)


def _ended(heard: Voice, audio: Samples) -> Iterator[Stretch]:
    """What was said last, unless it was only a click."""
    if heard.onset is not None and heard.voiced >= ENOUGH_VOICE:
        silent = max(0, heard.quiet - MARGIN * VAD_FRAME)
        yield Stretch(heard.onset, heard.last, audio[: len(audio) - silent])


def spread(text: str, start: int, end: int) -> list[Word]:
    """The words of a text spoken between two samples, as if all letters took equally long."""
    words = text.split()
    edges = np.cumsum([0, *(len(word) + 1 for word in words)])
    times = (start + (end - start) * edges / max(1, edges[-1])) / LISTEN_RATE
    return [Word(word, float(times[k]), float(times[k + 1])) for k, word in enumerate(words)]


def _frames(sound: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """The sound at `LISTEN_RATE` in frames of `VAD_FRAME` samples; silence fills the last one."""
    resample = soxr.ResampleStream(rate, LISTEN_RATE, 1)
    rest = np.zeros(0, np.float32)
    for piece in sound:
        rest = np.concatenate([rest, resample.resample_chunk(piece)])
        whole = len(rest) // VAD_FRAME * VAD_FRAME
        yield from rest[:whole].reshape(-1, VAD_FRAME)
        rest = rest[whole:]
    rest = np.concatenate([rest, resample.resample_chunk(np.zeros(0, np.float32), last=True)])
    yield from np.pad(rest, (0, -len(rest) % VAD_FRAME)).reshape(-1, VAD_FRAME)
