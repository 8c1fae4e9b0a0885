"""The simulators' voice."""

from __future__ import annotations

from visavis.simulators.voice import RATE, SimulatedVoice


def test_it_speaks_every_word_within_the_sound() -> None:
    pcm, words = SimulatedVoice().say("It is a lovely day.")
    assert [word.text for word in words] == ["It", "is", "a", "lovely", "day."]
    assert 0 <= words[0].start < words[-1].end <= len(pcm) / 2 / RATE
    assert 0.8 < len(pcm) / 2 / RATE < 3


def test_the_same_text_sounds_the_same_with_the_same_seed_only() -> None:
    voice = SimulatedVoice(3)
    assert voice.say("Hello.") == voice.say("Hello.") == SimulatedVoice(3).say("Hello.")
    assert voice.say("Hello.") != SimulatedVoice(4).say("Hello.")
