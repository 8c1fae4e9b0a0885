"""Recorded speech becomes a face, whatever its samples look like and however it arrives."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import visavis
from visavis.animation import PIECE, FaceStream, animate, animate_file, load_face
from visavis.arkit import COUNT, Weights
from visavis.audio import Media, to_pcm
from visavis.errors import ConfigurationError, VisavisError
from visavis.events import Phoneme
from visavis.faces import FaceEngine
from visavis.settings import Settings
from visavis.track import Retime, Track
from visavis.track_stats import count_closures, stats

RATE = 24_000
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def track(speech: Samples, net: FaceEngine) -> Track:
    return animate(speech, RATE, engine=net)


def alike(a: Track, b: Track, shape: str = "jawOpen") -> float:
    """Correlation of one shape's curves."""
    length = min(len(a), len(b))
    return float(np.corrcoef(a[shape][:length], b[shape][:length])[0, 1])


# -- the face -----------------------------------------------------------------------------------------
def test_the_mouth_moves_with_the_words_and_rests_in_silence(track: Track) -> None:
    assert track.weights.dtype == np.float32
    assert track.weights.min() >= 0 and track.weights.max() <= 1
    words, before, after = track["jawOpen"][20:-25], track["jawOpen"][:10], track["jawOpen"][-10:]
    assert np.percentile(words, 95) > 0.15
    assert before.max() < 0.03 and after.max() < 0.03
    assert count_closures(track) >= 5  # m, b, p, m, m, b, b, p


def test_a_track_lasts_as_long_as_its_sound(speech: Samples, track: Track) -> None:
    assert len(track) == Media(RATE, 30).covering(len(speech))


def test_life_is_on_top_of_speech_and_can_be_left_out(speech: Samples, net: FaceEngine, track: Track) -> None:
    still = animate(speech, RATE, engine=net, life=False)
    assert track["eyeBlinkLeft"].max() > 0.8
    assert still["eyeBlinkLeft"].max() < 0.01
    assert np.array_equal(still["jawOpen"], track["jawOpen"])


def test_the_same_seed_gives_the_same_life(speech: Samples, net: FaceEngine, track: Track) -> None:
    again, other = (animate(speech, RATE, engine=net, seed=seed) for seed in (0, 1))
    assert np.array_equal(again.weights, track.weights)
    assert not np.array_equal(other["eyeBlinkLeft"], track["eyeBlinkLeft"])


@given(st.lists(st.integers(0, 30_000), max_size=12), st.sampled_from([30, 25, 60, 23.976, 1, 120]))
@settings(max_examples=25, deadline=None)
def test_a_stream_gives_what_the_whole_recording_gives(
    speech: Samples, net: FaceEngine, cuts: list[int], fps: float
) -> None:
    stream = FaceStream(RATE, fps, net)
    edges = np.minimum(np.cumsum([0, *cuts]), len(speech)).tolist()
    parts = [stream.feed(speech[a:b]) for a, b in itertools.pairwise(edges)]
    parts.append(stream.feed(speech[edges[-1] :], last=True))
    whole = animate(speech, RATE, fps, net).weights
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-5


def test_a_stream_keeps_up_with_the_sound(speech: Samples, net: FaceEngine) -> None:
    """Two frames of look-ahead, and nothing more is held back."""
    stream = FaceStream(RATE, engine=net)
    shown = np.cumsum([len(stream.feed(piece)) for piece in np.split(speech[: 800 * 60], 60)])
    assert shown.tolist() == [max(0, heard - 2) for heard in range(1, 61)]


def test_pieces_of_a_long_recording_fit_together(speech: Samples, net: FaceEngine) -> None:
    long = np.tile(speech, 3)
    assert len(long) > 800 * PIECE
    stream = FaceStream(RATE, engine=net)
    parts = [stream.feed(piece, last) for piece, last in ((long[:200_000], False), (long[200_000:], True))]
    assert np.abs(np.concatenate(parts) - animate(long, RATE, engine=net).weights).max() < 1e-5


# -- frames a second ------------------------------------------------------------------------------------
@pytest.mark.parametrize("fps", [1, 12, 23.976, 24, 25, 29.97, 50, 59.94, 60, 120])
def test_other_frame_rates_show_the_same_movement(
    speech: Samples, net: FaceEngine, track: Track, fps: float
) -> None:
    other = animate(speech, RATE, fps, net)
    assert len(other) == np.ceil(len(track) * fps / 30 - 1e-6)
    middle = (np.arange(len(other)) + 0.5) / fps * 30 - 0.5
    expected = np.interp(middle, np.arange(len(track)), track["jawOpen"])
    assert np.abs(other["jawOpen"] - expected).max() < 1e-5


def test_a_track_can_be_had_at_another_rate(speech: Samples, net: FaceEngine, track: Track) -> None:
    other = track.at(60)
    assert (other.fps, other.seconds) == (60, track.seconds)
    assert np.array_equal(other.weights, animate(speech, RATE, 60, net).weights)
    assert track.at(30) is track
    with pytest.raises(VisavisError, match="choose 1 to 120"):
        track.at(0)


def test_a_track_has_all_the_weights() -> None:
    with pytest.raises(VisavisError, match="52 weights a frame"):
        Track(30, np.zeros((3, 51), np.float32))


@given(st.floats(1, 120), st.floats(1, 120), st.integers(0, 200), st.lists(st.integers(0, 60), max_size=5))
@settings(deadline=None)
def test_retiming_is_the_same_for_any_grouping(a: float, b: float, frames: int, cuts: list[int]) -> None:
    ramp = np.tile(np.linspace(0, 1, frames, dtype=np.float32)[:, None], COUNT)
    retime, parts = Retime(a, b), []
    edges = np.minimum(np.cumsum([0, *cuts]), frames).tolist()
    for first, end in itertools.pairwise(edges):
        parts.append(retime(ramp[first:end], last=False))
    parts.append(retime(ramp[edges[-1] :], last=True))
    whole = Retime(a, b)(ramp, last=True)
    assert np.concatenate(parts).shape == whole.shape
    assert np.abs(np.concatenate(parts) - whole).max(initial=0) < 1e-5
    assert len(whole) == np.ceil(frames * b / a - 1e-6)


@pytest.mark.parametrize("fps", [0, 0.5, 121, -30, float("nan")])
def test_frames_a_second_have_bounds(speech: Samples, net: FaceEngine, fps: float) -> None:
    with pytest.raises(VisavisError, match="frames a second: choose 1 to 120"):
        animate(speech, RATE, fps, net)


# -- samples ----------------------------------------------------------------------------------------------
SHAPES: dict[str, Any] = {
    "float64": lambda s: s.astype(np.float64),
    "int16": lambda s: (s * 32767).astype(np.int16),
    "int32": lambda s: (s.astype(np.float64) * 2_147_483_647).astype(np.int32),
    "uint8": lambda s: np.round(s * 127 + 128).astype(np.uint8),
    "stereo": lambda s: np.stack([s, s], 1),
    "bytes": to_pcm,
    "list": lambda s: s.tolist(),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_samples_of_every_kind_give_the_same_face(
    speech: Samples, net: FaceEngine, track: Track, kind: str
) -> None:
    other = animate(SHAPES[kind](speech), RATE, engine=net)
    assert len(other) == len(track)
    assert alike(other, track) > (0.98 if kind == "uint8" else 0.9999)  # bytes have noise that is heard


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 96_000])
def test_the_rate_of_the_sound_changes_nothing_but_what_it_cannot_hold(
    speech: Samples, net: FaceEngine, rate: int
) -> None:
    recorded = soxr.resample(speech, RATE, rate)
    other, possible = (
        animate(recorded, rate, engine=net),
        animate(soxr.resample(recorded, rate, RATE), RATE, engine=net),
    )
    assert len(other) == len(possible)
    assert np.percentile(other["jawOpen"][20:-25], 95) > 0.15
    assert other["jawOpen"][:10].max() < 0.03
    assert alike(other, possible) > 0.9999


def test_clipped_speech_still_moves_the_mouth(speech: Samples, net: FaceEngine, track: Track) -> None:
    clipped = animate((speech * 20).clip(-1, 1), RATE, engine=net)
    assert np.percentile(clipped["jawOpen"][20:-25], 95) > 0.1
    assert clipped["jawOpen"][:10].max() < 0.05


def test_samples_that_are_no_numbers_are_silence(speech: Samples, net: FaceEngine) -> None:
    broken, silent = speech.copy(), speech.copy()
    broken[60_000:66_000], silent[60_000:66_000] = np.nan, 0
    broken[70_000:72_000], silent[70_000:72_000] = np.inf, 0
    assert np.array_equal(
        animate(broken, RATE, engine=net).weights, animate(silent, RATE, engine=net).weights
    )


def test_silence_is_a_face_at_rest_that_lives(net: FaceEngine) -> None:
    track = animate(np.zeros(RATE * 8, np.float32), RATE, engine=net)
    assert len(track) == 240
    assert track["jawOpen"].max() < 0.02
    assert track["eyeBlinkLeft"].max() > 0.8


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros((0, 2), np.int16), b"", b"\0"])
def test_no_samples_are_an_error(samples: Any, net: FaceEngine) -> None:
    with pytest.raises(VisavisError, match="nothing to animate"):
        animate(samples, RATE, engine=net)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 3, 4)), np.array(["a"]), np.zeros(9, complex), np.float32(1)]
)
def test_what_is_no_sound_is_an_error(samples: Any, net: FaceEngine) -> None:
    with pytest.raises(VisavisError, match="Samples are numbers of shape"):
        animate(samples, RATE, engine=net)


@pytest.mark.parametrize("rate", [0, -8_000, 3_999, 10_000_000])
def test_rates_have_bounds(speech: Samples, net: FaceEngine, rate: int) -> None:
    with pytest.raises(VisavisError, match="4000 to 768000 Hz"):
        animate(speech, rate, engine=net)


# -- engines ------------------------------------------------------------------------------------------------
def test_an_engine_is_chosen_by_name(
    speech: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    track = animate(speech, RATE, engine="energy")
    assert np.percentile(track["jawOpen"][20:-25], 95) > 0.1


def test_engines_that_cannot_listen_or_do_not_exist_say_so() -> None:
    with pytest.raises(VisavisError, match="a recording has none; choose one that listens"):
        load_face("phonemes", Settings())
    with pytest.raises(ConfigurationError, match="no faces plug-in 'nobody'"):
        load_face("nobody", Settings())


class Broken:
    """An engine that returns what it was made with, or raises it."""

    name = "broken"

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def open(self, media: Media, seed: int) -> Broken:
        return self

    def feed(self, pcm: bytes, phonemes: tuple[Phoneme, ...] | None, last: bool) -> Weights:
        if isinstance(self._answer, Exception):
            raise self._answer
        result: Weights = self._answer
        return result


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RuntimeError("out of luck"), "failed 0.0 s into the sound: out of luck"),
        (np.zeros((2, 51), np.float32), r"weights of shape \(2, 51\)"),
        (np.zeros((9_999, COUNT), np.float32), r"where \[\d+, 52\] was due"),
        (np.full((159, COUNT), np.nan, np.float32), "not finite"),
    ],
)
def test_an_engine_that_fails_is_an_error_and_not_a_face_at_rest(
    speech: Samples, answer: Any, reason: str
) -> None:
    with pytest.raises(VisavisError, match=reason) as raised:
        animate(speech, RATE, engine=Broken(answer))
    assert raised.value.code == "FACE_FAILED"


# -- files and memory ---------------------------------------------------------------------------------------
def write_wav(path: Path, samples: Samples) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(to_pcm(samples))
    return path


def test_a_file_gives_what_its_samples_give(
    speech: Samples, net: FaceEngine, track: Track, tmp_path: Path
) -> None:
    told: list[tuple[float, float | None]] = []
    path = write_wav(tmp_path / "speech.wav", speech)
    read = animate_file(path, engine=net, progress=lambda done, total: told.append((done, total)))
    assert np.abs(read.weights - track.weights).max() < 1e-3  # 16 bits
    assert read.source == "speech.wav"
    assert told[-1][0] == pytest.approx(len(speech) / RATE)
    assert told[-1][1] == pytest.approx(len(speech) / RATE)


def test_the_memory_for_a_long_recording_is_its_tracks(tmp_path: Path) -> None:
    face = load_face("energy", Settings())
    peaks = []
    for minutes in (1, 4):
        path = write_wav(tmp_path / f"{minutes}.wav", np.zeros(minutes * 60 * RATE, np.float32))
        animate_file(path, engine=face)  # whatever is only loaded once
        tracemalloc.start()
        track = animate_file(path, engine=face)
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * track.weights.nbytes)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000  # three minutes of sound are 8.6 MB


# -- the package ------------------------------------------------------------------------------------------
def test_the_package_offers_its_functions_without_importing_them() -> None:
    code = (
        "import sys, visavis; assert 'numpy' not in sys.modules; "
        "assert callable(visavis.animate); assert visavis.Track.__module__ == 'visavis.track'; "
        "assert 'numpy' in sys.modules and 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert visavis.animate is animate
    assert visavis.FaceStream is FaceStream
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(visavis, "nothing")  # noqa: B009


# -- numbers ------------------------------------------------------------------------------------------
def test_closures_are_counted_once_each() -> None:
    apart = [0, 0.2, 0.05, 0.03, 0.0, 0.01, 0.03, 0.05, 0.1, 0.04, 0.2, 0.0]
    weights = np.zeros((len(apart), COUNT), np.float32)
    track = Track(30, weights)
    track["jawOpen"][:] = 0.3
    track["mouthClose"][:] = 0.3 - np.array(apart)
    assert count_closures(track) == 2
    assert stats(track).closures == pytest.approx(2 / (len(apart) / 30))
    assert stats(track).shapes["jawOpen"] == pytest.approx((0.3, 0.3))


def test_an_empty_track_has_numbers_too() -> None:
    assert stats(Track(30, np.zeros((0, COUNT), np.float32))).shapes["jawOpen"] == (0, 0)
