"""Recorded sessions of many kinds come out of their files byte by byte."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.recording.booth import SETTINGS, Booth, Guest, record, reply, speech

from visavis import events as ev
from visavis.agents import Tool
from visavis.audio import Media
from visavis.conversations.store import Store
from visavis.recording.replay import Outcome, replay
from visavis.server.hearing import hear
from visavis.server.waiting import taking_all
from visavis.settings import LimitSettings
from visavis.tools.toolbox import ClientTool, Toolbox


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def identical(file: Path) -> Outcome:
    outcome = replay(file, SETTINGS)
    assert [(found.at, found.recorded, found.replayed) for found in outcome.differences] == []
    assert outcome.different == 0
    assert not outcome.broken_off
    return outcome


async def typed(booth: Booth) -> None:
    guest = await booth.guest()
    guest.say(type="text", data="Good morning, how are you?", userId="u")
    await anyio.sleep(0.3)
    reply(booth.agent, 3.0, text="I am well, thank you. [smile] And you?")
    await anyio.sleep(5)
    assert len(guest.of("sync_frame")) == 90


def test_a_typed_talk_is_replayed(tmp_path: Path) -> None:
    file = record(tmp_path, typed)
    outcome = identical(file)
    assert outcome.faces
    assert outcome.outputs > 90
    frames = [line for line in lines(file) if line["kind"] == "out" and "sync_frame" in line["text"]]
    assert len(frames) == 90
    moved = {json.loads(line["text"])["weights"]["jawOpen"] for line in frames}
    assert len(moved) > 10


def test_every_message_of_the_client_is_in_the_file_and_no_token(tmp_path: Path) -> None:
    heard: list[str | bytes] = []
    tokens: list[str] = []

    async def talk(booth: Booth) -> None:
        await typed(booth)
        guest = booth.guests[0]
        heard.extend(guest.heard)
        tokens.extend(config["resume"] for config in guest.of("config"))

    file = record(tmp_path, talk)
    told = [line["text"] for line in lines(file) if line["kind"] == "out"]
    assert told[: len(heard) - 1] == heard[1:]  # all but the configuration, before the session began
    assert tokens[0] not in gzip.decompress(file.read_bytes()).decode()


def test_a_spoken_talk_with_barge_in_is_replayed(tmp_path: Path) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="hello", encoding="binary")
        guest.say(type="audio_stream_start", sampleRate=48_000, format="audio/pcm16")
        for _ in range(10):
            guest.say(speech(0.1, 48_000))
            await anyio.sleep(0.1)
        guest.say(type="audio", data=base64.b64encode(speech(0.1, 48_000)).decode())
        booth.agent.say.send_nowait(ev.UserPartial("What is"))
        booth.agent.say.send_nowait(ev.UserSaid("What is the time?"))
        await anyio.sleep(0.2)
        booth.agent.say.send_nowait(ev.Milestone("r", "transcript", 1.2))
        reply(booth.agent, 4.0, text="It is ten past nine in the evening.")
        await anyio.sleep(1)
        guest.say(type="playback", turnId="turn_1", frameIndex=10)
        for phase in ("duck", "hold", "resume"):
            booth.agent.say.send_nowait(ev.BargeIn(phase))
            await anyio.sleep(0.3)
        booth.agent.say.send_nowait(ev.UserInterrupts())
        await anyio.sleep(0.5)
        guest.say(type="audio_stream_end")
        await anyio.sleep(0.1)
        reply(booth.agent, 1.0, "second", text="Sorry.")
        await anyio.sleep(3)
        assert any(isinstance(message, bytes) for message in guest.heard)

    file = record(tmp_path, talk)
    identical(file)
    kinds = [line["kind"] for line in lines(file)]
    assert kinds.count("drop") == 1
    assert any(line["kind"] == "out" and "bytes" in line for line in lines(file))


def test_an_agent_at_another_rate_and_phonemes_are_replayed(tmp_path: Path) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="hello", weights="array")
        guest.say(type="text", data="Hi")
        say = booth.agent.say.send_nowait
        say(ev.ReplyStarted("a"))
        words = (ev.Word("Hi", 0.0, 0.4), ev.Word("there.", 0.45, 1.0))
        phonemes = (ev.Phoneme("h", 0.0, 0.1), ev.Phoneme("a", 0.1, 0.4, 2), ev.Phoneme("m", 0.45, 1.0))
        say(ev.Emotion("a", "joy", 0.2))
        say(ev.ReplyAudio("a", speech(1.0, 16_000), words, phonemes))
        say(ev.ReplyDone("a"))
        await anyio.sleep(3)

    identical(record(tmp_path, talk, output_rate=16_000))


def test_a_talk_that_drops_and_comes_back_is_replayed(tmp_path: Path) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="text", data="Tell me a story.")
        await anyio.sleep(0.1)
        reply(booth.agent, 6.0, text="Once upon a time there was a house by the sea.")
        await anyio.sleep(2)
        token = guest.of("config")[0]["resume"]
        await guest.leave()
        await anyio.sleep(3)
        booth.agent.say.send_nowait(ev.UserPartial("missed"))
        await anyio.sleep(0.1)
        back = await booth.guest()
        back.say(type="hello", encoding="binary", resume=token)
        await anyio.sleep(1)
        other = await booth.guest()  # takes the place of the second one
        other.say(type="hello", resume=token)
        await anyio.sleep(8)
        assert other.of("transcript_done")
        assert [config["recorded"] for config in other.of("config")] == [True, True]

    file = record(tmp_path, talk)
    identical(file)
    assert [line["line"] for line in lines(file) if line["kind"] == "join"] == [1, 2, 3]


def test_tools_errors_and_a_slow_client_are_replayed(tmp_path: Path) -> None:
    tools = Toolbox([ClientTool(Tool("wave")), ClientTool(Tool("ask"), returns=True, seconds=10)])

    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="text", data="Wave at me")
        say = booth.agent.say.send_nowait
        say(ev.ToolCall("1", "wave", {"to": "me"}))
        say(ev.ToolCall("2", "ask", {}))
        await anyio.sleep(0.5)
        (call,) = [action["callId"] for action in guest.of("trigger_action") if "callId" in action]
        guest.say(type="action_result", callId=call, result={"color": "blue"})
        guest.say("{nonsense")
        guest.say(b"odd")
        guest.say(type="dance")
        guest.say(type="ping")
        await anyio.sleep(0.5)
        reply(booth.agent, 2.0, text="Done.")
        await anyio.sleep(0.5)
        guest.reading.clear()
        await anyio.sleep(0.3)
        say(ev.ReplyFailed("LLM_UNREACHABLE", "The model is down.", "r"))
        guest.say(type="interrupt")
        await anyio.sleep(1)
        guest.reading.set()
        guest.say(type="text", data="x" * 5000)
        guest.say(type="text", data="Nobody answers")
        await anyio.sleep(40)  # longer than anybody waits
        assert [error["code"] for error in guest.of("error")][-2:] == ["TEXT_TOO_LONG", "AGENT_TIMEOUT"]
        await guest.leave()
        await anyio.sleep(31)

    file = record(tmp_path, talk, tools=tools)
    identical(file)
    assert len([line for line in lines(file) if line["kind"] == "told"]) == 2


def test_a_limit_on_sound_is_replayed(tmp_path: Path) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="audio_stream_start", sampleRate=16_000)
        for _ in range(40):
            guest.say(speech(0.1, 16_000))
            await anyio.sleep(0.05)
        await anyio.sleep(30)  # half a second is heard again
        for _ in range(10):
            guest.say(speech(0.1, 16_000))
        await anyio.sleep(0.1)
        assert [error["code"] for error in guest.of("error")] == ["RATE_LIMITED"] * 2

    identical(record(tmp_path, talk, limits=LimitSettings(audio_seconds_per_minute=1.0)))


def test_a_talk_that_is_written_down_is_replayed(tmp_path: Path) -> None:
    store = Store(tmp_path / "talks.db", 0, "puppet", "mia")

    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="text", data="Count to a hundred.")
        await anyio.sleep(0.1)
        reply(booth.agent, 5.0, text="One, two, three, four, five, six, seven, eight.")
        await anyio.sleep(2)
        await guest.leave(1000)  # in the middle of the reply, which is cut off there
        await anyio.sleep(0.1)

    with store.running():
        file = record(tmp_path, talk, store=store)
    identical(file)
    assert [line["event"] for line in lines(file) if line["kind"] == "feed"][-1] == "Interrupt"
    assert lines(file)[0]["stored"] is True


def test_a_core_that_fails_is_replayed(tmp_path: Path) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="text", data="Go on")
        await anyio.sleep(0.1)
        booth.agent.say.send_nowait(ev.ReplyStarted("r"))
        # No agent may send this; whatever it does to the session is in the file.
        booth.agent.say.send_nowait(ev.ReplyText("r", 5))  # type: ignore[arg-type]
        await anyio.sleep(1)
        assert guest.of("error")[0]["code"] == "INTERNAL"

    identical(record(tmp_path, talk))


async def followed(booth: Booth) -> None:
    """A session of the api dialect, in which somebody types, speaks, interrupts and wants a whole reply."""
    talk = booth.talks.create("mia", media=Media(fps=25), output="weights", record=True)
    session = talk.seat.session
    session.feed(ev.UserText("A porcupine, please.", echo=True))
    await anyio.sleep(0.1)
    reply(booth.agent, 2.0, text="One [smile] porcupine for you.")
    await anyio.sleep(1)
    session.feed(ev.Interrupt())
    await hear(talk, speech(0.5, 16_000), 16_000)
    booth.agent.say.send_nowait(ev.UserSaid("Another porcupine"))
    with taking_all(talk) as collector:
        reply(booth.agent, 1.0, "second", text="All porcupines are gone.")
        await collector.wait()
    session.tell(ev.Problem("SERVER_STOPPING", "No porcupine any more."))
    booth.talks.end(talk)


def test_a_session_of_another_dialect_is_replayed(tmp_path: Path) -> None:
    file = record(tmp_path, followed)
    identical(file)
    told = [line for line in lines(file) if line["kind"] == "sent"]
    assert sum(line["event"] == "TurnEnded" for line in told) == 2
    assert sum(len(base64.b64decode(line["pcm"])) for line in told if line["event"] == "Frames") > 96_000
    assert [line["live"] for line in lines(file) if line["kind"] == "live"] == [False, True]
    assert [line["kind"] for line in lines(file)].count("drop") == 1


def test_what_is_redacted_is_in_no_line_of_another_dialect(tmp_path: Path) -> None:
    file = record(tmp_path, followed, redact="both")
    identical(file)
    assert "porcupine" not in gzip.decompress(file.read_bytes()).decode()
    heard = [
        line["pcm"] for line in lines(file) if line.get("event") == "UserAudio" and line["kind"] == "feed"
    ]
    assert heard
    assert all(set(pcm) <= {"A", "="} for pcm in heard)


def test_a_session_of_another_dialect_is_recorded_only_when_it_is_asked_for(tmp_path: Path) -> None:
    async def talk(booth: Booth) -> None:
        booth.talks.create("mia", media=Media(), record=True)
        booth.talks.create("mia", media=Media())
        await anyio.sleep(0.1)

    assert [line["kind"] for line in lines(record(tmp_path, talk))][:2] == ["recording", "attach"]


# -- any talk ------------------------------------------------------------------------------------------------
SAID = st.sampled_from(
    [
        {"type": "text", "data": "one two three"},
        {"type": "audio_stream_start", "sampleRate": 44_100},
        {"type": "audio_stream_start", "handsFree": False},
        {"type": "audio_stream_end"},
        {"type": "interrupt"},
        {"type": "ping"},
        {"type": "hello", "encoding": "binary"},
        {"type": "hello", "weights": "array"},
        {"type": "playback", "turnId": "turn_1", "frameIndex": 5},
        {"type": "playback", "turnId": "turn_2", "frameIndex": 40},
        {"type": "nothing"},
    ]
)
TOLD = st.sampled_from(
    [
        ev.UserPartial("on"),
        ev.UserSaid("one"),
        ev.UserSaid(""),
        ev.BargeIn("duck"),
        ev.BargeIn("hold"),
        ev.BargeIn("resume"),
        ev.UserInterrupts(),
        ev.Action("wave", {"a": 1}),
        ev.Cited((ev.Source("A book", "", "a line"),)),
        ev.ReplyStarted("r"),
        ev.ReplyText("r", "[sad] well, "),
        ev.ReplyAudio("r", speech(0.7)),
        ev.ReplyDone("r"),
        ev.ReplyFailed("FAILED", "It failed.", "r"),
        ev.ReplyFailed("FAILED", "It failed."),
    ]
)
STEP = st.one_of(
    st.tuples(st.just("say"), SAID),
    st.tuples(st.just("agent"), TOLD),
    st.tuples(st.just("sound"), st.integers(1, 4000)),
    st.tuples(st.just("reply"), st.floats(0.01, 2.5)),
    st.tuples(st.just("wait"), st.floats(0.001, 2.0)),
    st.tuples(st.just("away"), st.floats(0.0, 3.0)),
    st.tuples(st.just("stall"), st.booleans()),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=3, max_size=25))
def test_any_talk_is_replayed(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]) -> None:
    async def talk(booth: Booth) -> None:
        guest = await booth.guest()
        guest.say(type="text", data="begin")
        await anyio.sleep(0.01)
        for number, (kind, what) in enumerate(steps):
            guest = await act(booth, guest, number, kind, what)
        await anyio.sleep(3)

    identical(record(tmp_path_factory.mktemp("talk"), talk))


async def act(booth: Booth, guest: Guest, number: int, kind: str, what: Any) -> Guest:
    match kind:
        case "say":
            guest.say(**what)
        case "agent":
            booth.agent.say.send_nowait(what)
        case "sound":
            guest.say(bytes(2 * what))
        case "reply":
            reply(booth.agent, what, f"reply {number}", text="It was [smile] good, was it not?")
        case "stall":
            guest.reading.clear() if what else guest.reading.set()
        case "away":
            token = guest.of("config")[0]["resume"]
            await guest.leave()
            await anyio.sleep(what)
            guest = await booth.guest()
            guest.say(type="hello", resume=token)
    await anyio.sleep(what if kind == "wait" else 0.01)
    return guest
