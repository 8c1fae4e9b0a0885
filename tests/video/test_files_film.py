"""A track and its sound as a film: drawn frame by frame, nothing lost, nothing late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from tests.video.pictures import decode, number, numbered, shift, voice

from visavis.arkit import COUNT, Weights
from visavis.errors import VisavisError
from visavis.track import Track
from visavis.video import Picture
from visavis.video.film import cut, write_film


class Numbers:
    """A renderer, and a view, whose picture is the first weight as a number."""

    size = (192, 96)

    def __init__(self) -> None:
        self.moments: list[float] = []

    def open(self, seed: int = 0) -> Numbers:
        self.seed = seed
        return self

    def render(self, weights: Weights, seconds: float, antialias: bool = True) -> Picture:
        assert antialias
        self.moments.append(seconds)
        return numbered(round(float(weights[0]) * 1000))


def track(count: int, fps: float) -> Track:
    weights = np.zeros((count, COUNT), np.float32)
    weights[:, 0] = np.arange(count) / 1000
    return Track(fps, weights)


def test_a_track_and_its_sound_become_a_film(tmp_path: Path) -> None:
    said = voice(2 * 22_050, 22_050)
    pieces = [said[first : first + 1000].tobytes() for first in range(0, len(said), 1000)]
    renderer, told = Numbers(), []
    write_film(
        tmp_path / "a.mp4",
        track(60, 30),
        pieces,
        22_050,
        renderer,
        seed=7,
        progress=lambda done, total: told.append((done, total)),
    )
    assert renderer.seed == 7
    assert renderer.moments == pytest.approx([k / 30 for k in range(60)])
    assert np.array(told) == pytest.approx(np.array([((k + 1) / 30, 2) for k in range(60)]))
    pictures, _, heard, _ = decode(tmp_path / "a.mp4")
    assert [number(picture) for _, picture in pictures] == list(range(60))
    assert abs(shift(heard, soxr.resample(said.astype(np.float64), 22_050, 48_000))) <= 1


@given(
    sizes=st.lists(st.integers(0, 700), max_size=30),
    rate=st.sampled_from([8_000, 22_050, 24_000, 48_000]),
    fps=st.integers(1, 60),
    count=st.integers(1, 40),
)
def test_sound_is_cut_at_the_edges_of_frames(sizes: list[int], rate: int, fps: int, count: int) -> None:
    sound = np.arange(sum(sizes), dtype="<i2")
    pieces = [piece.tobytes() for piece in np.split(sound, np.cumsum(sizes)[:-1])] if sizes else []
    parts = list(cut(pieces, rate, fps, count))
    assert len(parts) == count
    assert b"".join(parts) == sound.tobytes()
    start = 0
    for number_, part in enumerate(parts[:-1]):
        assert start == min(number_ * rate // fps, len(sound))
        start += len(part) // 2


def test_what_cannot_be_a_film_is_said_before_anything_is_drawn(tmp_path: Path) -> None:
    renderer = Numbers()
    for path, fps in (("a.wav", 25), ("a.mp4", 12.5), ("a.gif", 60)):
        with pytest.raises(VisavisError):
            write_film(tmp_path / path, track(5, fps), [], 24_000, renderer)
    assert renderer.moments == []
