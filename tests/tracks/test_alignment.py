"""A recording and its transcript: when each phoneme is said, and the lips that meet there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from bench.lipsync.gates import count
from bench.lipsync.voices import RATE, Utterance, resized, rested
from numpy.typing import NDArray
from tests.espeak import needs_espeak
from tests.tracks import recordings
from tests.tracks.conftest import SENTENCE

from visavis.alignment import align, path, script
from visavis.alignment.ear import SAMPLE_RATE, Ear, Noise
from visavis.alignment.voice import voice_of
from visavis.animation import animate, animate_file
from visavis.audio import Media, to_float
from visavis.errors import VisavisError
from visavis.events import Phoneme, Word
from visavis.faces import FaceEngine
from visavis.faces.energy import load as load_energy
from visavis.faces.guided import Guided
from visavis.faces.viseme_table import BILABIAL
from visavis.faces.visemes import rows_of
from visavis.settings import EspeakSettings, Settings
from visavis.stages import Speech, TextToSpeech, tts_espeak
from visavis.stages.tts_hibari import Hibari

ANOTHER = "Nobody ever told those five hungry robots where the old library keeps its maps."
POLISH = "Babcia ma pompę w parku. Mój pies lubi bułki, a mama kupi mi buty."
Samples = NDArray[np.float32]


@pytest.fixture(scope="session")
def english() -> TextToSpeech:
    return voice_of("en")


@pytest.fixture(scope="session")
def child(english: TextToSpeech) -> Utterance:
    """Our voice as that of a smaller head that speaks faster, in a room with some noise."""
    said = english(SENTENCE)
    smaller = rested(resized(Utterance("child", said.pcm, said.phonemes or ()), 1.2, "child"))
    noise = np.random.default_rng(1).normal(0, 0.003, len(smaller.pcm) // 2)
    noisy = to_float(smaller.pcm) + noise.astype(np.float32)
    return Utterance("child", (noisy.clip(-1, 1) * 32767).astype("<i2").tobytes(), smaller.phonemes)


def robot(voice: str, text: str) -> Utterance:
    said = tts_espeak.load(Settings(espeak=EspeakSettings(voice=voice)))(text)
    return rested(Utterance(voice, said.pcm, said.phonemes or ()))


def sound(said: Utterance) -> Samples:
    return to_float(said.pcm)


def errors(found: tuple[Phoneme, ...], said: Utterance) -> NDArray[np.float64]:
    """Seconds between the lips that meet and those that should."""
    mine, theirs = (
        np.array([p.start for p in phonemes if any(BILABIAL[row] for row in rows_of(p.symbol))])
        for phonemes in (found, said.phonemes)
    )
    assert len(mine) == len(theirs) > 5
    late: NDArray[np.float64] = np.abs(mine - theirs)
    return late


# -- when it is said -----------------------------------------------------------------------------------
def test_another_voice_is_followed_to_the_phoneme(
    child: Utterance, english: TextToSpeech, net: FaceEngine
) -> None:
    found = align([sound(child)], SENTENCE, english, net)
    late = errors(found.phonemes, child)
    assert np.median(late) < 0.02 and late.max() < 0.08
    assert found.fit < 0.8
    assert [word.text for word in found.words] == SENTENCE.split()
    ends = [time for phoneme in found.phonemes for time in (phoneme.start, phoneme.end)]
    assert ends == sorted(ends) and ends[-1] <= len(child.pcm) / 2 / RATE
    assert all(word.start < word.end for word in found.words)


def test_the_pieces_in_which_it_is_heard_do_not_matter(
    child: Utterance, english: TextToSpeech, net: FaceEngine
) -> None:
    whole = sound(child)
    pieces = (whole[start : start + 7_777] for start in range(0, len(whole), 7_777))
    assert align(pieces, SENTENCE, english, net).phonemes == align([whole], SENTENCE, english, net).phonemes


def test_pauses_that_the_synthesiser_does_not_make_are_silent(
    child: Utterance, english: TextToSpeech, net: FaceEngine
) -> None:
    bob, pleased = align([sound(child)], SENTENCE, english, net).words[3:5]
    at = round((bob.end + pleased.start) / 2 * RATE)
    hesitant = np.concatenate([sound(child)[:at], np.zeros(2 * RATE, np.float32), sound(child)[at:]])
    words = align([hesitant], SENTENCE, english, net).words
    assert words[3].text == "Bob."
    assert abs(words[3].end - bob.end) < 0.05
    assert abs(words[4].start - pleased.start - 2) < 0.05


def test_a_sentence_is_found_in_a_long_silence(
    child: Utterance, english: TextToSpeech, net: FaceEngine
) -> None:
    rest = np.zeros(60 * RATE, np.float32)
    alone = align([sound(child)], SENTENCE, english, net).words
    found = align([rest, sound(child), rest], SENTENCE, english, net).words
    assert all(abs(a.start + 60 - b.start) < 0.07 for a, b in zip(alone, found, strict=True))


def test_slow_speech_is_followed(english: TextToSpeech, net: FaceEngine) -> None:
    slow = Hibari(speed=0.6)(SENTENCE)
    said = rested(Utterance("slow", slow.pcm, slow.phonemes or ()))
    late = errors(align([sound(said)], SENTENCE, english, net).phonemes, said)
    assert np.median(late) < 0.03 and late.max() < 0.15


def test_both_voices_are_heard_in_the_same_noise(english: TextToSpeech, net: FaceEngine) -> None:
    voice = to_float(english(SENTENCE).pcm)
    rain = np.random.default_rng(0).normal(0, 0.02, len(voice)).astype(np.float32)
    noisy, clean = Ear(net), Ear(net)
    for ear, samples in ((noisy, voice + rain), (clean, voice)):
        ear.feed(samples)
        ear.close()
    noise, spectrum = noisy.noise(), slice(0, 13)
    assert noise.threshold > clean.noise().threshold + 5

    def unlike(heard: Noise) -> float:
        return float(np.abs(noisy.columns(noise) - clean.columns(heard))[:, spectrum].mean())

    assert unlike(noise) < 0.8 * unlike(clean.noise())


def test_a_telephone_does_not_matter(child: Utterance, english: TextToSpeech, net: FaceEngine) -> None:
    narrow = soxr.resample(soxr.resample(sound(child), RATE, 8_000), 8_000, RATE).astype(np.float32)
    late = errors(align([narrow], SENTENCE, english, net).phonemes, child)
    assert np.median(late) < 0.025


@needs_espeak
@pytest.mark.parametrize(
    ("speaker", "language", "text"), [("pl+Henrique", "pl", POLISH), ("en-us+f3", "en", SENTENCE)]
)
def test_a_robot_is_followed_too(speaker: str, language: str, text: str, net: FaceEngine) -> None:
    said = robot(speaker, text)
    late = errors(align([sound(said)], text, voice_of(language), net).phonemes, said)
    assert np.median(late) < 0.03 and late.max() < 0.12


@needs_espeak
def test_mandarin_is_not_read_in_english() -> None:
    symbols = [phoneme.symbol for phoneme in voice_of("zh")("妈妈买了苹果。").phonemes or ()]
    assert symbols.count("m") == 3 and "w" not in symbols


# -- what it is good for -------------------------------------------------------------------------------
def test_an_engine_that_knows_the_text_closes_the_lips(child: Utterance) -> None:
    deaf = load_energy(Settings())
    hits = [
        count(child.phonemes, animate(sound(child), RATE, engine=deaf, life=False, text=text).weights).closed
        for text in (None, SENTENCE)
    ]
    assert np.mean(hits[0]) < 0.8
    assert np.mean(hits[1]) == 1 and len(hits[1]) >= 6


def test_a_track_of_a_file_knows_words_and_phonemes(
    child: Utterance, net: FaceEngine, tmp_path: Path
) -> None:
    file = recordings.write(tmp_path / "child.wav", sound(child), "pcm_s16le", 24_000)
    seen: list[float] = []
    track = animate_file(
        file, 25, net, text=f" {SENTENCE}\n", progress=lambda done, total: seen.append(done / (total or 1))
    )
    assert len(track) == np.ceil(len(child.pcm) / 2 / RATE * 25)
    assert track.text == SENTENCE and track.source == "child.wav"
    assert track.words[0].text == "My" and len(track.phonemes or ()) > 30
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1, abs=0.01)
    again = animate(sound(child), RATE, 25, net, text=SENTENCE)
    assert np.abs(again.weights - track.weights).max() < 0.02


def test_guided_frames_do_not_depend_on_their_groups(child: Utterance, net: FaceEngine) -> None:
    engine, media = Guided(net, child.phonemes), Media(RATE, 30)
    whole = engine.open(media, 0).feed(child.pcm, None, True)
    stream, size = engine.open(media, 0), 2 * media.edge(7)
    parts = [
        stream.feed(child.pcm[start : start + size], None, start + size >= len(child.pcm))
        for start in range(0, len(child.pcm), size)
    ]
    assert np.abs(np.concatenate(parts) - whole).max() < 2e-3  # faces drawn in pieces join in the pieces


# -- what cannot be ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", "NO_TEXT", "The text is empty"),
        (" \n*** 😀", "NO_TEXT", "The text is empty"),
        (ANOTHER, "TEXT_MISMATCH", "does not fit what is said"),
        (SENTENCE[::-1], "TEXT_MISMATCH", "does not fit what is said"),
        ("Hi!", "TEXT_MISMATCH", "of the recording are speech"),
        (f"{SENTENCE} {ANOTHER} " * 2, "TEXT_MISMATCH", "Nobody says"),
        ("blah " * 50_000, "TEXT_TOO_LONG", "at most 200000"),
    ],
)
def test_a_text_that_is_not_said_is_an_error(
    text: str, code: str, reason: str, child: Utterance, english: TextToSpeech, net: FaceEngine
) -> None:
    with pytest.raises(VisavisError, match=reason) as error:
        align([sound(child)], text, english, net)
    assert error.value.code == code


@pytest.mark.parametrize("seconds", [0, 0.01, 3])
def test_where_nothing_is_said_no_text_can_be_found(
    seconds: float, english: TextToSpeech, net: FaceEngine
) -> None:
    with pytest.raises(VisavisError, match="Nothing is said"):
        align([np.zeros(round(seconds * RATE), np.float32)], "Hello.", english, net)


def test_noise_says_nothing(english: TextToSpeech, net: FaceEngine) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    with pytest.raises(VisavisError) as error:
        align([noise], SENTENCE, english, net)
    assert error.value.code == "TEXT_MISMATCH"


def test_a_language_without_a_voice_is_an_error() -> None:
    with pytest.raises(VisavisError, match=r"There is no voice for 'xx'.*espeak-ng") as error:
        voice_of("xx")
    assert error.value.code == "NO_VOICE"


def test_arguments_are_checked_before_anything_is_heard(child: Utterance) -> None:
    with pytest.raises(VisavisError, match="1 Hz"):
        animate(sound(child), 1, text=SENTENCE)
    with pytest.raises(VisavisError, match="no samples"):
        animate(np.zeros(0, np.float32), RATE, text=SENTENCE)


# -- the text ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One two three four. Five\nsix seven.", ["One two three four.", "Five six seven."]),
        ("A title\n\nAnd a text.", ["A title", "And a text."]),
        ("你好。我们去公园!", ["你好。 我们去公园!"]),
        ("- *Hello* there 😀\n\n", ["Hello there"]),
        ("a" * 2_500, ["a" * 1_000, "a" * 1_000, "a" * 500]),
    ],
)
def test_texts_are_said_a_clause_at_a_time(text: str, cut: list[str]) -> None:
    assert list(script.clauses(text)) == cut


class Metronome:
    """Says every letter for 0.1 s, and nothing for 0.1 s between words."""

    rate, languages = SAMPLE_RATE, frozenset({"en"})

    def __call__(self, text: str, language: str | None = None) -> Speech:
        words, phonemes = list[Word](), list[Phoneme]()
        for index, character in enumerate(text):
            begins = index / 10
            phonemes.append(Phoneme("sil" if character == " " else character, begins, begins + 0.1))
        at = 0
        for word in text.split():
            words.append(Word(word, at / 10, (at + len(word)) / 10))
            at += len(word) + 1
        return Speech(bytes(2 * len(text) * SAMPLE_RATE // 10), tuple(words), tuple(phonemes))


def test_words_are_stretches_of_phonemes(net: FaceEngine) -> None:
    spoken = script.speak("ma pa ta ba da.\nmi", Metronome(), Ear(net))
    assert spoken.words == ["ma", "pa", "ta", "ba", "da.", "mi"]
    assert [stretch.word for stretch in spoken.stretches] == list(range(6))
    assert "".join(p.symbol for s in spoken.stretches for p in s.phonemes) == "mapatabada.mi"
    assert [round(stretch.start, 3) for stretch in spoken.stretches] == [0, 0.3, 0.6, 0.9, 1.2, 1.5]


# -- the path ------------------------------------------------------------------------------------------
def chain(words: int, length: int, seed: int = 0) -> tuple[Samples, NDArray[np.bool_]]:
    """States of `words` words of `length` columns each, unlike each other, with silences around them."""
    columns = np.random.default_rng(seed).normal(0, 1, (words * (length + 1) + 1, 8)).astype(np.float32)
    return columns, np.arange(len(columns)) % (length + 1) == 0


def laid_over(order: list[int], words: int = 4, length: int = 5) -> list[int]:
    """The states in which the columns of the states `order` are heard; a silence costs 0.1."""
    said, silent = chain(words, length)
    quiet = np.where(silent[order], 0.1, 9).astype(np.float32)
    states: list[int] = path.best_path(said[order], said, silent, quiet).states.tolist()
    return states


def every(words: int = 4, length: int = 5) -> list[int]:
    return list(range(words * (length + 1) + 1))


def test_the_same_is_laid_over_itself() -> None:
    assert laid_over(every()) == every()


def test_silences_may_last_or_not_be() -> None:
    spoken = [state for state in every() if state % 6]
    assert laid_over(spoken) == spoken
    hesitant = [0, 0, 0, *every()[1:12], *[12] * 30, *every()[13:]]
    assert laid_over(hesitant) == hesitant


def test_slow_and_fast_speech_is_followed() -> None:
    slow = [state for state in every() for _ in range(2)]
    assert laid_over(slow) == slow
    for left in ((0, 1, 3, 5), (0, 1, 4), (0, 2, 5)):
        fast = [state for state in every() if state % 6 in left]
        assert laid_over(fast) == fast


def test_long_recordings_are_followed_with_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    order = [state for state in every(200) for _ in range(1 + state % 3)]
    assert laid_over(order, 200) == order
    monkeypatch.setattr(path, "WINDOW", 60)
    monkeypatch.setattr(path, "SETTLED", 100)
    kept: list[int] = []
    trace = path._trace

    def counted(state: int, moves: list[NDArray[np.uint8]], firsts: list[int]) -> NDArray[np.intp]:
        kept.append(len(moves))
        assert all(len(row) == 60 for row in moves)
        return trace(state, moves, firsts)

    monkeypatch.setattr(path, "_trace", counted)
    assert laid_over(order, 200) == order
    assert len(kept) > 10 and max(kept) == 200
