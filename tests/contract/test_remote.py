"""The remote agent against a simulated one, over real sockets."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.hearing import Heard, hearing, pieces
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from visavis import events as ev
from visavis.agents import remote_protocol as protocol
from visavis.agents.remote import RemoteEngine, load
from visavis.errors import ConfigurationError
from visavis.settings import RemoteSettings, Settings
from visavis.simulators.remote import Fault, RemoteBehaviour, RemoteSimulator
from visavis.simulators.voice import SimulatedVoice

RATE = protocol.RATE
FAST = 1e6
Script = Callable[[RemoteSimulator, Heard], Awaitable[None]]


@pytest.fixture(scope="module")
def voice() -> SimulatedVoice:
    return SimulatedVoice()


def engine(url: str, **remote: Any) -> RemoteEngine:
    given = {"reconnect_seconds": 0.02, **remote}
    return load(Settings(remote=RemoteSettings(url=url, **given)))


def talk(voice: SimulatedVoice, script: Script, **behaviour: Any) -> RemoteSimulator:
    """Run `script` in a conversation with a simulated agent."""

    async def run() -> RemoteSimulator:
        simulator = RemoteSimulator(voice, RemoteBehaviour(**{"speed": FAST, **behaviour}))
        async with simulator.listening() as url, hearing(engine(url)) as heard:
            await script(simulator, heard)
        return simulator

    return asyncio.run(run())


def samples(pcm: bytes) -> int:
    return len(pcm) // 2


# -- what is said ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("binary", [True, False])
def test_text_is_answered_with_sound_and_timed_words(voice: SimulatedVoice, binary: bool) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        reply = await heard.ask("good morning")
        pcm, words = voice.say("You said: good morning")
        assert heard.pcm(reply) == pcm
        assert [word.text for word in heard.words(reply)] == [word.text for word in words]
        assert heard.words(reply)[-1].end == pytest.approx(words[-1].end)
        assert not heard.of(ev.ReplyText)
        assert heard.events[0] == ev.ReplyStarted(reply)
        welcome = simulator.heard[0]
        assert (welcome["type"], welcome["instructions"], welcome["history"]) == ("hello", "Be kind.", [])

    talk(voice, script, binary=binary)


def test_an_older_agent_needs_no_hello(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn())
        reply = await heard.ask("good morning")
        assert heard.pcm(reply) == voice.say("You said: good morning")[0]
        assert heard.text(reply) == "You said: good morning"
        await heard.agent.send(ev.CancelReply(reply, 0.5, "You"))
        await heard.ask("again")
        assert [message["type"] for message in simulator.heard] == ["text", "text"]

    talk(voice, script, hello=False)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_other_rates_are_resampled_without_losing_time(voice: SimulatedVoice, rate: int) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        reply = await heard.ask("good morning")
        expected = np.frombuffer(voice.say("You said: good morning")[0], "<i2")
        got = np.frombuffer(heard.pcm(reply), "<i2")
        assert len(got) == pytest.approx(len(expected), abs=8)
        size = min(len(got), len(expected))
        # The same speech at the same time: what is below 4 kHz survives every rate.
        assert np.corrcoef(got[:size], expected[:size])[0, 1] > 0.9
        for event in pieces(bytes(RATE * 2), RATE):
            await heard.agent.send(event)
        await simulator.until(lambda: samples_heard(simulator) >= 0.9 * rate)

    def samples_heard(simulator: RemoteSimulator) -> int:
        return simulator.audio // 2

    talk(voice, script, input_rate=rate, output_rate=rate)


@pytest.mark.parametrize("binary", [True, False])
def test_speech_is_understood_at_its_end(voice: SimulatedVoice, binary: bool) -> None:
    speech, _ = voice.say("How are you today?")

    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn(RATE))
        for event in pieces(speech + bytes(RATE * 2), RATE):
            await heard.agent.send(event)
        await heard.first(ev.ReplyDone)
        kinds = [type(event) for event in heard.events if not isinstance(event, ev.Milestone)]
        assert kinds[:4] == [ev.BargeIn, ev.BargeIn, ev.UserSaid, ev.ReplyStarted]
        assert [mile.stage for mile in heard.of(ev.Milestone)] == ["speech_end", "end_of_turn", "first_audio"]
        assert heard.of(ev.BargeIn) == [ev.BargeIn("duck"), ev.BargeIn("resume")]
        assert heard.of(ev.UserSaid) == [ev.UserSaid("Hello there.")]
        assert heard.text("remote-1") == "You said: Hello there."

    talk(voice, script, binary=binary)


@pytest.mark.parametrize("hello", [True, False])
def test_switching_the_microphone_off_completes_the_utterance(voice: SimulatedVoice, hello: bool) -> None:
    speech, _ = voice.say("How are you today?")

    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn(RATE))
        for event in pieces(speech[: RATE * 2], RATE):
            await heard.agent.send(event)
        await heard.agent.send(ev.MicOff())
        await heard.first(ev.ReplyDone)
        assert heard.of(ev.UserSaid) == [ev.UserSaid("Hello there.")]

    talk(voice, script, hello=hello)


def test_silence_is_not_a_question(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn(RATE))
        await heard.agent.send(ev.MicOff())
        assert await heard.first(ev.UserSaid) == ev.UserSaid("")

    talk(voice, script)


# -- interruption ------------------------------------------------------------------------------------------
def test_the_agent_learns_what_was_heard(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        reply = await heard.ask("one two three")
        await heard.agent.send(ev.CancelReply(reply, 0.75, "You said:"))
        await simulator.until(lambda: simulator.heard[-1]["type"] == "interrupt")
        told = {"type": "interrupt", "heard_ms": 750, "text": "You said:", "response_id": "response-1"}
        assert simulator.heard[-1] == told
        assert simulator.context[-1] == {"role": "assistant", "text": "You said:"}

    talk(voice, script)


def test_nothing_of_a_cancelled_reply_comes_any_more(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("tell me something long, very long, as long as you can"))
        started = await heard.first(ev.ReplyStarted)
        await heard.first(ev.ReplyAudio)
        await heard.agent.send(ev.CancelReply(started.reply, 0.1, ""))
        reply = await heard.ask("and now")
        assert reply != started.reply
        begun = heard.events.index(ev.ReplyStarted(reply))
        assert not any(getattr(event, "reply", reply) != reply for event in heard.events[begun:])
        assert [done.reply for done in heard.of(ev.ReplyDone)] == [reply]

    talk(voice, script, speed=20.0, chunk_ms=20)


@pytest.mark.parametrize("known", ["", "You"])
def test_a_reply_that_is_still_being_sent_is_cut_too(voice: SimulatedVoice, known: str) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        reply = (await heard.first(ev.ReplyStarted)).reply
        await heard.first(ev.ReplyAudio, 2)
        await heard.agent.send(ev.CancelReply(reply, 0.1, known))
        await heard.ask("and now")
        said = [text for role, text in simulator.asked[-1] if role == "assistant"]
        assert said == ([known] if known else [])

    talk(voice, script, speed=10.0, chunk_ms=20)


def test_the_users_voice_takes_the_turn(voice: SimulatedVoice) -> None:
    speech, _ = voice.say("How are you today?")

    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        reply = await heard.ask("one two three")
        await heard.agent.send(ev.MicOn(RATE))
        for event in pieces(speech, RATE):
            await heard.agent.send(event)
        await heard.first(ev.UserInterrupts)
        await heard.agent.send(ev.CancelReply(reply, 0.4, "You said:"))
        await heard.agent.send(ev.MicOff())
        await heard.first(ev.ReplyDone, 2)
        said = [line["text"] for line in simulator.context]
        assert said == ["one two three", "You said:", "Hello there.", "You said: Hello there."]

    talk(voice, script)


# -- failure -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize("fault", ["close", "abort", "error", "oversized"])
def test_a_failure_at_any_point_is_one_error_and_the_next_turn_works(
    voice: SimulatedVoice, fault: Fault, at: int
) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        failed = await heard.first(ev.ReplyFailed)
        assert failed.code == ("OUT_OF_WORDS" if fault == "error" else "AGENT_LOST")
        assert (failed.reply is None) == (at == 0)
        reply = await heard.ask("and now")
        assert heard.text(reply) == "You said: and now"
        assert len(heard.of(ev.ReplyFailed)) == 1

    talk(voice, script, fault=fault, fault_at=at)


def test_an_agent_that_hangs_can_be_asked_again(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        hung = (await heard.first(ev.ReplyStarted)).reply
        await heard.agent.send(ev.CancelReply(hung, 0.0, ""))
        assert heard.text(await heard.ask("and now")) == "You said: and now"

    talk(voice, script, fault="hang")


def test_a_few_malformed_messages_are_passed_over(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        reply = await heard.ask("one two three")
        assert heard.pcm(reply) == voice.say("You said: one two three")[0]
        assert not heard.of(ev.ReplyFailed)

    talk(voice, script, fault="malformed")


def test_an_agent_that_talks_nonsense_is_left(voice: SimulatedVoice) -> None:
    async def nonsense(server: ServerConnection) -> None:
        await server.recv()
        for _ in range(10):
            await server.send("nonsense")
        await server.wait_closed()
        closed.set_result(server.close_code)

    closed: asyncio.Future[int | None]

    async def run() -> None:
        nonlocal closed
        closed = asyncio.get_running_loop().create_future()
        async with serve(nonsense, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with hearing(engine(url)) as heard:
                await heard.agent.send(ev.UserText("hello"))
                assert (await heard.first(ev.ReplyFailed)).code == "AGENT_LOST"
                assert await closed == 1008

    asyncio.run(run())


def test_a_new_connection_is_told_the_conversation_as_it_was_heard(voice: SimulatedVoice) -> None:
    async def script(simulator: RemoteSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn(RATE))
        reply = await heard.ask("one two three")
        await heard.agent.send(ev.CancelReply(reply, 0.75, "You said:"))
        await simulator.until(lambda: simulator.heard[-1]["type"] == "interrupt")
        before = len(simulator.heard)
        await simulator.talks[0].socket.close()
        await simulator.until(lambda: len(simulator.heard) >= before + 2)
        welcome, mic = simulator.heard[before:]
        said = [{"role": "user", "text": "one two three"}, {"role": "assistant", "text": "You said:"}]
        assert (welcome["type"], welcome["history"]) == ("hello", said)
        assert mic == {"type": "mic_on"}
        await heard.ask("and now")
        assert not heard.of(ev.ReplyFailed)

    talk(voice, script)


def test_nobody_there_is_one_error_and_later_somebody_is(voice: SimulatedVoice) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        remote = engine(f"ws://user:secret@127.0.0.1:{port}/agent?key=secret", timeout_seconds=0.3)
        async with hearing(remote) as heard:
            await heard.agent.send(ev.UserText("hello"))
            failed = await heard.first(ev.ReplyFailed)
            assert failed.code == "AGENT_UNREACHABLE"
            assert "AGENT_URL" in failed.message
            assert "secret" not in failed.message
            assert remote.status()["problems"] == [failed.message]
            simulator = RemoteSimulator(voice, RemoteBehaviour(speed=FAST))
            async with simulator.listening(port=port):
                assert heard.text(await heard.ask("good")) == "You said: good"
                assert remote.status()["problems"] == []
            assert len(heard.of(ev.ReplyFailed)) == 1

    asyncio.run(run())


def test_a_refusal_says_what_to_check_and_not_the_token() -> None:
    tried: list[str] = []

    def refuse(server: ServerConnection, request: Request) -> Response:
        tried.append(request.headers["Authorization"])
        return server.respond(401, "no")

    async def nobody(server: ServerConnection) -> None: ...

    async def run() -> None:
        async with serve(nobody, "127.0.0.1", 0, process_request=refuse) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with hearing(engine(url, token="hush")) as heard:
                failed = await heard.first(ev.ReplyFailed)
                assert failed.code == "AGENT_REFUSED"
                assert "AGENT_TOKEN" in failed.message
                assert "hush" not in failed.message
                assert tried == ["Bearer hush"]  # trying again by itself would be of no use
                await heard.agent.send(ev.UserText("please"))
                await heard.first(ev.ReplyFailed, 2)
                assert len(tried) == 2

    asyncio.run(run())


def test_without_an_address_it_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="AGENT_URL"):
        load(Settings())


# -- the protocol --------------------------------------------------------------------------------------------
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["type", "data", "words", "phonemes", "text", "symbol", "start_ms", "end_ms", "error", "input_rate"]
)
entries = st.dictionaries(fields, anything, max_size=6)
messages = st.dictionaries(fields, anything | entries | st.lists(entries, max_size=2), max_size=8)


@given(messages)
def test_whatever_an_agent_sends_is_understood_or_malformed(message: dict[str, Any]) -> None:
    for read in (
        protocol.read_hello,
        protocol.read_pcm,
        protocol.read_words,
        protocol.read_phonemes,
        protocol.read_action,
        protocol.read_call,
        protocol.read_emotion,
    ):
        try:
            read(message)
        except protocol.Malformed as flaw:
            assert str(flaw)
    code, sentence = protocol.read_error(message)
    assert code.isupper() or code.replace("_", "").isalnum()
    assert sentence


@given(st.text())
def test_text_that_is_no_message_is_malformed(text: str) -> None:
    try:
        assert isinstance(protocol.parse(text)["type"], str)
    except protocol.Malformed as flaw:
        assert str(flaw)


def test_phonemes_and_stress_are_read() -> None:
    message = {"phonemes": [{"symbol": "ə", "start_ms": 0, "end_ms": 62.5, "stress": 9}]}
    assert protocol.read_phonemes(message) == (ev.Phoneme("ə", 0.0, 0.0625, 2),)
    assert protocol.read_phonemes({}) is None


def test_emotions_are_for_the_sound_that_follows() -> None:
    async def moody(server: ServerConnection) -> None:
        async for message in server:
            if json.loads(message)["type"] == "text":
                sound = {"type": "audio_delta", "data": protocol.encoded(bytes(RATE))}
                for event in (
                    {"type": "response_start"},
                    {"type": "emotion", "name": "joy"},
                    sound,
                    {"type": "emotion", "name": "rage"},
                    {"type": "emotion", "name": "doubt"},
                    {"type": "emotion", "name": "neutral", "at_ms": 750},
                    sound,
                    {"type": "response_end"},
                ):
                    await server.send(json.dumps(event))

    async def run() -> None:
        async with serve(moody, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with hearing(engine(url)) as heard:
                reply = await heard.ask("hello")
                felt = [(emotion.name, emotion.at) for emotion in heard.of(ev.Emotion)]
                assert felt == [("joy", 0.0), ("doubt", 0.5), ("neutral", 0.75)]
                assert {emotion.reply for emotion in heard.of(ev.Emotion)} == {reply}

    asyncio.run(run())


@pytest.mark.parametrize("span", [(5, 4), (-1, 4), (0, 1e9), (True, 4), ("0", 1), (0, None)])
def test_impossible_times_are_malformed(span: tuple[Any, Any]) -> None:
    with pytest.raises(protocol.Malformed, match="_ms must"):
        protocol.read_words({"words": [{"text": "a", "start_ms": span[0], "end_ms": span[1]}]})


# -- the example ---------------------------------------------------------------------------------------------
def test_the_example_is_a_complete_agent_in_under_sixty_lines(voice: SimulatedVoice) -> None:
    file = Path(__file__).parents[2] / "examples" / "echo_agent.py"
    assert len(file.read_text(encoding="utf-8").splitlines()) < 60
    spec = importlib.util.spec_from_file_location("echo_agent", file)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    speech, _ = voice.say("How are you today?")

    async def run() -> None:
        async with serve(example.talk, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with hearing(engine(url)) as heard:
                reply = await heard.ask("hello")
                assert heard.text(reply) == "hello"
                assert samples(heard.pcm(reply)) == pytest.approx(0.35 * RATE, abs=8)
                await heard.agent.send(ev.MicOn(RATE))
                for event in pieces(speech, RATE):
                    await heard.agent.send(event)
                await heard.agent.send(ev.MicOff())
                echo = (await heard.first(ev.ReplyDone, 2)).reply
                assert samples(heard.pcm(echo)) == pytest.approx(samples(speech), abs=64)

    asyncio.run(run())


def test_messages_are_json_objects() -> None:
    assert json.loads(protocol.serialise(protocol.interrupt(None, 1.2345, "so"))) == {
        "type": "interrupt",
        "heard_ms": 1234,
        "text": "so",
    }
