from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.arkit import INDEX, Weights, neutral
from visavis.audio import Media
from visavis.events import Phoneme
from visavis.faces.accents import StressAccents
from visavis.faces.life import MOODS, Life

MINUTES = 5
LEFT, RIGHT = INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]


def speaking(seed: int, fps: int = 30, frames: int = MINUTES * 60 * 30) -> Weights:
    return Life(seed, fps).apply(neutral(frames), 0, np.zeros(frames, np.float32))


@pytest.mark.parametrize("fps", [25, 30, 60])
@pytest.mark.parametrize("seed", [0, 1, -5])
def test_blinks_every_two_to_six_seconds(seed: int, fps: int) -> None:
    lids = speaking(seed, fps, MINUTES * 60 * fps)[:, LEFT]
    shut = np.flatnonzero((lids[1:-1] > 0.85) & (lids[1:-1] >= lids[:-2]) & (lids[1:-1] > lids[2:]))
    gaps = np.diff(shut) / fps
    assert len(shut) >= MINUTES * 60 / 4 - 2
    assert gaps.min() >= 1.9 and gaps.max() <= 6.1 and gaps.std() > 0.3
    down = lids > 0.02
    lengths = np.diff(np.flatnonzero(np.diff(down.astype(int)))[: 2 * len(shut)])[::2] / fps
    assert lengths.min() >= 0.06 and lengths.max() <= 0.18


def test_both_eyes_blink_together_and_look_back_at_the_viewer() -> None:
    life = speaking(4)
    np.testing.assert_array_equal(life[:, LEFT], life[:, RIGHT])
    aside = life[:, INDEX["eyeLookOutLeft"]] + life[:, INDEX["eyeLookOutRight"]]
    assert 0.1 < aside.max() < 0.4
    assert 0.5 < (aside < 0.05).mean() < 0.95


@given(cuts=st.lists(st.integers(1, 50), max_size=20), seed=st.integers(0, 2**40))
def test_grouping_of_frames_does_not_matter(cuts: list[int], seed: int) -> None:
    one = Life(seed, 30).frames("listening", 0, 300)
    life, first, parts = Life(seed, 30), 0, []
    for count in [*cuts, 300]:
        count = min(count, 300 - first)
        parts.append(life.frames("listening", first, count))
        first += count
    np.testing.assert_allclose(np.concatenate(parts), one, atol=1e-6)


def test_seeds_differ() -> None:
    assert np.abs(speaking(1, frames=300) - speaking(2, frames=300)).max() > 0.5


def test_moods_ease_into_each_other() -> None:
    life = Life(0, 30)
    turns = [life.frames(state, 60 * i, 60) for i, state in enumerate(MOODS)]
    smile = np.concatenate(turns)[:, INDEX["mouthSmileLeft"]]
    assert np.abs(np.diff(smile)).max() < 0.03
    assert turns[2][-1, INDEX["eyeLookUpLeft"]] > turns[1][-1, INDEX["eyeLookUpLeft"]] + 0.1
    assert turns[1][-1, INDEX["mouthSmileLeft"]] > turns[3][-1, INDEX["mouthSmileLeft"]]


def test_range_and_stillness_of_the_mouth() -> None:
    weights = np.random.default_rng(0).random((900, 52), np.float32)
    alive = Life(0, 30).apply(weights, 0, np.ones(900, np.float32))
    assert alive.dtype == np.float32 and alive.min() >= 0 and alive.max() <= 1
    mouth = [
        i for name, i in INDEX.items() if name.startswith(("mouth", "jaw", "tongue")) and "Smile" not in name
    ]
    np.testing.assert_array_equal(alive[:, mouth], weights[:, mouth])


def test_no_smile_while_lips_are_closed_for_a_consonant() -> None:
    weights = neutral(90)
    weights[60:, [INDEX["jawOpen"], INDEX["mouthClose"]]] = 0.1
    smile = Life(0, 30).apply(weights, 0, np.zeros(90, np.float32))[:, INDEX["mouthSmileLeft"]]
    assert smile[59] > 0.03
    np.testing.assert_allclose(smile[60:], 0, atol=1e-6)


def test_brows_underline_stressed_vowels_only() -> None:
    def brows(stress: int) -> np.ndarray:
        accents = StressAccents(Media(), 0)
        accents.feed(b"", [Phoneme("a", 1.0 + i, 1.2 + i, stress) for i in range(20)], False)
        return accents.take(30 * 22)

    stressed = brows(2)
    raised = [stressed[30 * i + 30 : 30 * i + 45].max() > 0.3 for i in range(20)]
    assert 5 < sum(raised) < 18
    assert stressed[:25].max() == 0
    assert np.abs(np.diff(stressed)).max() < 0.4
    assert brows(1).max() == 0
