"""Words without times are spread over the voice, not over its pauses."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.audio import to_pcm
from visavis.turn import Words, length
from visavis.voiced import VoicedTime

RATE = 24_000


def sound(*parts: float) -> bytes:
    """Seconds of voice and of pause, by turns."""
    loud = np.concatenate([np.full(round(s * RATE), 0.0 if i % 2 else 0.3) for i, s in enumerate(parts)])
    return to_pcm(loud * np.sin(np.arange(len(loud)) * 0.3))


@pytest.mark.parametrize("piece", [320, 960, 5_000, 1_000_000])
def test_pauses_do_not_count(piece: int) -> None:
    voiced, pcm = VoicedTime(RATE), sound(1.0, 0.5, 2.0)
    for start in range(0, len(pcm), piece):
        voiced.add(pcm[start : start + piece])
        voiced.at(1.0)
    assert [voiced.at(t) for t in (0.0, 0.5, 1.0, 1.25, 1.5, 3.0)] == pytest.approx([0, 0.5, 1, 1, 1, 2.5])
    assert [voiced.begin(v) for v in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0, 0.5, 1.5, 2.5])
    assert [voiced.end(v) for v in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0, 0.5, 1.0, 2.5])


def test_beyond_the_known_sound_and_in_silence_all_is_voice() -> None:
    voiced = VoicedTime(RATE)
    assert (voiced.at(2.0), voiced.begin(2.0), voiced.end(2.0)) == (2.0, 2.0, 2.0)
    voiced.add(bytes(RATE * 2))
    assert (voiced.at(0.5), voiced.at(2.0)) == pytest.approx((0.5, 2.0))
    assert voiced.end(2.0) == pytest.approx(2.0)


def test_words_share_the_voice_by_their_lengths_and_none_lies_in_the_pause() -> None:
    words = Words(28.0, RATE)
    words.add_text("Good day. How ")
    words.add_sound(sound(1.0, 1.0, 2.0))
    words.add_text("are you?")
    words.finish(4.0)
    told = words.until(4.0)
    assert [word.text for word in told] == ["Good", "day.", "How", "are", "you?"]
    assert (told[0].start, told[-1].end) == pytest.approx((0.0, 4.0))
    assert all(not 1.01 < word.start < 1.99 and not 1.01 < word.end < 1.99 for word in told)
    share = (told[-1].end - told[-1].start) / 3.0
    assert share == pytest.approx(length("you?") / sum(length(word.text) for word in told))


def test_while_the_reply_goes_on_words_come_at_a_usual_pace() -> None:
    words = Words(28.0, RATE)
    words.add_text("one two three four five six seven eight nine ten ")
    words.add_sound(sound(1.0))
    spoken = sum(length(word.text) for word in words.until(1.0))
    assert 28 <= spoken <= 28 + length("seven")
