"""What is said in a recording: stretches of speech, and words with honest times."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from visavis.recognition import MARGIN, Stretch, recognise, spread, stretches
from visavis.say import speak
from visavis.settings import Settings
from visavis.stages import LISTEN_RATE, VAD_FRAME, Samples
from visavis.stages.pieces import LONGEST_PIECE


def loud(frame: Samples) -> float:
    """Voice activity of a microphone that nothing else can be heard in."""
    return float(np.abs(frame).max() > 0.1)


def heard(*lengths: int) -> list[Stretch]:
    """The stretches of so many frames of silence, voice, silence and so on."""
    audio = np.concatenate(
        [np.full(VAD_FRAME * length, 0.5 * (k % 2), np.float32) for k, length in enumerate(lengths)]
    )
    return list(stretches(audio.reshape(-1, VAD_FRAME), loud))


def test_a_stretch_is_from_the_first_voice_to_the_last_with_a_margin() -> None:
    first, second = heard(40, 20, 5, 20, 30, 10)  # 5 frames of silence are no pause, 30 are one
    assert (first.start, first.end) == (40 * VAD_FRAME, 85 * VAD_FRAME)
    assert len(first.audio) == pytest.approx((45 + 2 * MARGIN) * VAD_FRAME, abs=VAD_FRAME)
    assert first.audio[: (MARGIN - 1) * VAD_FRAME].max() == 0
    assert first.audio[MARGIN * VAD_FRAME] == 0.5
    assert (second.start, second.end) == (115 * VAD_FRAME, 125 * VAD_FRAME)
    assert second.audio[-1] == 0.5


def test_a_click_is_no_speech_and_silence_has_none() -> None:
    assert heard(40, 1, 40) == []
    assert heard(100) == []


def test_long_speech_is_cut_and_nothing_is_heard_twice() -> None:
    found = heard(10, 1500, 40)
    assert len(found) > 3
    assert all(len(stretch.audio) <= LONGEST_PIECE for stretch in found)
    assert (found[0].start, found[-1].end) == (10 * VAD_FRAME, 1510 * VAD_FRAME)
    for before, after in pairwise(found):
        assert before.end == after.start
    voiced = sum(int((stretch.audio > 0).sum()) for stretch in found)
    assert voiced == 1500 * VAD_FRAME


def test_words_share_their_stretch_by_their_lengths() -> None:
    words = spread("I am here", LISTEN_RATE, 2 * LISTEN_RATE)
    assert [word.text for word in words] == ["I", "am", "here"]
    assert [word.start for word in words] == pytest.approx([1.0, 1.2, 1.5])
    assert words[-1].end == pytest.approx(2.0)
    assert spread(" ", 0, 100) == []


@pytest.mark.models
def test_our_voice_is_understood_and_found_in_time(tmp_path: Path) -> None:
    sentences = ("Please follow me to the second floor.", "The museum closes at five.")
    spoken = [speak(sentence, Settings()) for sentence in sentences]
    rate = spoken[0].media.rate
    silence = bytes(2 * rate)
    path = tmp_path / "two.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(silence + spoken[0].pcm + silence + spoken[1].pcm + silence)
    told: list[float] = []
    words = recognise(path, Settings(), lambda done, total: told.append(done))
    text = " ".join(word.text for word in words).lower()
    assert all(said in text for said in ("follow me to the second floor", "museum closes at"))
    second = 2 + len(spoken[0].pcm) / 2 / rate
    begins = [words[0].start, next(word.start for word in words if word.start > second - 0.5)]
    assert begins == pytest.approx([1.0, second], abs=0.25)
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(words))
    assert words[-1].end == pytest.approx(second + len(spoken[1].pcm) / 2 / rate, abs=0.5)
    assert len(told) == 2 and told[-1] == pytest.approx(words[-1].end, abs=0.01)
