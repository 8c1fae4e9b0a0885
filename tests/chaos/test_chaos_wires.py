"""Every wire is told nonsense that looks like sense: nothing is unhandled, every error has a documented code.

`python -m bench.fuzz` does the same for as long as one likes, and learns from what it reaches.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import vtime
from tests.chaos.seeds import SEEDS, wav
from tests.chaos.targets import ACT, Teller, script, written
from tests.chaos.watch import alarms
from tests.chaos.wires import WIRES

from visavis.wires import Message

EXAMPLES = 60
LONGEST = 9
"""Messages of an example."""
DEEP = "[" * 300 + "]" * 300
FOUND: list[tuple[str, list[Message]]] = [
    ("widget", [f'{{"type":"action_result","callId":"c","result":{DEEP}}}']),
    ("api", [f'{{"type":"action_result","call_id":"c","result":{DEEP}}}']),
    (
        "remote",
        ['{"type":"hello"}', f'{{"type":"trigger_action","function_name":"f","arguments":{{"a":{DEEP}}}}}'],
    ),
    (
        "remote",
        ['{"type":"hello"}', f'{{"type":"tool_call","name":"f","call_id":"c","arguments":{{"a":{DEEP}}}}}'],
    ),
    ("remote", ['{"type":"hello"}', '{"type":"error","error":"no"}']),
    ("api", ['{"type":"ping","session_id":"another"}']),
    (
        "openai",
        [
            "!text",
            '{"type":"response.created","response":{"id":"r"}}',
            '{"type":"response.output_audio_transcript.delta","response_id":"r","item_id":"i","delta":5}',
        ],
    ),
    (
        "openai",
        [
            "!speech",
            '{"type":"conversation.item.input_audio_transcription.delta","item_id":"i","delta":[1]}',
        ],
    ),
    ("gemini", ["!speech", *SEEDS["gemini"][0], *SEEDS["gemini"][1]]),
    ("widget", ['{"type":"text","data":"x"}', "!leave", '{"type":"hello","resume":"$RESUME"}']),
    ("page", [b"6" + wav(320).replace(b"\x02\x00\x10\x00data", b"\x02\x00\xc5\x00data")]),
]
"""What a fuzzer has found, and was mended."""

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(params=list(WIRES))
def told(request: pytest.FixtureRequest) -> Iterator[tuple[Teller, list[list[Message]]]]:
    """A wire, and scripts that keep to it."""
    with closing(Teller(WIRES[request.param]())) as tell:
        yield tell, SEEDS[request.param]


@st.composite
def scripts(draw: st.DrawFn, seeds: list[list[Message]]) -> list[Message]:
    """Messages of the wire in any order, some with another value somewhere, some that are anything."""
    known = st.sampled_from([message for seed in seeds for message in seed])
    anything = st.text(max_size=60).filter(lambda text: "\n" not in text) | st.binary(max_size=60)
    messages = draw(st.lists(known | known | anything, min_size=1, max_size=LONGEST))
    return [draw(_changed(message)) for message in messages]


@st.composite
def _changed(draw: st.DrawFn, message: Message) -> Message:
    if not isinstance(message, str) or not message.startswith("{") or draw(st.booleans()):
        return message
    try:
        whole = json.loads(message)
    except ValueError:
        return message
    at: Any = whole
    while isinstance(at, dict) and at:
        key = draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or draw(st.booleans()):
            at[key] = draw(values)
            break
        at = at[key]
    return json.dumps(whole)


def test_what_keeps_to_the_wire_is_taken(told: tuple[Teller, list[list[Message]]]) -> None:
    tell, seeds = told
    for seed in seeds:
        said = [message for message in seed if not (isinstance(message, str) and message.startswith(ACT))]
        opens = len(seed) > len(said) and any(str(message).startswith("!open") for message in seed)
        assert tell(seed) == len(said) or opens  # who comes with a wrong token is not heard


def test_nonsense_is_answered(told: tuple[Teller, list[list[Message]]]) -> None:
    tell, seeds = told

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(scripts(seeds))
    def run(messages: list[Message]) -> None:
        tell(messages)

    run()


@pytest.mark.parametrize(("wire", "messages"), FOUND)
def test_what_was_found_stays_mended(wire: str, messages: list[Message]) -> None:
    with closing(Teller(WIRES[wire]())) as tell:
        assert tell(messages)


def test_a_microphone_that_is_switched_off_twice_leaves_no_timer() -> None:
    """Each waits 4 s for Gemini to understand something; the conversation ends before."""

    async def main() -> None:
        async with WIRES["gemini"]() as feed:
            await feed(["!speech", "!speech"])
        with alarms() as heard:
            await asyncio.sleep(10)
        assert not heard.raised

    vtime.run(main())


@given(st.lists(st.text(max_size=30) | st.binary(max_size=30), min_size=1, max_size=LONGEST))
def test_scripts_are_bytes_and_back(messages: list[Message]) -> None:
    clean: list[Message] = []
    for message in messages:
        if isinstance(message, str):
            clean.append(message.replace("\n", "").replace("\x01", "") or "x")
        else:
            clean.append(message)
    assert script(written(clean)) == clean
