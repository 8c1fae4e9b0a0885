"""The parts of the training that are plain arithmetic: sentences, phonemes, labels, changes of sound."""

from __future__ import annotations

import numpy as np
import pytest
from training.labels import CLOSURE, OUTPUTS, SOUND, SOUNDS, labels, opening
from training.mandarin import sounds
from training.speech import RATE, Utterance, from_symbols, utterance
from training.texts import TEST_EVERY, chat, sentences, split

from training import augment
from visavis.events import Phoneme
from visavis.faces.mel import BANDS, HOPS, SAMPLES
from visavis.faces.viseme_table import CHANNELS


def tone(seconds: float, loud: float = 0.3) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (loud * np.sin(2 * np.pi * 200 * times)).astype(np.float32)


def said(*symbols: str, each: float = 0.15) -> Utterance:
    found = utterance(
        tone(each * len(symbols)),
        [Phoneme(symbol, i * each, (i + 1) * each) for i, symbol in enumerate(symbols)],
        "en",
        "test",
    )
    assert found is not None
    return found


# -- text -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "The weather is fine today. Shall we go out again?",
            ["The weather is fine today.", "Shall we go out again?"],
        ),
        ("A line that\ngoes on in the next one.", ["A line that goes on in the next one."]),
        ("First one is spoken.\n%\nSecond one is spoken.", ["First one is spoken.", "Second one is spoken."]),
        ("See http://example.org for more.", []),
        ("WHY ARE YOU SHOUTING AT ME?", []),
        ("Set x = 12 before you go on.", []),
        ("Too short.", []),
        ("a " * 80 + "end.", []),
    ],
)
def test_sentences_that_can_be_spoken(text: str, kept: list[str]) -> None:
    assert sentences(text) == kept


def test_unspaced_scripts_have_sentences_too() -> None:
    assert sentences("我们今天去公园散步。The end of this text.你好。", unspaced=True) == [
        "我们今天去公园散步。"
    ]


def test_test_sentences_are_never_trained_on() -> None:
    found = chat(500, 1)
    train, test = split(found)
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(found)
    assert len(test) == pytest.approx(len(set(found)) / TEST_EVERY, abs=1)
    assert split(reversed(found)) == (train, test)


# -- phonemes -------------------------------------------------------------------------------------------
def test_marks_give_their_time_to_vowels_and_spaces_to_what_was_before() -> None:
    symbols = ["<s>", "h", "ˈ", "A", "ː", " ", "b", ".", "</s>"]
    found = from_symbols((s, i * 0.1, (i + 1) * 0.1) for i, s in enumerate(symbols))
    assert [p.symbol for p in found] == ["sil", "h", "eɪ", "b", "sil", "sil"]
    vowel = found[2]
    assert vowel.stress == 2
    assert [vowel.start, vowel.end] == pytest.approx([0.2, 0.6])


def test_times_that_run_behind_the_sound_are_moved() -> None:
    late = from_symbols([("m", 0.10, 0.20), ("a", 0.20, 0.30)], lag=0.05)
    assert [late[0].start, late[0].end, late[1].start, late[1].end] == pytest.approx([0.05, 0.15, 0.15, 0.25])


def test_a_silence_hidden_in_a_phoneme_becomes_a_pause() -> None:
    wave = np.concatenate([tone(0.6), np.zeros(RATE // 2, np.float32)])
    found = utterance(wave, [Phoneme("b", 0, 0.2), Phoneme("a", 0.2, 0.4), Phoneme("n", 0.4, 1.1)], "en", "v")
    assert found is not None
    assert [p.symbol for p in found.phonemes] == ["b", "a", "n", "sil"]
    assert found.phonemes[-1].start == pytest.approx(0.6, abs=0.01)


def test_a_voice_that_says_nothing_is_no_utterance() -> None:
    assert utterance(np.zeros(RATE, np.float32), [Phoneme("a", 0, 1)], "en", "v") is None


def with_closure(start: float, end: float) -> np.ndarray:
    """A second of vowel that is dull (lips shut) for a while."""
    times = np.arange(RATE) / RATE
    bright = 0.3 * np.sin(2 * np.pi * 1500 * times) * ((times < start) | (times > end))
    return (bright + 0.1 * np.sin(2 * np.pi * 150 * times)).astype(np.float32)


def test_lips_are_shut_where_they_are_heard_to_be() -> None:
    says = [Phoneme("a", 0, 0.45), Phoneme("m", 0.45, 0.5), Phoneme("a", 0.5, 1.0)]
    found = utterance(with_closure(0.4, 0.48), says, "en", "v")
    assert found is not None
    before, lips, after = found.phonemes
    assert [lips.start, lips.end] == pytest.approx([0.4, 0.48], abs=0.012)
    assert (before.end, after.start) == (lips.start, lips.end)


@pytest.mark.parametrize(
    ("dull", "symbols"),
    [
        ((0.2, 0.28), "ama"),
        ((0.3, 0.6), "ama"),
        ((0.4, 0.41), "ama"),
        ((0.4, 0.48), "ana"),
        ((0.4, 0.48), "amn"),
    ],
    ids=["far away", "too long", "too short", "no lips", "next to what is dull too"],
)
def test_other_dips_are_no_closures(dull: tuple[float, float], symbols: str) -> None:
    edges = [0, 0.45, 0.5, 1.0]
    says = [Phoneme(symbols[i], edges[i], edges[i + 1]) for i in range(3)]
    found = utterance(with_closure(*dull), says, "en", "v")
    assert found is not None and list(found.phonemes) == says


@pytest.mark.parametrize(
    ("pinyin", "ipa"),
    [
        ("ni3 hao3", "ni↓xau↓"),
        ("zhi1 dao4", "ꭧɨ→tau↘"),
        ("xue2 yuan4", "ɕɥe↗ɥɛn↘"),
        ("you3 yong4", "jou↓jʊŋ↘"),
        ("wen4 ti2 , nv3 er2", "wən↘tʰi↗,ny↓əɻ↗"),
        ("ma5", "ma"),
    ],
)
def test_pinyin_sounds(pinyin: str, ipa: str) -> None:
    assert sounds(pinyin) == ipa


# -- labels ---------------------------------------------------------------------------------------------
def test_labels_close_lips_and_open_vowels() -> None:
    spoken = said("a", "m", "a", "p", "a", "u", "a")
    found = labels(spoken)
    assert found.shape == (len(spoken.samples) // SAMPLES, OUTPUTS + 1)
    assert found[:, :OUTPUTS].min() >= 0 and found[:, :OUTPUTS].max() <= 1
    middles = ((np.arange(7) + 0.5) * 0.15 * 30 - 1).astype(int)
    assert (found[middles, CLOSURE] > 0.9).tolist() == [False, True, False, True, False, False, False]
    pucker = found[:, [*CHANNELS].index("pucker")]
    assert pucker[middles[5]] > 3 * pucker[middles[0]]


@pytest.mark.parametrize("speed", [1.0, 1.25])
def test_labels_tell_which_sound_is_heard(speed: float) -> None:
    found = labels(said("a", "m", "sil", "n", "\u0295"), speed)
    middles = ((np.arange(5) + 0.5) * 0.15 * 30 / speed).astype(int)
    named = [1 + SOUNDS.index("a"), 1 + SOUNDS.index("m"), 0, 1 + SOUNDS.index("n"), 1 + len(SOUNDS)]
    assert found[middles, SOUND].tolist() == named


def test_louder_vowels_open_further() -> None:
    wave = np.concatenate([tone(1, 0.4), tone(1, 0.1)])
    level = opening(wave)
    assert level[5:25].mean() > 1.3 * level[40:55].mean()
    np.testing.assert_allclose(level, opening(wave * np.float32(0.2)), rtol=1e-3)


def test_labels_of_faster_speech_are_shorter() -> None:
    spoken = said(*"namipasutafobe")
    slow, fast = labels(spoken), labels(spoken, 1.25)
    assert len(fast) == int(len(spoken.samples) / 1.25) // SAMPLES
    again = slow[np.minimum((np.arange(len(fast)) * 1.25 + 0.125).astype(int), len(slow) - 1)]
    assert np.corrcoef(fast[:, 0], again[:, 0])[0, 1] > 0.9


# -- sound as it arrives ----------------------------------------------------------------------------------
def test_the_same_generator_gives_the_same_sound() -> None:
    wave, other = tone(1.0), tone(0.7, 0.1)
    for seed in range(8):
        one = augment.distorted(wave, [other], np.random.default_rng(seed))
        np.testing.assert_array_equal(one, augment.distorted(wave, [other], np.random.default_rng(seed)))
        assert one.shape == wave.shape and one.dtype == np.float32 and np.isfinite(one).all()
        assert np.abs(one).max() == pytest.approx(0.5, rel=1e-3)


def test_speeds_are_those_samples_can_be_played_at() -> None:
    random = np.random.default_rng(0)
    drawn = [augment.speed(random) for _ in range(200)]
    assert all((160 * factor).is_integer() for factor in drawn)
    assert 60 < sum(factor == 1 for factor in drawn) < 140
    assert min(drawn) < 0.9 and max(drawn) > 1.1
    assert len(augment.played(tone(1.0), 1.25)) == RATE / 1.25


def test_microphones_stay_until_they_are_changed() -> None:
    mel = np.random.default_rng(1).normal(-4, 2, (3, 5, HOPS * BANDS)).astype(np.float32)
    one, same = (augment.Microphones(3, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(one(mel), same(mel))
    before = one(mel)
    one.change(np.array([1]))
    after = one(mel)
    moved = np.abs(after - before).mean((1, 2))
    assert moved[1] > 2 * max(moved[0], moved[2])
    assert np.isfinite(after).all() and after.shape == mel.shape
