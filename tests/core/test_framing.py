"""What many voices have worked out together is what each would have alone, however its sound is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from visavis.faces.framing import PeakHold, alike, hold
from visavis.faces.mel import AT_ONCE, BEFORE, HOPS, RATE, SAMPLES, MelStream, features


def test_peaks_rise_at_once_and_fall_evenly_to_the_floor() -> None:
    values = np.random.default_rng(1).uniform(-30, 0, (3, 200))
    values[:, 50:120] = -100.0
    wanted = np.empty_like(values)
    for row, curve in zip(wanted, values, strict=True):
        peak = -40.0
        for index, value in enumerate(curve.tolist()):
            row[index] = peak = max(value, peak - 0.7, -40.0)
    peaks = [PeakHold(0.7, -40.0) for _ in values]
    cuts = [0, 1, 1, 60, 61, 200]
    held = [hold(peaks, values[:, a:b]) for a, b in pairwise(cuts)]
    np.testing.assert_allclose(np.concatenate(held, axis=1), wanted, atol=1e-9)


@pytest.mark.parametrize("piece", [7, SAMPLES - 1, SAMPLES, 5 * SAMPLES + 3])
def test_sound_may_be_cut_anywhere(piece: int) -> None:
    sound = np.random.default_rng(2).normal(0, 0.1, RATE // 2 + 5).astype(np.float32)
    whole, cut = MelStream(), MelStream()
    ends = range(piece, len(sound) + piece, piece)
    heard = [cut.hear(sound[end - piece : end], last=end >= len(sound)) for end in ends]
    found = np.concatenate([features(part[None])[0] for part in heard])
    np.testing.assert_allclose(found, features(whole.hear(sound, last=True)[None])[0], atol=1e-5)
    assert len(found) == -(-len(sound) // SAMPLES)


@pytest.mark.parametrize("frames", [1, 3, AT_ONCE // HOPS, AT_ONCE // HOPS + 1, 40])
def test_voices_do_not_hear_each_other(frames: int) -> None:
    sound = np.random.default_rng(3).normal(0, 0.1, (30, BEFORE + frames * SAMPLES)).astype(np.float32)
    alone = np.concatenate([features(voice[None]) for voice in sound])
    assert alone.shape == (30, frames, 160)
    np.testing.assert_allclose(features(sound), alone, atol=1e-5)


def test_what_is_alike_is_found_wherever_it_stands() -> None:
    assert alike([3, 5, 3, 4, 5]) == [[0, 2], [1, 4], [3]]
