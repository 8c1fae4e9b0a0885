"""Recordings in every container, cut off and damaged anywhere: sound, or a reason, and nothing else."""

from __future__ import annotations

import io
import tracemalloc
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.test_api import tone, wav

from visavis.errors import VisavisError
from visavis.server.uploads import decoded

RATE = 16_000
KINDS = {
    "webm": "libopus",
    "ogg": "libopus",
    "mp3": "libmp3lame",
    "mp4": "aac",
    "wav": "pcm_s16le",
    "flac": "flac",
}
REASONS = {"NOT_MEDIA", "NO_SOUND", "BAD_SOUND"}


@cache
def recording(kind: str) -> bytes:
    """A second of a tone."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(KINDS[kind], rate=48_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        sound = np.frombuffer(tone(rate=48_000), "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(stream.format.name, "mono", 48_000, stream.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def reason(body: bytes, content_type: str) -> str | None:
    """Why it cannot be heard; None when it can."""
    try:
        assert len(decoded(body, content_type, RATE)) <= 3 * RATE
    except VisavisError as error:
        assert str(error)
        return error.code
    return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content_type", ["", "audio/webm;codecs=opus", "application/octet-stream", "text/html"]
)
def test_a_recording_is_known_by_what_is_in_it(kind: str, content_type: str) -> None:
    seconds = len(decoded(recording(kind), content_type, RATE)) / 2 / RATE
    assert seconds == pytest.approx(1.0, abs=0.1)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(kind=st.sampled_from(sorted(KINDS)), share=st.floats(0, 1))
def test_what_is_cut_off_is_heard_as_far_as_it_goes(kind: str, share: float) -> None:
    whole = recording(kind)
    assert reason(whole[: int(share * len(whole))], f"audio/{kind}") in {None, *REASONS}


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    at=st.floats(0, 0.999),
    noise=st.binary(min_size=1, max_size=200),
)
def test_what_is_damaged_is_heard_or_refused(kind: str, at: float, noise: bytes) -> None:
    damaged = bytearray(recording(kind))
    begin = int(at * len(damaged))
    damaged[begin : begin + len(noise)] = noise
    try:
        decoded(bytes(damaged), f"audio/{kind}", RATE)
    except VisavisError as error:
        assert error.code in {*REASONS, "TOO_LONG"}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    body=st.binary(max_size=500),
    head=st.sampled_from([b"", b"RIFF", b"\x1aE\xdf\xa3", b"OggS", b"ID3", b"fLaC"]),
)
def test_noise_is_refused(body: bytes, head: bytes) -> None:
    assert reason(head + body, "audio/webm") in {None, *REASONS}


def test_a_picture_has_no_sound() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"))
        )
        container.mux(stream.encode(None))
    assert reason(file.getvalue(), "video/webm") == "NO_SOUND"


@pytest.mark.parametrize(
    "content_type",
    [
        "audio/pcm;rate=0",
        "audio/pcm;rate=999999",
        "audio/L16;rate=16000000",
        "audio/pcm;rate=-1",
        "audio/raw;rate=7",
    ],
)
def test_rates_that_no_sound_has(content_type: str) -> None:
    assert reason(tone(), content_type) == "NOT_MEDIA"


def test_a_codec_that_nobody_knows() -> None:
    unknown = bytearray(wav(tone(0.1)))
    unknown[34:36] = b"\xc5\x00"  # 197 bits a sample
    assert reason(bytes(unknown), "audio/wav") == "NOT_MEDIA"


def test_more_channels_than_can_be_mixed() -> None:
    many = bytearray(wav(tone(0.1)))
    many[22:24] = b"\xff\x00"
    assert reason(bytes(many), "audio/wav") == "NO_SOUND"


def test_a_header_that_promises_too_much() -> None:
    small = bytearray(wav(tone(0.1)))
    small[4:8] = small[40:44] = b"\xff\xff\xff\x7f"
    assert reason(bytes(small), "audio/wav") in {None, *REASONS}


def test_silence_that_is_packed_is_too_long_and_never_unpacked_whole() -> None:
    file, seconds = io.BytesIO(), 600
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=48_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        for _ in range(seconds):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    body = file.getvalue()
    assert len(body) < 300_000
    tracemalloc.start()
    try:
        assert reason(body, "audio/flac") == "TOO_LONG"
        assert tracemalloc.get_traced_memory()[1] < 9e6 < seconds * RATE
    finally:
        tracemalloc.stop()
