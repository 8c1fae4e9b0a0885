"""`python -m pytest` in this folder."""

from __future__ import annotations

from itertools import pairwise

import pytest

from visavis import plugins
from visavis.errors import ConfigurationError
from visavis.settings import Settings
from visavis.stages import TextToSpeech


def voice(**options: object) -> TextToSpeech:
    loaded: TextToSpeech = plugins.load("tts", "visavis_tone:load", Settings(options={"tts": options}))
    return loaded


def test_words_and_phonemes_tile_the_sound() -> None:
    tone = voice()
    speech = tone("Hello — my friend!")
    assert [word.text for word in speech.words] == ["Hello", "—", "my", "friend!"]
    assert speech.phonemes is not None
    assert all(before.end == after.start for before, after in pairwise(speech.phonemes))
    assert len(speech.pcm) == 2 * tone.rate * speech.phonemes[-1].end


def test_nothing_to_pronounce_takes_no_time() -> None:
    assert voice()("...").pcm == b""


def test_options_are_heard_and_checked() -> None:
    assert voice(hertz=440)("Hello").pcm != voice()("Hello").pcm
    with pytest.raises(ConfigurationError, match="less than or equal to 2000"):
        voice(hertz=99_999)
