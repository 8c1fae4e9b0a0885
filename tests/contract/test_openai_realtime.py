"""The OpenAI Realtime agent against a simulated server, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from structlog.testing import capture_logs
from tests.contract.listener import Listener, listening
from tests.contract.word_errors import word_errors

from visavis import events as ev
from visavis.agents import Brief, Tool
from visavis.agents.openai_errors import Errors
from visavis.agents.openai_parts import Loudness, Response
from visavis.agents.openai_protocol import configure
from visavis.agents.openai_realtime import OpenAIEngine, load
from visavis.agents.upstream import Refused
from visavis.errors import ConfigurationError
from visavis.settings import OpenAISettings, Settings
from visavis.simulators.openai import Fault, OpenAIBehaviour, OpenAISimulator
from visavis.simulators.openai_session import SimulatedSession
from visavis.simulators.voice import RATE, SimulatedVoice

FAST = 1e6
KEY = "sk-secret-0123456789"
QUESTION = "Tell me about the weather, and then about the sea, please"
OURS = [tracemalloc.Filter(True, "*/visavis/agents/*"), tracemalloc.Filter(True, "*/visavis/conversation.py")]
Script = Callable[[OpenAISimulator, Listener], Awaitable[None]]
COLOUR = {"type": "object", "properties": {"colour": {"type": "string"}}}
CONFETTI = Tool("confetti", "Celebrate.", COLOUR)


@pytest.fixture(scope="module")
def voice() -> SimulatedVoice:
    return SimulatedVoice()


def settings(url: str, **openai: Any) -> Settings:
    return Settings(openai=OpenAISettings(base_url=url, **openai))


def talk(
    voice: SimulatedVoice, script: Script, openai: dict[str, Any] | None = None, **behaviour: Any
) -> OpenAISimulator:
    """Run `script` in a conversation with the simulated provider."""

    async def run() -> OpenAISimulator:
        simulator = OpenAISimulator(voice, OpenAIBehaviour(**{"speed": FAST, **behaviour}))
        async with simulator.listening() as url:
            engine = OpenAIEngine(settings(url, **(openai or {})))
            async with listening(engine, Brief("Be kind.", (CONFETTI,))) as user:
                await script(simulator, user)
        return simulator

    return asyncio.run(run())


def kinds(session: SimulatedSession) -> list[str]:
    """What the client has sent, but its sound, its settings and its questions."""
    own = ("session.update", "conversation.item.create", "response.create")
    return [message["type"] for message in session.received if message["type"] not in own]


def problems(user: Listener) -> list[str]:
    return [problem.code for problem in user.of(ev.Problem)]


# -- what is sent ------------------------------------------------------------------------------------------
SET = {
    "model": "gpt-realtime-2.1",
    "voice": "cedar",
    "voice_speed": 1.2,
    "vad_threshold": 0.7,
    "vad_prefix_padding_ms": 200,
    "vad_silence_duration_ms": 400,
    "vad_idle_timeout_ms": 6000,
    "transcription_model": "gpt-4o-transcribe",
    "transcription_language": "pl",
    "noise_reduction": "far_field",
}
DETECTION = {
    "type": "server_vad",
    "threshold": 0.7,
    "prefix_padding_ms": 200,
    "silence_duration_ms": 400,
    "idle_timeout_ms": 6000,
    "create_response": True,
    "interrupt_response": True,
}
TRANSCRIPTION = {"model": "gpt-4o-transcribe", "language": "pl"}


def test_every_setting_reaches_the_session() -> None:
    session = configure(OpenAISettings(**SET), Brief("Be kind.", (CONFETTI,)))["session"]
    assert session == {
        "type": "realtime",
        "instructions": "Be kind.",
        "output_modalities": ["audio"],
        "tools": [
            {"type": "function", "name": "confetti", "description": "Celebrate.", "parameters": COLOUR}
        ],
        "tool_choice": "auto",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "noise_reduction": {"type": "far_field"},
                "transcription": TRANSCRIPTION,
                "turn_detection": DETECTION,
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "cedar", "speed": 1.2},
        },
    }


def test_every_setting_reaches_a_session_of_the_beta_shape() -> None:
    session = configure(OpenAISettings(**SET, protocol="beta"), Brief("Be kind."))["session"]
    assert session == {
        "instructions": "Be kind.",
        "modalities": ["audio", "text"],
        "voice": "cedar",
        "speed": 1.2,
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_noise_reduction": {"type": "far_field"},
        "input_audio_transcription": TRANSCRIPTION,
        "turn_detection": DETECTION,
        "tools": [],
        "tool_choice": "auto",
    }


def test_what_is_off_is_null_and_meaning_can_end_a_turn() -> None:
    off = OpenAISettings(vad_type="none", transcription_model="none")
    listens = configure(off, Brief())["session"]["audio"]["input"]
    assert [listens[key] for key in ("noise_reduction", "transcription", "turn_detection")] == [None] * 3
    semantic = OpenAISettings(vad_type="semantic_vad", vad_eagerness="high", vad_interrupt_response=False)
    assert configure(semantic, Brief())["session"]["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": False,
    }


def test_openai_itself_needs_a_key_other_servers_do_not() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        load(Settings())
    assert load(settings("http://localhost:1/v1")).status()["name"] == "openai"


# -- speech --------------------------------------------------------------------------------------------------
def test_the_sound_arrives_unchanged_in_pieces_however_large_the_deltas(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.ask(QUESTION)
        pieces = [event.pcm for event in user.of(ev.ReplyAudio)]
        assert b"".join(pieces) == voice.say(f"You said: {QUESTION}")[0]
        assert max(map(len, pieces)) <= RATE // 4 * 2

    talk(voice, script, chunk_ms=0)


def test_without_detection_the_switch_of_the_microphone_ends_the_turn(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.speak(voice.say("How are you today?")[0] + bytes(RATE * 3))
        assert not user.of(ev.UserSaid)
        user.feed(ev.MicOff())
        await user.came(ev.ReplyDone)
        assert user.of(ev.UserSaid) == [ev.UserSaid("Hello there.")]
        assert kinds(simulator.session) == ["input_audio_buffer.commit"]

    talk(voice, script, {"vad_type": "none"})


def test_while_a_button_is_held_the_provider_waits_and_afterwards_listens_again(
    voice: SimulatedVoice,
) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("Good morning to you")
        await user.came(ev.ReplyDone)
        user.feed(ev.MicOn(user.rate, hands_free=False))
        await user.speak(voice.say("How are you today?")[0] + bytes(RATE * 3))
        assert not user.of(ev.UserSaid)
        user.feed(ev.MicOff())
        await user.came(ev.ReplyDone, 2)
        assert len(user.of(ev.UserSaid)) == 1
        user.play(30)
        user.feed(ev.MicOn(user.rate))
        await user.speak(voice.say("How are you today?")[0] + bytes(RATE * 3))
        await user.came(ev.ReplyDone, 3)
        assert len(user.of(ev.UserSaid)) == 2
        assert not problems(user)

    talk(voice, script)


def test_a_voice_interrupts_and_the_provider_is_told_what_was_heard(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.write(QUESTION)
        await user.came(ev.ReplyDone)
        user.play(1.5)
        speech = voice.say("How are you today?")[0]
        await user.speak(speech[:RATE])
        ended = await user.came(ev.TurnEnded)
        await user.speak(speech[RATE:] + bytes(RATE * 2))
        await user.came(ev.ReplyDone, 2)
        assert ended.interrupted
        context = simulator.session.asked[-1]
        assert [role for role, _ in context] == ["user", "assistant", "user"]
        assert word_errors(ended.text, context[1][1]) <= 1
        assert simulator.session.errors == []
        assert not problems(user)

    talk(voice, script)


def test_a_voice_that_may_not_interrupt_is_answered_afterwards(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.write("Good morning to you")
        await user.came(ev.ReplyAudio)
        await user.speak(voice.say("How are you today?")[0] + bytes(RATE * 2))
        await user.came(ev.ReplyDone, 2)
        assert not user.of(ev.UserInterrupts)
        assert [text for role, text in simulator.session.asked[-1] if role == "assistant"] == [
            "You said: Good morning to you"
        ]
        assert not problems(user)

    talk(voice, script, {"vad_interrupt_response": False}, speed=8.0)


@pytest.mark.parametrize("protocol", ["ga", "beta"])
def test_a_reply_cut_off_while_it_is_made_is_cancelled_and_cut(voice: SimulatedVoice, protocol: str) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write(QUESTION)
        await user.came(ev.ReplyAudio, 3)
        user.play(0.25)
        ended = await user.interrupt()
        assert ended is not None
        await simulator.until(lambda: len(kinds(simulator.session)) == 2)
        cancel, cut = [
            message for message in simulator.session.received if message.get("event_id") == "quiet"
        ]
        assert cancel["type"] == "response.cancel"
        assert cut["type"] == "conversation.item.truncate"
        received = sum(len(event.pcm) for event in user.of(ev.ReplyAudio)) // 2 * 1000 // RATE
        assert cut["audio_end_ms"] == pytest.approx(ended.heard * 1000, abs=1)
        assert 0 < cut["audio_end_ms"] <= received
        await user.write("And now?")
        await simulator.until(lambda: len(simulator.session.asked) == 2)
        known = [text for role, text in simulator.session.asked[-1] if role == "assistant"]
        assert word_errors(ended.text, " ".join(known)) <= 1
        assert simulator.session.errors == []

    talk(voice, script, {"protocol": protocol}, protocol=protocol, speed=4.0)


def test_what_the_user_said_may_be_known_after_the_answer(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.speak(voice.say("How are you today?")[0] + bytes(RATE * 2))
        await user.came(ev.ReplyDone)
        user.play(60)
        said = await user.came(ev.UserSaid)
        assert said == ev.UserSaid("Hello there.", answered=True)
        assert user.of(ev.StateChanged)[-1].state == "listening"
        await simulator.session._socket.close()  # the next session is told in the right order
        await user.ask("And now?")
        assert [role for role, _ in simulator.session.asked[-1]] == ["user", "assistant", "user"]

    talk(voice, script, late_transcript=True)


def test_a_result_that_comes_after_an_interruption_is_told_but_not_answered(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("confetti please")
        call = await user.came(ev.ToolCall)
        await user.interrupt()
        user.feed(ev.ToolResult(call.call, "done"))
        assert await user.ask("And now?") == "You said: And now?"
        assert ("tool", "done") in simulator.session.asked[-1]
        assert len(simulator.session.asked) == 2
        assert not problems(user)

    talk(voice, script)


def test_a_connection_lost_while_a_tool_runs_is_told(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("confetti please")
        call = await user.came(ev.ToolCall)
        await user.came(ev.Problem)
        user.feed(ev.ToolResult(call.call, "done"))
        assert await user.ask("And now?") == "You said: And now?"
        assert problems(user) == ["UPSTREAM_LOST"]

    talk(voice, script, fault="abort", fault_at="response.done")


# -- failures ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", [fault for fault in get_args(Fault) if fault != "hang"])
@pytest.mark.parametrize(
    "event",
    [
        "response.created",
        "response.output_item.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
    ],
)
def test_whatever_dies_is_told_once_and_the_next_turn_works(
    voice: SimulatedVoice, fault: str, event: str
) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("Good morning to you")
        await user.came(ev.Problem)
        user.play(60)
        assert user.of(ev.StateChanged)[-1].state == "listening"
        assert await user.ask("And now?") == "You said: And now?"
        assert len(problems(user)) == 1
        users = [text for role, text in simulator.session.asked[-1] if role == "user"]
        assert users == ["Good morning to you", "And now?"]
        codes = {"quota": "QUOTA", "rate_limit": "RATE_LIMITED", "error": "UPSTREAM_ERROR"}
        assert problems(user) == [codes.get(fault, "UPSTREAM_LOST")]

    talk(voice, script, fault=fault, fault_at=event)


def test_a_provider_that_hangs_is_given_up_in_time(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("Good morning to you")
        await user.came(ev.Problem)
        assert await user.ask("And now?") == "You said: And now?"
        assert problems(user) == ["UPSTREAM_LOST"]
        assert len(simulator.sessions) == 2

    talk(voice, script, {"timeout_seconds": 0.3}, fault="hang", fault_at="response.created")


@pytest.mark.parametrize("fault", ["close", "abort", "expire"])
def test_a_connection_lost_between_turns_is_made_again_unnoticed(voice: SimulatedVoice, fault: str) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        heard = await user.ask("Good morning to you")
        await simulator.until(lambda: len(simulator.sessions) == 2)
        await user.ask("And now?")
        expected = [("user", "Good morning to you"), ("assistant", heard), ("user", "And now?")]
        assert simulator.session.asked == [expected]
        assert not problems(user)

    talk(voice, script, fault=fault, fault_at="rate_limits.updated")


def test_a_new_session_is_told_what_was_heard_not_what_was_said(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write(QUESTION)
        await user.came(ev.ReplyDone)
        user.play(1.0)
        ended = await user.interrupt()
        assert ended is not None
        await simulator.session._socket.close()
        await user.ask("And now?")
        assert simulator.session.asked[-1][1] == ("assistant", ended.text)

    talk(voice, script)


def test_a_reply_of_a_lost_session_can_still_be_cut(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write(QUESTION)
        await user.came(ev.ReplyDone)
        user.play(0.5)
        await simulator.session._socket.close()
        await simulator.until(lambda: len(simulator.sessions) == 2 and len(simulator.session.received) == 3)
        user.play(0.5)
        ended = await user.interrupt()
        assert ended is not None
        await user.ask("And now?")
        assert simulator.session.asked[-1][1] == ("assistant", ended.text)
        assert not problems(user)

    talk(voice, script)


@pytest.mark.parametrize("refuse", ["event", "status"])
def test_a_wrong_key_is_one_sentence_without_the_key(voice: SimulatedVoice, refuse: str) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        problem = await user.came(ev.Problem)
        assert problem.code == "KEY_REFUSED"
        assert "OPENAI_API_KEY" in problem.message
        tried = simulator.handshakes
        await user.write("Good morning to you")
        await user.came(ev.Problem, 2)
        assert simulator.handshakes == tried + 1
        assert user.of(ev.StateChanged)[-1].state == "listening"

    with capture_logs() as logs:
        talk(voice, script, {"key": KEY}, key="another", refuse=refuse)
    assert KEY not in str(logs)


def test_an_unknown_model_is_named(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        problem = await user.came(ev.Problem)
        assert problem.code == "MODEL_UNKNOWN"
        assert "'gpt-imagined'" in problem.message

    talk(voice, script, {"model": "gpt-imagined"}, model="gpt-realtime-1.5")


def test_the_wrong_shape_is_told(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        assert (await user.came(ev.Problem)).code == "UPSTREAM_ERROR"

    talk(voice, script, {"protocol": "beta"}, protocol="ga")


def test_no_network_is_one_sentence_for_each_question() -> None:
    async def run() -> None:
        async with listening(OpenAIEngine(settings("http://127.0.0.1:9/v1", timeout_seconds=0.3))) as user:
            await user.write("Good morning to you")
            problem = await user.came(ev.Problem)
            assert problem.code == "UPSTREAM_UNREACHABLE"
            assert "OPENAI_BASE_URL" in problem.message
            assert user.of(ev.StateChanged)[-1].state == "listening"
            assert len(problems(user)) == 1

    asyncio.run(run())


def test_sound_from_before_the_connection_is_not_lost(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        await user.speak(bytes(RATE * 2))
        await simulator.until(lambda: bool(simulator.sessions) and simulator.session.audio == RATE * 2)

    talk(voice, script)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "odd", "message": "Something is odd."}, "UPSTREAM_ERROR"),
        ({"code": "odd", "message": "No such voice.", "event_id": "settings"}, "BAD_CONFIGURATION"),
        ({"code": "odd", "message": "It is gone.", "event_id": "quiet"}, None),
        ({"code": "response_cancel_not_active", "message": "There is none."}, None),
    ],
)
def test_an_error_between_turns_is_told_when_it_matters(
    voice: SimulatedVoice, error: dict[str, Any], code: str | None
) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.ask("Good morning to you")
        await simulator.session.send("error", error={"type": "invalid_request_error", **error})
        assert await user.ask("And now?") == "You said: And now?"
        assert problems(user) == ([code] if code else [])
        assert len(simulator.sessions) == 1

    talk(voice, script)


def test_an_error_while_a_question_waits_is_told_and_the_next_one_works(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("Good morning to you")
        await simulator.until(lambda: bool(simulator.sessions and simulator.session.asked))
        await user.write("Good evening to you")
        await simulator.session.send("error", error={"code": "odd", "message": "Something is odd."})
        assert (await user.came(ev.Problem)).code == "UPSTREAM_ERROR"
        assert await user.ask("And now?") == "You said: And now?"

    talk(voice, script)


def test_a_model_without_an_answer_is_a_sentence(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("Good morning to you")
        assert (await user.came(ev.Problem)).code == "AGENT_SILENT"
        assert user.of(ev.StateChanged)[-1].state == "listening"

    talk(voice, script, answers="")


def test_words_that_could_not_be_written_down_do_not_matter(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.ask("Good morning to you")
        kind = "conversation.item.input_audio_transcription"
        await simulator.session.send(f"{kind}.failed", item_id="item", error={"code": "odd"})
        await simulator.session.send(f"{kind}.completed", item_id="item", transcript=" ")
        assert await user.ask("And now?") == "You said: And now?"
        assert not user.of(ev.UserSaid)
        assert not problems(user)

    talk(voice, script)


def test_a_response_that_has_said_nothing_yet_is_cancelled(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("Good morning to you")
        await simulator.until(lambda: bool(simulator.sessions and simulator.session.asked))
        assert await user.interrupt() is None
        await simulator.until(lambda: kinds(simulator.session) == ["response.cancel"])
        assert await user.ask("And now?") == "You said: And now?"
        assert len(user.of(ev.ReplyStarted)) == 1
        assert not problems(user)

    talk(voice, script, delay=0.2)


def test_arguments_that_are_no_json_object_reach_the_toolbox_as_text(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        await user.write("confetti please {oops}")
        call = await user.came(ev.ToolCall)
        assert (call.name, call.arguments) == ("confetti", "{oops}")  # which no schema allows

    talk(voice, script)


def test_a_long_talk_leaves_nothing_behind(voice: SimulatedVoice) -> None:
    """As many turns as half an hour holds, every other reply cut off."""

    async def script(simulator: OpenAISimulator, user: Listener) -> None:
        user.feed(ev.MicOn(user.rate))
        speech = voice.say("How are you today?")[0] + bytes(RATE * 2)

        async def turns(count: int) -> int:
            for number in range(count):
                done = len(user.of(ev.ReplyDone))
                await user.speak(speech)
                await user.came(ev.ReplyDone, done + 1)
                user.play(60 if number % 2 else 0.8)
                await user.interrupt()
                for kept in (user.shown, user.said, simulator.session.asked, simulator.session.received):
                    kept.clear()
            gc.collect()
            # Small tuples stay in Python's own store when they are free.
            traces = tracemalloc.take_snapshot().filter_traces(OURS).traces
            return sum(trace.size for trace in traces if trace.size > 128)

        tracemalloc.start()
        await turns(20)
        before = await turns(10)
        assert await turns(60) < before + 20_000
        tracemalloc.stop()
        assert simulator.session.audio > 90 * len(speech) * 0.9

    talk(voice, script)


# -- the pure parts ----------------------------------------------------------------------------------------
def test_messages_about_failures_never_hold_a_key() -> None:
    errors = Errors("https://example.test", "gpt", KEY)
    told = str(errors.of_event({"message": f"Bad key {KEY} or sk-proj-abc***xyz.", "code": "odd"}))
    assert told == "OpenAI reports a problem: Bad key (key) or (key)."
    assert isinstance(errors.of_event({"code": "insufficient_quota", "message": KEY}), Refused)


def test_only_what_was_not_heard_is_cut() -> None:
    response = Response("r", items={"a": 24_000, "b": 12_000, "c": 2_400}, heard=30_000, done=True)
    assert list(response.cuts()) == [("b", 250), ("c", 0)]
    complete = Response("r", items={"a": 24_000}, heard=24_000)
    assert list(complete.cuts()) == [("a", 1000)]  # more of it may exist than was received
    complete.done = True
    assert list(complete.cuts()) == []


def test_half_a_sample_waits_for_its_other_half() -> None:
    response = Response("r")
    assert response.take("a", b"\1\2\3") + response.take("a", b"\4") == b"\1\2\3\4"
    assert response.received == 2


def test_loudness_is_counted_in_whole_windows(voice: SimulatedVoice) -> None:
    loudness = Loudness()
    loudness.add(bytes(RATE))
    assert (loudness.voice, loudness.voice_now) == (False, False)
    for start in range(0, RATE * 2, 333):
        loudness.add(voice.say("How are you today?")[0][start : start + 333])
    assert (loudness.voice, loudness.voice_now) == (True, True)
    loudness.add(bytes(RATE * 2))
    assert (loudness.voice, loudness.voice_now) == (True, False)
    loudness.forget()
    assert not loudness.voice
