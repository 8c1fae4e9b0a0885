"""Sound out of every kind of file, in time, and one clear sentence where there is none."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from tests.tracks import recordings

from visavis.errors import VisavisError
from visavis.media_files import open_sound

Samples = recordings.Samples
RATE = recordings.SOURCE_RATE

FILES: dict[str, dict[str, Any]] = {
    "pcm16.wav": {"codec": "pcm_s16le"},
    "pcm24.wav": {"codec": "pcm_s24le"},
    "bytes.wav": {"codec": "pcm_u8"},
    "float.wav": {"codec": "pcm_f32le"},
    "telephone.wav": {"codec": "pcm_mulaw", "rate": 8_000},
    "studio.wav": {"codec": "pcm_s16le", "rate": 96_000},
    "stereo.wav": {"codec": "pcm_s16le", "layout": "stereo"},
    "music.mp3": {"codec": "libmp3lame", "rate": 44_100, "layout": "stereo"},
    "opus.ogg": {"codec": "libopus"},
    "lossless.flac": {"codec": "flac"},
    "browser.webm": {"codec": "libopus"},
    "film.webm": {"codec": "libopus", "video": True},
    "film.mp4": {"codec": "aac", "video": True},
    "phone.m4a": {"codec": "aac", "rate": 44_100},
    "surround.mp4": {"codec": "aac", "layout": "5.1"},
}


def read(path: Path) -> Samples:
    """The whole sound of a file at 24 kHz."""
    with open_sound(path) as sound:
        heard: Samples = soxr.resample(np.concatenate(list(sound.pieces())), sound.rate, RATE)
    return heard


def envelope(samples: Samples) -> Samples:
    """Loudness in steps of 5 ms."""
    steps = samples[: len(samples) // 120 * 120].reshape(-1, 120)
    result: Samples = np.sqrt((steps**2).mean(1))
    return result


def lag(heard: Samples, spoken: Samples) -> tuple[float, float]:
    """By how many seconds `heard` is late, and how well it agrees then (0..1)."""
    a, b = envelope(heard), envelope(spoken)
    a, b = a - a.mean(), b - b.mean()
    agreement = np.correlate(a, b, "full") / np.linalg.norm(a) / np.linalg.norm(b)
    best = int(agreement.argmax())
    return (best - len(b) + 1) * 0.005, float(agreement[best])


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_its_sound_in_time(name: str, speech: Samples, tmp_path: Path) -> None:
    path = recordings.write(tmp_path / name, speech, **FILES[name])
    heard = read(path)
    with open_sound(path) as sound:  # what a lower rate leaves of it
        possible = soxr.resample(soxr.resample(speech, RATE, sound.rate), sound.rate, RATE)
    late, agreement = lag(heard, possible)
    assert abs(late) <= 0.01
    assert agreement > 0.97
    assert len(heard) == pytest.approx(len(speech), abs=0.08 * RATE)


def test_a_files_length_is_known_for_the_progress_bar(speech: Samples, tmp_path: Path) -> None:
    path = recordings.write(tmp_path / "a.mp3", speech, "libmp3lame", 44_100)
    with open_sound(path) as sound:
        assert sound.seconds == pytest.approx(len(speech) / RATE, abs=0.1)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_sound_that_begins_after_the_picture_stays_in_time_with_it(
    name: str, speech: Samples, tmp_path: Path
) -> None:
    path = recordings.write(tmp_path / name, speech, "aac", video=True, delay=1.5)
    late, agreement = lag(read(path), speech)
    assert late == pytest.approx(1.5, abs=0.03)
    assert agreement > 0.9


@pytest.mark.parametrize("name", ["pcm16.wav", "music.mp3", "opus.ogg", "browser.webm", "lossless.flac"])
def test_a_file_whose_end_is_missing_ends_there(name: str, speech: Samples, tmp_path: Path) -> None:
    path = recordings.write(tmp_path / name, speech, **FILES[name])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    heard = read(path)
    assert 0.3 * len(speech) < len(heard) < 0.9 * len(speech)
    late, agreement = lag(heard, speech[: len(heard)])
    assert abs(late) <= 0.01
    assert agreement > 0.95


def test_what_follows_damage_keeps_its_time(speech: Samples, tmp_path: Path) -> None:
    path = recordings.write(tmp_path / "opus.ogg", speech, "libopus")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1500] = np.random.default_rng(1).bytes(1500)
    path.write_bytes(content)
    assert lag_of_the_end(read(path), speech) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("name", ["browser.webm", "phone.m4a"])
def test_what_follows_a_gap_keeps_its_time(name: str, speech: Samples, tmp_path: Path) -> None:
    """As recorders leave gaps that send nothing in pauses."""
    whole = recordings.write(tmp_path / f"whole_{name}", speech, **FILES[name])
    heard = read(recordings.without_packets(whole, tmp_path / name, 80, 110))
    assert np.count_nonzero(heard == 0) > 0.4 * RATE
    assert lag_of_the_end(heard, speech) == pytest.approx(0, abs=0.03)


def lag_of_the_end(heard: Samples, spoken: Samples) -> float:
    """By how many seconds the last quarter of what was `spoken` is late."""
    last = len(spoken) * 3 // 4
    late, agreement = lag(heard[last:], spoken[last:])
    assert agreement > 0.9
    return late


def test_samples_that_are_no_numbers_are_silent(tmp_path: Path) -> None:
    sound = np.full(4_800, 0.25, np.float32)
    sound[100:200] = np.nan
    sound[200:300] = np.inf
    heard = read(float_wav(tmp_path / "nan.wav", sound))
    assert np.isfinite(heard).all()
    assert np.flatnonzero(heard == 0).tolist() == list(range(100, 300))


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    heard = read(float_wav(tmp_path / "loud.wav", np.tile(np.array([3.0, -3.0], np.float32), 2_400)))
    assert heard.max() == 1.0
    assert heard.min() == -1.0


def float_wav(path: Path, samples: Samples) -> Path:
    """Written by hand: encoders refuse what is no number."""
    data = samples.tobytes()
    fmt = (
        b"fmt "
        + (16).to_bytes(4, "little")
        + b"".join(
            value.to_bytes(size, "little")
            for value, size in ((3, 2), (1, 2), (RATE, 4), (RATE * 4, 4), (4, 2), (32, 2))
        )
    )
    body = b"WAVE" + fmt + b"data" + len(data).to_bytes(4, "little") + data
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    return path


def nothing(path: Path) -> Path:
    path.touch()
    return path


def a_text(path: Path) -> Path:
    path.write_text("These are words, but nobody says them.\n" * 100)
    return path


def a_playlist(path: Path) -> Path:
    """Names a file that must not be opened for it."""
    recordings.write(path.with_name("secret.wav"), np.full(24_000, 0.1, np.float32), "pcm_s16le")
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n#EXT-X-ENDLIST\n")
    return path


def noise(path: Path) -> Path:
    path.write_bytes(np.random.default_rng(3).bytes(50_000))
    return path


def an_mp4_without_its_index(path: Path) -> Path:
    recordings.write(path, np.full(48_000, 0.1, np.float32), "aac")
    path.write_bytes(path.read_bytes()[:5_000])
    return path


def no_samples(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
    return path


def no_numbers(path: Path) -> Path:
    return float_wav(path, np.full(4_800, np.nan, np.float32))


def a_folder(path: Path) -> Path:
    path.mkdir()
    return path


BAD = {
    "empty.wav": (nothing, "NO_SOUND", "is empty"),
    "text.wav": (a_text, "NOT_MEDIA", "not an audio or video file"),
    "list.m3u8": (a_playlist, "NOT_MEDIA", "not an audio or video file"),
    "noise.mp4": (noise, "NOT_MEDIA", "not an audio or video file"),
    "half.mp4": (an_mp4_without_its_index, "NOT_MEDIA", "not an audio or video file"),
    "silent.mp4": (recordings.silent_film, "NO_SOUND", "has no sound"),
    "header.wav": (no_samples, "NO_SOUND", "has no sound"),
    "numbers.wav": (no_numbers, "BAD_SOUND", "no sample is a finite number"),
    "folder.wav": (a_folder, "CANNOT_READ", "directory"),
    "missing.wav": (lambda path: path, "CANNOT_READ", "No such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_without_sound_is_one_clear_error(name: str, tmp_path: Path) -> None:
    make, code, reason = BAD[name]
    with pytest.raises(VisavisError) as raised:
        read(make(tmp_path / name))
    assert raised.value.code == code
    assert reason in str(raised.value)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
