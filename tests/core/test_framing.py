"""What many voices have worked out together is what each would have alone, however its sound is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from visavis.audio import Media, to_pcm
from visavis.faces.accents import LoudAccents, listen
from visavis.faces.framing import Framer, PeakHold, alike, framed, hold, power
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


@pytest.mark.parametrize("media", [Media(24_000, 30), Media(16_000, 30), Media(8_000, 7)], ids=str)
@pytest.mark.parametrize("piece", [300, 1600, 5000])
def test_sound_of_many_is_cut_as_that_of_each(media: Media, piece: int) -> None:
    sound = np.random.default_rng(5).normal(0, 0.1, (3, 10_007)).astype(np.float32)
    edges = [media.edge(frame) for frame in range(media.covering(sound.shape[1]) + 1)]
    padded = np.pad(sound, ((0, 0), (0, edges[-1] - sound.shape[1])))
    wanted = np.stack([np.square(padded[:, a:b]).mean(1) for a, b in pairwise(edges)], axis=1)
    framers, parts = [Framer(media) for _ in sound], []
    for begin in range(0, sound.shape[1], piece):
        assert len({framer.phase for framer in framers}) == 1
        known = framed(framers, sound[:, begin : begin + piece], begin + piece >= sound.shape[1])
        parts.append(power(*known))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), wanted, rtol=1e-5)


def test_accents_of_many_are_those_of_each() -> None:
    """Whatever their media are, and however much they hear at once."""
    random = np.random.default_rng(6)
    media = [Media(24_000, 30), Media(24_000, 60), Media(16_000, 30), Media(24_000, 30)]
    sounds = [to_pcm(random.normal(0, random.uniform(0, 0.3), 5 * each.rate)) for each in media]
    alone, together = ([LoudAccents(each, seed) for seed, each in enumerate(media)] for _ in range(2))
    for begin, end, last in (0, 1600, False), (1600, 9600, False), (9600, None, True):
        pieces = [(sound[begin:end], last) for sound in sounds]
        for accents, (pcm, last) in zip(alone, pieces, strict=True):
            accents.feed(pcm, None, last)
        listen(together, pieces)
    for one, other, each in zip(alone, together, media, strict=True):
        found = one.take(4 * each.fps)
        assert found.max() > 0.01
        np.testing.assert_allclose(other.take(4 * each.fps), found, atol=1e-6)


def test_what_is_alike_is_found_wherever_it_stands() -> None:
    assert alike([3, 5, 3, 4, 5]) == [[0, 2], [1, 4], [3]]
