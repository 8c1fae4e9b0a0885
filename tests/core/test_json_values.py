"""Halves of surrogate pairs and endless nesting, which providers can send and nobody can write."""

from __future__ import annotations

import json
from typing import Any

import anyio
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests import vtime
from tests.shell import Puppet, session

from visavis import events as ev
from visavis.json_values import LEVELS, too_deep, well_formed

ANY_TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)


@given(JSON)
def test_everything_can_be_written_afterwards(value: object) -> None:
    mended = well_formed(value)
    text = json.dumps(mended, ensure_ascii=False)
    text.encode()
    assert well_formed(mended) == mended


@given(st.text())
def test_good_text_stays_as_it_is(text: str) -> None:
    assert well_formed(text) == text
    assert well_formed((text, [text], {text: text})) == (text, [text], {text: text})


def test_two_halves_are_one_character() -> None:
    assert well_formed("\ud83d\ude00 \ud800!") == "😀 \ufffd!"


def nested(levels: int) -> Any:
    value: Any = "\ud800"
    for _ in range(levels):
        value = [value]
    return value


def test_what_goes_too_deep_is_left_for_others_to_refuse() -> None:
    assert not too_deep(nested(LEVELS))
    json.dumps(well_formed(nested(LEVELS)), ensure_ascii=False).encode()
    for levels in (LEVELS + 1, 50_000):
        assert too_deep(nested(levels))
        well_formed(ev.ToolCall("c", "nobody", {"deep": nested(levels)}))


def test_what_holds_sound_is_not_copied() -> None:
    audio = ev.ReplyAudio("a", b"12", (ev.Word("hé", 0, 1),))
    assert well_formed(audio) is audio
    array = np.zeros(3)
    assert well_formed(array) is array


def test_a_session_tells_a_providers_text_as_far_as_it_can_be_written() -> None:
    async def main() -> None:
        agent = Puppet()
        async with session(agent) as (_, ear):
            agent.say.send_nowait(ev.UserSaid("\ud800 hi"))
            agent.say.send_nowait(ev.ToolCall("c", "nobody", {"\udfff": ["\ud800"]}))
            agent.say.send_nowait(ev.ToolCall("d", "nobody", {"deep": nested(5000)}))
            await anyio.sleep(1)
        assert [said.text for said in ear.of(ev.UserTurn)] == ["\ufffd hi"]
        assert [heard.call for heard in agent.heard if isinstance(heard, ev.ToolResult)] == ["c", "d"]

    vtime.run(main())
