"""Clauses that are said again without being made again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.cascade_fakes import Talk, Voice, talk

from visavis import events as ev
from visavis.agents import parts
from visavis.agents.parts import Said
from visavis.stages import Speech


def speech(size: int) -> tuple[Speech, ...]:
    return (Speech(bytes(size), (), None),)


def test_the_clauses_that_were_said_longest_ago_make_room() -> None:
    said = Said(2)
    for text in ("one", "two"):
        said.keep((text, None), speech(2))
    assert said.find(("one", None)) == speech(2)
    said.keep(("three", None), speech(2))
    assert said.find(("two", None)) is None
    assert said.find(("one", None)) == speech(2)
    assert said.find(("one", "pl")) is None


def test_nothing_is_kept_without_a_place_for_it() -> None:
    said = Said()
    said.keep(("one", None), speech(2))
    assert said.find(("one", None)) is None


def test_the_sound_that_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_BYTES", 10)
    said = Said(100)
    for _ in range(3):
        said.keep(("one", None), speech(6))
    said.keep(("two", None), speech(4))
    assert said.find(("one", None)) == speech(6)
    said.keep(("three", None), speech(1))
    assert said.find(("two", None)) is None
    said.keep(("huge", None), speech(11))
    assert [said.find((text, None)) for text in ("one", "two", "three", "huge")] == [None] * 4


@pytest.mark.parametrize(("kept", "made"), [(0, 4), (10, 2)])
def test_an_answer_given_twice_is_spoken_alike(kept: int, made: int) -> None:
    stages = replace(Talk().stages(), said=Said(kept))
    voice = stages.tts
    assert isinstance(voice, Voice)

    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(8)
        await it.write("Hello")
        await asyncio.sleep(8)

    it = talk(script, stages)
    sounds = [event.pcm for _, event in it.happened if isinstance(event, ev.ReplyAudio)]
    words = [event.words for _, event in it.happened if isinstance(event, ev.ReplyAudio)]
    assert len(voice.spoke) == made
    assert sounds[:2] == sounds[2:]
    assert words[:2] == words[2:]
