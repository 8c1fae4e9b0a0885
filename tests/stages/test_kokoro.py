"""Kokoro: a network of a few nodes with its inputs and outputs, and the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.espeak import needs_espeak
from tests.hissing import HISSING, best_shift
from tests.tiny_kokoro import FRAMES, SAMPLES, VOCABULARY, load, network, styles

from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.needs import needed_models
from visavis.settings import AssistantSettings, KokoroSettings, Settings, StageSettings, VoiceSettings
from visavis.stages import tts_kokoro
from visavis.stages.tts_kokoro import LAG, Kokoro

SENTENCES = {
    "es": "Me llamo Ana, ¿y tú?",
    "fr": "Bonjour, un bon vin blanc.",
    "hi": "नमस्ते, आप कैसे हैं?",
    "it": "Mi chiamo Anna, e tu?",
    "pt": "Bom dia, meu amigo.",
}


@pytest.fixture(scope="module")
def voice() -> Kokoro:
    return load(Settings())


def test_every_symbol_takes_its_time(voice: Kokoro) -> None:
    speech = voice("Hello.")  # <s> h ə l ˈ O . </s>
    symbol = FRAMES * SAMPLES / Kokoro.rate
    assert len(speech.pcm) / 2 / Kokoro.rate == pytest.approx(8 * symbol, abs=6e-3)
    assert [p.symbol for p in speech.phonemes or ()] == ["sil", "h", "ə", "l", "oʊ", "sil"]
    begins = [p.start for p in speech.phonemes or ()]
    assert begins[1:] == pytest.approx([n * symbol - LAG for n in (1, 2, 3, 4, 6)], abs=6e-3)
    assert [p.stress for p in speech.phonemes or ()] == [0, 0, 0, 0, 2, 0]


def test_the_style_is_that_of_the_length(voice: Kokoro) -> None:
    """The tone's pitch is the number of the row: row n - 1 for n symbols, the last for more."""
    for text, symbols in (("Hello.", 6), ("Hello, hello.", 13)):
        wave = np.frombuffer(voice(text).pcm, "<i2")[1_000:-3_000].astype(float)
        crossings = np.flatnonzero((wave[:-1] < 0) & (wave[1:] >= 0))
        pitch = 2 * np.pi * (len(crossings) - 1) / (crossings[-1] - crossings[0])
        assert pitch == pytest.approx(float(styles()[symbols - 1, 0]), rel=5e-3)
    assert Kokoro(network(), VOCABULARY, styles(3))("Hello, hello.").pcm


def test_speed_is_the_speed() -> None:
    slow, fast = (
        len(load(Settings(voice=VoiceSettings(speed=speed)))("Hello.").pcm) for speed in (0.75, 1.5)
    )
    assert slow == pytest.approx(2 * fast, rel=0.05)


@needs_espeak
@pytest.mark.parametrize(("language", "text"), SENTENCES.items(), ids=SENTENCES)
def test_other_languages_are_pronounced_by_espeak(voice: Kokoro, language: str, text: str) -> None:
    speech = voice(text, language)
    assert [word.text for word in speech.words] == text.split()
    assert all(word.start < word.end for word in speech.words)
    english = voice(text)
    assert [p.symbol for p in speech.phonemes or ()] != [p.symbol for p in english.phonemes or ()]


@needs_espeak
def test_tied_sounds_are_one_letter(voice: Kokoro) -> None:
    assert voice._spell("t^ʃˈa^ʊ ɔ^ɪ") == "ʧˈW Y"
    assert voice._spell("bˈɔ̃ ˈa5") == "bˈɔ\u0303 ˈa"


@needs_espeak
def test_a_language_that_it_has_not_learned_is_named() -> None:
    assert load(Settings()).languages == {"en", *SENTENCES}


def test_without_espeak_it_speaks_english() -> None:
    assert Kokoro(network(), VOCABULARY, styles()).languages == {"en"}


def test_a_voice_chooses_kokoro(tmp_path: Path) -> None:
    assert load_settings({}, None, {"KOKORO_VOICE": "jm_kumo"}, tmp_path).stages.tts == "kokoro"
    assert "kokoro-part4" in needed_models(Settings(stages=StageSettings(tts="kokoro")))


@pytest.mark.models
def test_wrong_voices_and_languages_are_named(tmp_path: Path) -> None:
    for wrong in ("nobody", str(tmp_path), str(_written(tmp_path, b"12345"))):
        with pytest.raises(ConfigurationError, match=r"one of jf_alpha, .*, or the \.bin file"):
            tts_kokoro.load(Settings(kokoro=KokoroSettings(voice=wrong)))
    for data in (b"", b"\xff" * 1024):
        with pytest.raises(ConfigurationError, match="is not the file of a voice"):
            tts_kokoro.load(Settings(kokoro=KokoroSettings(voice=str(_written(tmp_path, data)))))
    with pytest.raises(ConfigurationError, match=r"does not speak 'pl'"):
        tts_kokoro.load(Settings(assistant=AssistantSettings(language="pl")))


@pytest.mark.models
def test_phonemes_of_the_real_voice_are_where_their_sound_is() -> None:
    engine = tts_kokoro.load(Settings())
    shift, fit = best_shift(engine, HISSING[:3])
    assert abs(shift) <= 0.021
    assert fit > 0.3
    assert engine("Hello.") == engine("Hello.")


def _written(folder: Path, data: bytes) -> Path:
    file = folder / "voice.bin"
    file.write_bytes(data)
    return file
