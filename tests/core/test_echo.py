"""The echo gate, fed with noise that swells like speech, and its room."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.echo import EchoGate, is_echo_text
from visavis.stages import LISTEN_RATE, VAD_FRAME

SECONDS = 6
Sound = NDArray[np.float32]


def murmur(seed: int, seconds: float = SECONDS) -> Sound:
    """Noise in syllables of about 4 Hz, with the falling spectrum of speech."""
    random = np.random.default_rng(seed)
    count = round(seconds * LISTEN_RATE)
    white = random.normal(0, 1, count)
    coloured = np.convolve(white, 0.85 ** np.arange(40), mode="same")
    syllables = np.repeat(random.uniform(0, 1, -(-count // 2000)) ** 2, 2000)[:count]
    smooth = np.convolve(syllables, np.hanning(800) / 400, mode="same")
    return (0.1 * coloured * smooth).astype(np.float32)


def room(sound: Sound, delay: float, loss: float) -> Sound:
    """What comes back: later, quieter by `loss` dB, with a tail of 0.2 s."""
    random = np.random.default_rng(9)
    tail = random.normal(0, 0.05, 3200) * np.exp(-np.arange(3200) / 700)
    tail[0] = 1
    back = np.convolve(sound, tail)[: len(sound)] * 10 ** (-loss / 20)
    return np.pad(back, (round(delay * LISTEN_RATE), 0))[: len(sound)].astype(np.float32)


def gate(microphone: Sound, playing: Sound, it: EchoGate | None = None) -> list[bool]:
    it = it or EchoGate()
    ends = range(VAD_FRAME, len(microphone) + 1, VAD_FRAME)
    return [it.frame(microphone[end - VAD_FRAME : end], playing[end - VAD_FRAME : end]) for end in ends]


def hiss(seed: int) -> Sound:
    return np.random.default_rng(seed).normal(0, 0.0005, SECONDS * LISTEN_RATE).astype(np.float32)


@pytest.mark.parametrize("loss", [6.0, 12.0, 20.0, 30.0])
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_echo_alone_does_not_pass(loss: float, delay: float) -> None:
    played = murmur(1)
    passed = gate(room(played, delay, loss) + hiss(2), played)
    assert sum(passed) == 0


@pytest.mark.parametrize("loss", [12.0, 20.0, 30.0])
def test_the_user_is_heard_over_the_echo(loss: float) -> None:
    """The user speaks from the fourth second on, as loud as the avatar at the loudspeaker."""
    played, user = murmur(1), murmur(3)
    user[: 4 * LISTEN_RATE] = 0
    passed = gate(room(played, 0.1, loss) + user + hiss(2), played)
    start = 4 * LISTEN_RATE // VAD_FRAME
    assert not any(passed[:start])
    assert sum(passed[start:]) > 12


def test_without_playback_the_user_is_heard_at_once() -> None:
    user = murmur(3)
    passed = gate(user + hiss(2), np.zeros_like(user))
    loud = [np.abs(user[k * VAD_FRAME :][:VAD_FRAME]).max() > 0.05 for k in range(len(passed))]
    first = loud.index(True)
    assert any(passed[first : first + 3])
    assert sum(np.logical_and(passed, loud)) >= 0.98 * sum(loud)


def test_nothing_is_learnt_while_playback_is_ducked() -> None:
    """Otherwise the echo of the first words at full loudness would pass."""
    played = murmur(1)
    echo = room(played, 0.1, 12.0) + hiss(2)
    learnt, naive = EchoGate(), EchoGate()
    gate(echo, played, learnt)
    gate(echo, played, naive)
    for end in range(VAD_FRAME, 2 * LISTEN_RATE, VAD_FRAME):
        quiet = 0.05 * echo[end - VAD_FRAME : end]
        learnt.frame(quiet, played[end - VAD_FRAME : end], learn=False)
        naive.frame(quiet, played[end - VAD_FRAME : end])
    assert not any(gate(echo, played, learnt))
    assert any(gate(echo, played, naive))


def test_the_same_sound_gets_the_same_answers() -> None:
    played = murmur(1)
    microphone = room(played, 0.1, 12.0) + murmur(3)
    assert gate(microphone, played) == gate(microphone, played)


SPOKEN = "Sure, the capital of France is Paris."


@pytest.mark.parametrize("text", ["the capital", "The capital of Frank", "Paris.", "capitals of France"])
def test_the_avatars_own_words(text: str) -> None:
    assert is_echo_text(text, SPOKEN)


@pytest.mark.parametrize("text", ["", "Stop!", "Wait, what about London?", "But the king"])
def test_other_words(text: str) -> None:
    assert not is_echo_text(text, SPOKEN)
