"""espeak-ng: its marks as phonemes and words, its languages, and what is said when it is missing."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest
from tests.espeak import needs_espeak

from visavis.errors import ConfigurationError
from visavis.faces.viseme_table import BILABIAL, SYMBOLS
from visavis.settings import AssistantSettings, EspeakSettings, Settings, VoiceSettings
from visavis.stages import Speech, tts_espeak
from visavis.stages.espeak_library import Library, Mark, library
from visavis.stages.espeak_words import EspeakWords, owners, pronounceable
from visavis.stages.ipa import known
from visavis.stages.passages import spelled
from visavis.stages.tts_espeak import phones_of

SENTENCES = {
    "pl": "Cześć, proszę powiedz mi coś o pogodzie.",
    "de": "Über Bücher spreche ich nicht.",
    "es": "El perro de mi hermana se llama Pepe.",
    "fr": "Bonjour, un bon vin blanc.",
    "it": "Mi piace la pizza con i pomodori.",
    "pt-BR": "Bom dia, meu amigo.",
    "uk": "Добрий день, мамо.",
    "zh": "你好,妈妈。",
}


def spoken(language: str, text: str, speed: float = 1.0) -> Speech:
    assistant, voice = AssistantSettings(language=language), VoiceSettings(speed=speed)
    return tts_espeak.load(Settings(assistant=assistant, voice=voice))(text)


def symbols(speech: Speech) -> list[str]:
    return [phoneme.symbol for phoneme in speech.phonemes or ()]


# -- marks, without the library ----------------------------------------------------------------------------
def test_marks_become_phones_that_tile_the_audio_and_belong_to_words() -> None:
    marks = [
        Mark(0, 0, ""),
        Mark(10, None, "m"),
        Mark(20, None, "ã"),
        Mark(30, None, ""),
        Mark(40, 5, ""),
        Mark(40, None, "pʲ"),
        Mark(50, None, "?"),
        Mark(60, 0, ""),
        Mark(60, None, "i"),
        Mark(70, 99, ""),  # behind the end of a clause it may name any place
        Mark(70, None, ""),
        Mark(70, 5, ""),
        Mark(70, None, "a"),
    ]
    phones = phones_of(marks, [0, 5, 90], 8.0, 10)
    assert [(phone.symbol, phone.start, phone.end, phone.owner) for phone in phones] == [
        ("sil", 0.0, 1.0, -1),
        ("m", 1.0, 2.0, 0),
        ("a", 2.0, 3.0, 0),
        ("sil", 3.0, 4.0, -1),
        ("pj", 4.0, 6.0, 1),
        ("i", 6.0, 7.0, 1),
        ("a", 7.0, 8.0, 1),
    ]


def test_sound_without_a_mark_belongs_to_the_first_word() -> None:
    marks = [Mark(0, -1, ""), Mark(0, None, "a"), Mark(10, 2, ""), Mark(10, None, "b")]
    assert [phone.owner for phone in phones_of(marks, [0, 2], 2.0, 10)] == [0, 1]


@pytest.mark.parametrize(
    ("ipa", "face"), [("tʃ", "tʃ"), ("yː", "y"), ("ɔ̃", "ɔ"), ("t͡ɕ", "tɕ"), ("ɓ", "b"), ("ç", "ç"), ("1", "")]
)
def test_only_signs_that_the_face_knows_are_left(ipa: str, face: str) -> None:
    assert known(ipa) == face
    assert set(face) <= SYMBOLS.keys()


def test_what_is_not_spoken_is_blank_and_nothing_moves() -> None:
    assert pronounceable("a *b* 😀 c\0") == "a  b    c "


def test_what_words_become_together_belongs_to_them() -> None:
    assert owners(["ɪn", "ðə", "haʊs"], "ɪnðə hˈaʊs") == [0, 0, 1, 1, 2, 2, 2, 2, 2, 2]
    assert owners(["tuː", "æn"], "tʊ ɐn") == [0, 0, 1, 1, 1]
    assert owners(["twenti", "of"], "twˈɛnti ˈʌv") == [0] * 7 + [1] * 4
    assert owners(["le", "ami"], "lez ami") == [0, 0, 0, 1, 1, 1, 1]
    assert owners(["", ""], "a b") == [0, 1, 1]
    assert owners(["a"], "") == []


# -- the library ---------------------------------------------------------------------------------------------
@needs_espeak
@pytest.mark.parametrize(("language", "text"), SENTENCES.items(), ids=SENTENCES)
def test_many_languages_have_words_and_phonemes(language: str, text: str) -> None:
    speech = spoken(language, text)
    assert [word.text for word in speech.words] == text.split()
    assert all(word.start < word.end for word in speech.words)
    assert len(set(symbols(speech))) >= 5


@needs_espeak
def test_the_lips_close_where_polish_writes_so() -> None:
    speech = spoken("pl", "Mama ma psa, a papuga bawi babcię.")
    rows = [SYMBOLS[symbol[0]] for symbol in symbols(speech) if symbol != "sil"]
    assert sum(bool(BILABIAL[row]) for row in rows) == 9
    word = next(word for word in speech.words if word.text == "papuga")
    inside = [p.symbol for p in speech.phonemes or () if word.start <= p.start < word.end]
    assert inside == ["p", "a", "p", "u", "ɡ", "a"]


@needs_espeak
def test_no_mark_is_lost_after_other_uses() -> None:
    espeak, text = library(), "Babcia ma pompę w parku. Mój pies lubi bułki."
    marks = espeak.speak(text, "pl+Henrique", 160)[1]
    assert [mark.symbol for mark in marks[:3]] == ["", "b", "a"]
    for _ in range(100):
        espeak.ipa(["3  ïµg", "a", ". (-a aa"], "en-us")
    assert espeak.speak(text, "pl+Henrique", 160)[1] == marks
    espeak.speak("a " * 2_000, "en-us", 160)
    assert espeak.speak(text, "pl+Henrique", 160)[1] == marks


@needs_espeak
def test_words_are_pronounced_as_they_sound_together() -> None:
    words = EspeakWords(library(), "en-us", lambda ipa: ipa.replace("^", ""), 400)
    text = "In the *house* 😀, 25% off? Yes. 3. no"
    found = [(word.symbols, text.split()[word.owner]) for part in words.passages(text) for word in part]
    assert [word for _, word in found] == ["In", "the", "*house*", "25%", "off?", "Yes.", "3.", "no"]
    assert "".join(spelled(next(words.passages(text)))[0]).startswith("<s>ɪnðə hˈaʊs")
    assert found[3][0].replace("ˈ", "") == "twɛnti faɪv pɚsɛnt"
    assert found[4][0].endswith("f?")
    assert [len(part) for part in words.passages(text)] == [5, 1, 2]
    assert all(sum(len(w.symbols) + 1 for w in part) <= 400 for part in words.passages("word " * 500))


@needs_espeak
def test_speed_is_the_speed() -> None:
    slow, fast = (len(spoken("pl", SENTENCES["pl"], speed).pcm) for speed in (0.7, 1.4))
    assert slow > 1.5 * fast


@needs_espeak
def test_one_voice_speaks_the_languages_of_others() -> None:
    english = tts_espeak.load(Settings())
    assert {"en", "pl", "pt", "zh", "no"} <= english.languages
    assert not {"detect", "en-us", ""} & english.languages
    polish, chinese = english(SENTENCES["pl"], "pl"), english(SENTENCES["zh"], "zh")
    assert symbols(polish) == symbols(spoken("pl", SENTENCES["pl"]))
    assert symbols(chinese) == symbols(spoken("zh", SENTENCES["zh"]))
    assert symbols(english("Hello.", "en")) == symbols(english("Hello.")) != symbols(english("Hello.", "pl"))


@needs_espeak
def test_a_chosen_voice_stays_the_voice_of_its_language() -> None:
    voice = tts_espeak.load(Settings(espeak=EspeakSettings(voice="pt-br")))
    text = "Bom dia, gente da cidade."
    assert symbols(voice(text, "pt")) == symbols(voice(text)) != symbols(spoken("pt", text))


@needs_espeak
def test_a_voice_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'nowhere'"):
        tts_espeak.load(Settings(espeak=EspeakSettings(voice="nowhere")))


def test_without_the_program_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with pytest.raises(ConfigurationError, match="apt-get install espeak-ng"):
        Library()
