"""Speech and its face as files: what `visavis say` writes."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visavis import plugins
from visavis.arkit import COUNT, Weights
from visavis.audio import BYTES, Media, Resampler
from visavis.errors import VisavisError
from visavis.events import Phoneme, Word
from visavis.faces import FaceStream
from visavis.faces.speech_face import Faces
from visavis.settings import Settings
from visavis.stages import TextToSpeech
from visavis.track import Track

PIECE = 6
"""Frames of sound the face is given at once, as in a conversation."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text as sound and face. `pcm` fills its last frame; `weights` is float32[n, 52] in 0..1."""

    text: str
    media: Media
    pcm: bytes
    weights: Weights
    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...] | None


def speak(text: str, settings: Settings, *, by_ear: bool = False) -> Spoken:
    """`text` spoken by the configured voice, with the face a listener would see.

    A voice that knows its phonemes is drawn from them, unless the face is to work `by_ear`: from the sound
    alone, with the configured engine. Raises `VisavisError` when there is nothing to pronounce.
    """
    voice: TextToSpeech = plugins.load("tts", settings.stages.tts, settings)
    return render(text, voice, Faces.load(settings), settings.assistant.seed, by_ear=by_ear)


def render(text: str, voice: TextToSpeech, faces: Faces, seed: int, *, by_ear: bool = False) -> Spoken:
    """As `speak`, with engines that are already loaded."""
    speech = voice(text)
    if not speech.pcm:
        raise VisavisError("NOTHING_TO_SAY", f"There is nothing to pronounce in {text[:80]!r}.")
    media = Media()
    phonemes = None if by_ear else speech.phonemes
    face = faces.open(media, seed, timed=phonemes is not None)
    pcm = whole_frames(Resampler(voice.rate, media.rate)(speech.pcm, last=True), media)
    return Spoken(text, media, pcm, animate(face, media, pcm, phonemes), speech.words, speech.phonemes)


def whole_frames(pcm: bytes, media: Media) -> bytes:
    """`pcm` with silence up to the end of its last frame."""
    samples = media.edge(media.covering(len(pcm) // BYTES))
    return pcm.ljust(samples * BYTES, b"\0")


def animate(face: FaceStream, media: Media, pcm: bytes, phonemes: tuple[Phoneme, ...] | None) -> Weights:
    """The face of whole frames of sound: float32[n, 52], one row a frame."""
    count = media.covering(len(pcm) // BYTES)
    rows = [np.empty((0, COUNT), np.float32)]
    for first in range(0, count, PIECE):
        end = min(first + PIECE, count)
        piece = pcm[media.edge(first) * BYTES : media.edge(end) * BYTES]
        # All phonemes come with the first piece, as they do when a sentence has been synthesised.
        known = phonemes if first == 0 or phonemes is None else ()
        rows.append(face.feed(piece, known, end == count))
    return np.concatenate(rows)


def check(out: Path) -> None:
    """Raises `VisavisError` unless `out` is named like a WAV file."""
    if out.suffix.lower() != ".wav":
        raise VisavisError(
            "BAD_FORMAT", f"{out}: speech is written as .wav, or as a video: .mp4, .webm, .gif."
        )


def write(spoken: Spoken, out: Path) -> Path:
    """Write the sound to `out` as WAV and the face beside it as JSON; returns the path of the JSON."""
    beside = out.with_suffix(".json")
    try:
        with out.open("wb") as file, wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(BYTES)
            sound.setframerate(spoken.media.rate)
            sound.writeframes(spoken.pcm)
    except OSError as error:
        raise VisavisError("CANNOT_WRITE", f"Cannot write {error.filename}: {error.strerror}.") from error
    face = Track(spoken.media.fps, spoken.weights, spoken.words, spoken.phonemes, spoken.text, out.name)
    face.save(beside)
    return beside
