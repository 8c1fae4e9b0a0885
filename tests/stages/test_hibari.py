"""The synthesiser's times against the sound itself. Its network comes inside its package."""

from __future__ import annotations

import numpy as np
import pytest
from tests.hissing import HISSING, best_shift

from visavis.audio import to_float
from visavis.stages.ipa import LETTERS
from visavis.stages.passages import SpokenWord, breaths
from visavis.stages.phones import LONGEST_TEXT, Phone, louder, phones_of, trim, words_of
from visavis.stages.tts_hibari import DURATIONS, GAIN, LAG, MAX_PHONEMES, RATE, UNIT, Hibari
from visavis.voices import character_of


@pytest.fixture(scope="module")
def voice() -> Hibari:
    return Hibari()


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_durations_add_up_to_the_audio(speed: float) -> None:
    engine = Hibari(speed)
    (passage,) = engine._passages("Peter picked a big bag of mops, I believe.")
    wave, phones = engine._speak(passage, np.random.default_rng(0))
    names = [output.name for output in engine._session.get_outputs()]
    ids = [[0, *(engine._vocabulary[symbol] for symbol in " ".join(w.symbols for w in passage)), 0]]
    feed = {"ids": np.array(ids, np.int64), "speed": engine._speed}
    durations = engine._session.run([DURATIONS], feed)[0]
    assert names[-1] == DURATIONS
    assert durations.sum() * UNIT == pytest.approx(len(wave) / RATE)
    assert phones[-1].end == pytest.approx(len(wave) / RATE)


def test_phonemes_are_where_their_sound_is(voice: Hibari) -> None:
    shift, fit = best_shift(voice, HISSING)
    assert abs(shift) <= 0.021
    assert fit > 0.3


def test_words_begin_where_their_sound_begins(voice: Hibari) -> None:
    """The pause at the comma lies between the words around it."""
    speech = voice("Stop, papa.")
    level = np.abs(to_float(speech.pcm))
    stop, papa = speech.words
    gap = level[round(stop.end * RATE) : round(papa.start * RATE)]
    assert papa.start - stop.end > 0.05
    assert gap.mean() < level.mean() / 4


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("Hello.", "sil h ə l oʊ sil"), ("I choose joy!", "sil aɪ tʃ u z dʒ ɔɪ sil")],
)
def test_symbols_are_ipa(voice: Hibari, text: str, symbols: str) -> None:
    found = [phoneme.symbol for phoneme in voice(text).phonemes or ()]
    assert found == symbols.split() or found == symbols.split()[1:]


def test_stressed_vowels_are_marked(voice: Hibari) -> None:
    stresses = {phoneme.symbol: phoneme.stress for phoneme in voice("Hello.").phonemes or ()}
    assert stresses["oʊ"] == 2
    assert stresses["ə"] == 0
    assert stresses["h"] == 0


def test_an_expanded_number_takes_its_whole_time(voice: Hibari) -> None:
    costs, money, or_, percent, off = voice("Costs $19.99, or 25% off.").words
    assert money.text == "$19.99,"
    assert money.end - money.start > 3 * (costs.end - costs.start)
    assert percent.end - percent.start > 3 * (or_.end - or_.start)
    assert costs.end <= money.start < money.end <= or_.start < percent.start < percent.end <= off.start


def test_silent_words_keep_their_place(voice: Hibari) -> None:
    great, emoji, job = voice("Great 😀 job.").words
    assert great.end == emoji.start == emoji.end <= job.start


def test_speed_and_seed_change_the_speech(voice: Hibari) -> None:
    text = "The same sentence, twice."
    usual = voice(text).pcm
    assert len(Hibari(1.5)(text).pcm) < 0.8 * len(usual)
    assert Hibari(seed=1)(text).pcm != usual
    assert len(Hibari(seed=1)(text).pcm) == pytest.approx(len(usual), abs=0.03 * 2 * RATE)


def test_foreign_script_takes_no_time(voice: Hibari) -> None:
    assert voice("日本語").pcm == b""


@pytest.mark.parametrize(
    "text", ["9" * 3_000, "1," * 2_000, "a-" * 40, "(" * 5_000, "½" * 500, "1:1" * 900, "\ud800"]
)
def test_hostile_text_is_survived(voice: Hibari, text: str) -> None:
    assert len(voice(text).pcm) < 60 * 2 * RATE


def test_very_long_text_is_bounded(voice: Hibari) -> None:
    assert len(voice(("nothing" * 10 + " ") * 400).words) == LONGEST_TEXT // 71 + 1


# -- pure parts ----------------------------------------------------------------------------------------------
def test_marks_join_their_neighbours() -> None:
    symbols = ["<s>", "ˈ", "I", " ", "ʧ", "ː", ".", "</s>"]
    wave = np.full(round(1.0 * RATE), 0.1, np.float32)
    durations = np.array([0.2, 0.05, 0.1, 0.05, 0.1, 0.1, 0.2, 0.2])
    phones = phones_of(symbols, [-1, 0, 0, 0, 1, 1, 1, -1], durations, wave, LAG)
    assert [(phone.symbol, phone.stress, phone.owner) for phone in phones] == [
        ("sil", 0, -1),
        ("aɪ", 2, 0),
        ("tʃ", 0, 1),
        ("sil", 0, -1),
        ("sil", 0, -1),
    ]
    assert [round(phone.end, 3) for phone in phones] == [0.145, 0.345, 0.545, 0.745, 1.0]


def test_silence_at_the_end_of_a_phoneme_is_silence() -> None:
    wave = np.concatenate([np.full(RATE // 2, 0.1, np.float32), np.zeros(RATE // 2, np.float32)])
    phones = phones_of(["<s>", "s", "</s>"], [-1, 0, -1], np.array([0.1, 0.8, 0.1]), wave, LAG)
    assert [phone.symbol for phone in phones] == ["sil", "s", "sil", "sil"]
    assert phones[1].end == pytest.approx(0.5)


def test_trimming_moves_the_times() -> None:
    wave = np.zeros(RATE, np.float32)
    wave[RATE // 4 : RATE // 2] = 0.1
    phones = [Phone("sil", 0, 0.25, 0, -1), Phone("a", 0.25, 0.5, 2, 0), Phone("sil", 0.5, 1, 0, -1)]
    kept, moved = trim(wave, phones, 0.12)
    assert len(kept) / RATE == pytest.approx(0.02 + 0.25 + 0.12)
    assert [(phone.symbol, round(phone.start, 3), round(phone.end, 3)) for phone in moved] == [
        ("sil", 0.0, 0.02),
        ("a", 0.02, 0.27),
        ("sil", 0.27, 0.39),
    ]


def test_long_sentences_are_cut_at_a_comma() -> None:
    words = [SpokenWord("wˈɜɹd" + ("," if number % 10 == 9 else ""), number) for number in range(200)]
    passages = list(breaths(words, MAX_PHONEMES))
    assert [word for passage in passages for word in passage] == words
    assert all(sum(len(word.symbols) + 1 for word in passage) <= MAX_PHONEMES for passage in passages)
    assert all(passage[-1].symbols.endswith(",") for passage in passages)


def test_a_passage_of_marks_is_not_spoken() -> None:
    assert list(breaths([SpokenWord("...", 0)], MAX_PHONEMES)) == []


def test_words_are_covered_by_their_phones() -> None:
    phones = [Phone("a", 0.1, 0.2, 0, 0), Phone("b", 0.2, 0.3, 0, 0), Phone("c", 0.4, 0.5, 0, 2)]
    spans = [(word.start, word.end) for word in words_of(["ab", "-", "c"], phones)]
    assert spans == [(0.1, 0.3), (0.3, 0.3), (0.4, 0.5)]


def test_louder_never_clips_and_never_bends_quiet_sound() -> None:
    ramp = np.linspace(-1, 1, 1_001, dtype=np.float32)
    loud = louder(ramp, GAIN)
    assert np.abs(loud).max() < 1.0
    assert (np.diff(loud) > 0).all()
    quiet = ramp[np.abs(ramp) < 0.2]
    assert louder(quiet, GAIN) == pytest.approx(quiet * 10 ** (8 / 20), rel=1e-5)


def test_symbols_of_ipa_are_letters() -> None:
    assert all(symbol.isalpha() for symbol in LETTERS.values())


def test_the_voice_of_an_avatar_is_another_one_on_the_same_network(voice: Hibari) -> None:
    pip = voice.of_avatar("pip")
    assert pip is not voice
    assert pip("Hello there.").pcm != voice("Hello there.").pcm
    assert pip("Hello there.").pcm == Hibari(character=character_of("pip"))("Hello there.").pcm
    assert [word.text for word in pip("Hello there.").words] == ["Hello", "there."]
    assert voice.of_avatar("somebody's own") is voice
