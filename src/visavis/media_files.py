"""The sound of any audio or video file, as mono float32, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from visavis.errors import VisavisError
from visavis.faces.framing import Samples

FORMATS = "aac,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav"
"""Containers that hold sound. No playlists: those name other files and addresses."""
GAP = 0.1
"""Seconds of missing sound from which silence is put in its place, so that later sound keeps its time."""
LONGEST_GAP = 600.0
"""Seconds; a longer gap is a file with wrong times, not a pause."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class SoundFile:
    """An open file's first or main sound: `rate` in Hz, `seconds` as far as the file says how long it is."""

    path: Path
    rate: int
    seconds: float | None
    container: Any
    stream: Any

    def pieces(self) -> Iterator[Samples]:
        """The sound from the beginning, in time with the picture if there is one: float32[n] in -1..1.

        Damaged parts are silent, and a file that ends early ends there. Samples that are not finite numbers
        are silent too. Raises `VisavisError` when no sound at all can be decoded.
        """
        position = bad = 0
        for start, samples in self._decoded():
            missing = 0 if start is None else round(start * self.rate) - position
            if GAP * self.rate < missing < LONGEST_GAP * self.rate:
                yield np.zeros(missing, np.float32)
                position += missing
            finite = np.isfinite(samples)
            bad += len(samples) - int(np.count_nonzero(finite))
            yield np.where(finite, samples, np.float32(0)).clip(-1.0, 1.0)
            position += len(samples)
        if not position:
            raise VisavisError("NO_SOUND", f"{self.path} has no sound in it: nothing could be decoded.")
        if bad == position:
            raise VisavisError("BAD_SOUND", f"{self.path} has no sound in it: no sample is a finite number.")

    def _decoded(self) -> Iterator[tuple[float | None, Samples]]:
        """Mono sound at `rate`, with the second at which it begins where the file tells."""
        import av

        origin = (self.container.start_time or 0) / MICROSECONDS
        kind = converter = None
        for frame in self._frames():
            # The shape of the sound may change within a file; a converter is for one shape.
            if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                converter = av.AudioResampler("flt", "mono", self.rate)
            start = None if frame.pts is None else frame.time - origin
            try:
                converted = converter.resample(frame) if converter is not None else []
            except av.FFmpegError:  # more channels than can be mixed
                continue
            samples = [np.asarray(part.to_ndarray(), np.float32).ravel() for part in converted]
            yield start, np.concatenate([np.zeros(0, np.float32), *samples])

    def _frames(self) -> Iterator[Any]:
        """Decoded frames; what is damaged is left out."""
        import av

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue


@contextmanager
def open_sound(path: Path, content: BinaryIO | None = None) -> Iterator[SoundFile]:
    """The sound of an audio or video file, or of `content`, which is then only called `path`.

    Raises `VisavisError` when there is no such file, it is no audio or video, or it has no sound.
    """
    with ExitStack() as opened:
        yield _open(path, content, opened)


def _open(path: Path, content: BinaryIO | None, opened: ExitStack) -> SoundFile:
    import av

    try:
        file = content or opened.enter_context(path.open("rb"))
        if not file.read(1):
            raise VisavisError("NO_SOUND", f"{path} is empty.")
        file.seek(0)
        options = {"format_whitelist": FORMATS}
        container = opened.enter_context(av.open(file, options=options, metadata_errors="replace"))
    except av.FFmpegError as error:
        raise VisavisError(
            "NOT_MEDIA", f"{path} is not an audio or video file that can be read: {error.strerror}."
        ) from error
    except OSError as error:
        raise VisavisError("CANNOT_READ", f"Cannot read {path}: {error.strerror}.") from error
    return _sound(path, container)


def _sound(path: Path, container: Any) -> SoundFile:
    stream = container.streams.best("audio")
    if stream is None:
        raise VisavisError("NO_SOUND", f"{path} has no sound in it.")
    duration = container.duration
    if stream.duration is not None and stream.time_base is not None:
        seconds: float | None = float(stream.duration * stream.time_base)
    else:
        seconds = duration / MICROSECONDS if duration else None
    codec = stream.codec_context
    if codec is None or not codec.sample_rate:  # no codec: one that nobody here knows
        why = "its codec is unknown" if codec is None else "it does not say its rate"
        raise VisavisError("NOT_MEDIA", f"{path} has sound that cannot be read: {why}.")
    return SoundFile(path, codec.sample_rate, seconds, container, stream)
