"""The scripted agent keeps time exactly, on a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import vtime

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.scripted import OUTPUT_RATE, ScriptedEngine, load, murmur
from visavis.errors import ConfigurationError
from visavis.settings import ScriptedSettings, Settings

Heard = list[tuple[float, ev.FromAgent]]


def engine(**script: Any) -> ScriptedEngine:
    return load(Settings(scripted=ScriptedSettings(**script)))


def listen(engine: ScriptedEngine, *asked: tuple[float, ev.ToAgent], until: float = 30.0) -> Heard:
    """What an agent says, and when, to events that come at given times."""

    async def talk() -> Heard:
        heard: Heard = []
        clock = asyncio.get_running_loop().time

        async def hear(agent: Any) -> None:
            async for event in agent:
                heard.append((clock(), event))

        async with engine.open(Brief()) as agent:
            ears = asyncio.create_task(hear(agent))
            for at, event in asked:
                await asyncio.sleep(at - clock())
                await agent.send(event)
            await asyncio.sleep(until - clock())
            ears.cancel()
        return heard

    return vtime.run(talk())


def pieces(heard: Heard, reply: str = "1") -> list[tuple[float, ev.ReplyAudio]]:
    return [(at, event) for at, event in heard if isinstance(event, ev.ReplyAudio) and event.reply == reply]


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_speech_comes_at_the_chosen_speed_after_the_delay(speed: float) -> None:
    agent = engine(seconds=1.0, speed=speed, delay=0.5)
    heard = listen(agent, (1.0, ev.UserText("hi")))
    assert [at for at, _ in pieces(heard)] == pytest.approx([1.5 + k * 0.1 / speed for k in range(10)])
    assert b"".join(event.pcm for _, event in pieces(heard)) == agent.pcm
    assert isinstance(heard[0][1], ev.ReplyStarted)
    assert isinstance(heard[-1][1], ev.ReplyDone)


def test_words_are_whole_in_order_and_within_the_speech() -> None:
    heard = listen(engine(seconds=2.05, chunk_ms=70), (0.0, ev.UserText("hi")))
    words = [word for _, event in pieces(heard) for word in event.words]
    assert [word.text for word in words] == [f"word{k}" for k in range(1, 7)]
    assert all(one.end <= two.start for one, two in itertools.pairwise(words))
    assert all(event.phonemes is None for _, event in pieces(heard))


def test_the_end_of_the_microphone_is_a_question_too() -> None:
    heard = listen(
        engine(seconds=0.2), (0.0, ev.MicOn(16_000)), (0.5, ev.UserAudio(b"\0\0")), (2.0, ev.MicOff())
    )
    assert heard[0] == (2.0, ev.UserSaid("(speech)"))
    assert pieces(heard)[0][0] == 2.0


def test_a_cancelled_reply_falls_silent_at_once() -> None:
    cancel = ev.CancelReply("1", 0.5, "word1")
    heard = listen(engine(seconds=5), (0.0, ev.UserText("hi")), (0.55, cancel), (0.6, cancel))
    assert heard[-1][0] == pytest.approx(0.5)
    assert not any(isinstance(event, ev.ReplyDone) for _, event in heard)


def test_a_new_question_ends_the_reply_and_a_late_cancel_does_not_end_the_new_one() -> None:
    late = ev.CancelReply("1", 0.5, "")
    heard = listen(engine(seconds=1), (0.0, ev.UserText("a")), (0.55, ev.UserText("b")), (0.6, late))
    assert pieces(heard, "1")[-1][0] == pytest.approx(0.5)
    assert len(pieces(heard, "2")) == 10
    assert heard[-1][1] == ev.ReplyDone("2")


def test_the_murmur_is_the_same_every_time_loud_enough_and_not_clipped() -> None:
    sound = np.frombuffer(murmur(2.0, 7), "<i2").astype(float) / 32768
    assert murmur(2.0, 7) == murmur(2.0, 7) != murmur(2.0, 8)
    assert len(sound) == 2 * OUTPUT_RATE
    assert np.sqrt(np.mean(sound**2)) > 0.03
    assert np.abs(sound).max() < 0.9


def test_a_wav_file_is_resampled_and_its_first_channel_taken(tmp_path: Path) -> None:
    file = tmp_path / "stereo.wav"
    time = np.arange(8_000) / 16_000
    left = (np.sin(2 * np.pi * 440 * time) * 8_000).astype("<i2")
    with wave.open(str(file), "wb") as sound:
        sound.setparams((2, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(np.stack([left, np.zeros_like(left)], 1).tobytes())
    said = np.frombuffer(engine(audio=file).pcm, "<i2")
    assert len(said) == pytest.approx(12_000, abs=24)
    assert np.abs(said).max() == pytest.approx(8_000, rel=0.05)


@pytest.mark.parametrize("data", [None, b"not a wave file"])
def test_a_file_that_cannot_be_played_is_named(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "speech.wav"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"scripted\.audio: .*speech\.wav"):
        engine(audio=file)
