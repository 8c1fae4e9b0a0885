"""Gemini Live through Google's SDK against a simulated provider, over TLS on the loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.genai import errors
from tests.contract.hearing import BRIEF, Heard, hearing, pieces
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from visavis import events as ev
from visavis.agents import Brief, Tool
from visavis.agents.gemini_live import GeminiEngine, load
from visavis.agents.upstream import Refused
from visavis.audio import Resampler
from visavis.errors import ConfigurationError
from visavis.settings import AssistantSettings, GeminiSettings, Settings
from visavis.simulators.gemini import Fault, GeminiBehaviour, GeminiSimulator
from visavis.simulators.voice import RATE, SimulatedVoice

KEY = "hush-hush"
FAST = 1e6
Script = Callable[[GeminiSimulator, Heard], Awaitable[None]]
Talk = Callable[..., GeminiSimulator]


@pytest.fixture(scope="module")
def voice() -> SimulatedVoice:
    return SimulatedVoice()


def engine(url: str, **gemini: Any) -> GeminiEngine:
    given = {"key": KEY, "reconnect_seconds": 0.02, **gemini}
    return load(Settings(gemini=GeminiSettings(base_url=url, **given)))


@pytest.fixture
def talk(voice: SimulatedVoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Run a script in a conversation with a simulated provider."""

    def run(
        script: Script, settings: dict[str, Any] | None = None, brief: Brief = BRIEF, **behaviour: Any
    ) -> GeminiSimulator:
        async def main() -> GeminiSimulator:
            simulator = GeminiSimulator(voice, GeminiBehaviour(**{"speed": FAST, **behaviour}))
            simulator.trust(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            how = settings or {}
            async with simulator.listening() as url, hearing(engine(url, **how), brief) as heard:
                await script(simulator, heard)
            return simulator

        return asyncio.run(main())

    return run


async def speak(heard: Heard, pcm: bytes) -> None:
    for event in pieces(pcm, 16_000):
        await heard.agent.send(event)


@pytest.fixture(scope="module")
def speech(voice: SimulatedVoice) -> bytes:
    """A spoken question at 16 kHz, without a pause behind it."""
    return Resampler(RATE, 16_000)(voice.say("How are you today?")[0], last=True)


# -- setup ---------------------------------------------------------------------------------------------------
def test_the_settings_reach_the_provider(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.ask("hello")
        setup = simulator.session.setup
        assert setup["model"] == "models/gemini-3.1-flash-live-preview"
        assert setup["systemInstruction"]["parts"] == [{"text": "Be kind."}]
        generation = setup["generationConfig"]
        assert generation["responseModalities"] == ["AUDIO"]
        assert generation["thinkingConfig"] == {"thinkingBudget": 512}
        speech = generation["speechConfig"]
        assert speech["voiceConfig"]["prebuiltVoiceConfig"] == {"voiceName": "Kore"}
        assert speech["languageCode"] == "pl-PL"
        assert generation["enableAffectiveDialog"] is True
        assert setup["proactivity"] == {"proactiveAudio": True}
        assert setup["tools"] == [{"googleSearch": {}}]
        assert setup["contextWindowCompression"] == {"slidingWindow": {}}
        assert setup["inputAudioTranscription"] == setup["outputAudioTranscription"] == {}
        assert setup["sessionResumption"] == {}
        assert "historyConfig" not in setup
        assert setup["realtimeInputConfig"]["automaticActivityDetection"] == {
            "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
            "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
            "prefixPaddingMs": 20,
            "silenceDurationMs": 300,
        }
        assert simulator.session.socket.request is not None
        assert ".v1alpha." in simulator.session.socket.request.path
        assert KEY not in simulator.session.socket.request.path

    chosen = {
        "voice": "Kore",
        "language": "pl-PL",
        "thinking_budget": 512,
        "google_search_grounding": True,
        "proactive_audio": True,
        "affective_dialog": True,
        "vad_start_sensitivity": "low",
        "vad_end_sensitivity": "high",
        "vad_prefix_padding_ms": 20,
        "vad_silence_duration_ms": 300,
    }
    talk(script, chosen)


def test_what_is_not_set_is_left_to_the_model(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.ask("hello")
        setup = simulator.session.setup
        assert not {"tools", "proactivity", "realtimeInputConfig", "contextWindowCompression"} & set(setup)
        assert "thinkingConfig" not in setup["generationConfig"]
        assert simulator.session.socket.request is not None
        assert ".v1beta." in simulator.session.socket.request.path

    talk(script, {"context_window_compression": False})


def test_without_a_key_it_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="GEMINI_API_KEY"):
        load(Settings())


# -- what is said --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("chunk_ms", [20, 100, 0])
def test_text_is_answered_with_sound_and_words(talk: Talk, voice: SimulatedVoice, chunk_ms: int) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("good morning")
        assert heard.pcm(reply) == voice.say("You said: good morning")[0]
        assert heard.text(reply) == "You said: good morning"

    talk(script, chunk_ms=chunk_ms)


def test_words_that_come_after_the_sound_belong_to_it(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("good morning")
        await heard.first(ev.ReplyText)
        assert heard.text(reply) == "You said: good morning"
        assert len(heard.of(ev.ReplyStarted)) == 1

    talk(script, late_words=True)


def test_half_a_minute_in_one_message_is_taken(talk: Talk, voice: SimulatedVoice) -> None:
    long = "one two three four five six seven eight nine ten, " * 9

    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("go on")
        assert heard.pcm(reply) == voice.say(long)[0]
        assert len(heard.pcm(reply)) > 25 * RATE * 2
        assert len([event for event in heard.of(ev.ReplyAudio) if event.pcm]) == 1

    talk(script, chunk_ms=0, answers=long)


@pytest.mark.parametrize("late", [False, True])
def test_speech_is_transcribed_and_answered(talk: Talk, speech: bytes, late: bool) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn(16_000))
        await speak(heard, speech + bytes(32_000))
        await heard.first(ev.ReplyDone)
        assert heard.of(ev.UserSaid) == [ev.UserSaid("Hello there.", answered=late)]
        assert heard.text("gemini-1") == "You said: Hello there."
        assert bytes(simulator.session.audio) == speech + bytes(32_000)
        assert heard.of(ev.UserPartial)[-1] == ev.UserPartial("Hello there.")
        if not late:
            assert heard.events.index(ev.UserSaid("Hello there.")) < heard.events.index(
                ev.ReplyStarted("gemini-1")
            )

    talk(script, late_transcript=late)


def test_switching_the_microphone_off_completes_the_utterance(talk: Talk, speech: bytes) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.MicOn(16_000))
        await speak(heard, speech[:32_000])
        await heard.agent.send(ev.MicOff())
        await heard.first(ev.ReplyDone)
        assert heard.of(ev.UserSaid) == [ev.UserSaid("Hello there.")]

    talk(script)


def test_a_provider_that_chooses_not_to_answer_is_not_waited_for(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("not for you"))
        assert await heard.first(ev.UserSaid) == ev.UserSaid("")
        assert not heard.of(ev.ReplyStarted)

    talk(script, {"proactive_audio": True}, answers="")


# -- what was heard -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", "gemini-2.5-flash-native-audio"])
def test_after_an_interruption_the_provider_knows_what_was_heard(talk: Talk, model: str) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("one two three")
        await heard.agent.send(ev.CancelReply(reply, 0.5, "You said:"))
        await heard.ask("and now")
        assert simulator.asked[-1] == [
            ("user", "one two three"),
            ("assistant", "You said:"),
            ("user", "and now"),
        ]
        assert len(simulator.sessions) == 2
        assert not heard.of(ev.ReplyFailed)

    talk(script, {"model": model})


@pytest.mark.parametrize("known", ["", "You"])
def test_a_reply_that_is_still_being_sent_is_cut_too(talk: Talk, known: str) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        reply = (await heard.first(ev.ReplyStarted)).reply
        await heard.first(ev.ReplyAudio)
        await heard.agent.send(ev.CancelReply(reply, 0.1, known))
        second = await heard.ask("and now")
        begun = heard.events.index(ev.ReplyStarted(second))
        assert not any(getattr(event, "reply", second) != second for event in heard.events[begun:])
        said = [text for role, text in simulator.asked[-1] if role == "assistant"]
        assert said == ([known] if known else [])

    talk(script, speed=10.0, chunk_ms=20)


def test_an_answer_that_is_not_wanted_any_more_never_comes(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        await simulator.until(lambda: simulator.asked)
        await heard.agent.send(ev.CancelReply(None, 0.0, ""))
        reply = await heard.ask("and now")
        assert heard.text(reply) == "You said: and now"
        assert len(heard.of(ev.ReplyStarted)) == 1
        assert simulator.asked[-1] == [("user", "one two three"), ("user", "and now")]

    talk(script, delay=0.2)


def test_a_long_talk_does_not_grow(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        for number in range(30):
            reply = await heard.ask(f"question {number}")
            if number % 3 == 0:
                await heard.agent.send(ev.CancelReply(reply, 0.3, "You"))
        told = simulator.asked[-1]
        # Each fresh session is told the last turns only.
        assert len(told) <= AssistantSettings().memory_turns + 2 * 3
        assert not heard.of(ev.ReplyFailed)

    talk(script)


@pytest.mark.parametrize("tag", ["", "[smile] "])
def test_a_reply_that_was_heard_keeps_its_session(talk: Talk, tag: str) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("one two three")
        await heard.agent.send(ev.CancelReply(reply, 2.0, "You said: one two three"))
        await heard.ask("and now")
        assert len(simulator.sessions) == 1
        assert simulator.asked[-1][1] == ("assistant", f"{tag}You said: one two three")

    talk(script, answers=tag + "You said: {}")


def test_the_users_voice_takes_the_turn_and_is_heard_by_the_fresh_session(talk: Talk, speech: bytes) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("tell me something long, as long as you possibly can")
        await heard.agent.send(ev.MicOn(16_000))
        await speak(heard, speech[:16_000])
        await heard.first(ev.UserInterrupts)
        await heard.agent.send(ev.CancelReply(reply, 0.4, "You"))
        await speak(heard, speech[16_000:] + bytes(32_000))
        await heard.first(ev.ReplyDone, 2)
        assert simulator.asked[-1][1:] == [("assistant", "You"), ("user", "Hello there.")]
        assert heard.of(ev.UserSaid) == [ev.UserSaid("Hello there.")]
        # Nothing of the question is lost: the fresh session hears it from before the interruption.
        assert bytes(simulator.session.audio) == speech + bytes(32_000)

    talk(script)


# -- tools ---------------------------------------------------------------------------------------------------
TOOLED = Brief("Be kind.", (Tool("weather"),))


def test_a_voice_that_interrupts_a_tool_cancels_its_call(talk: Talk, speech: bytes) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("weather please"))
        call = await heard.first(ev.ToolCall)
        await heard.agent.send(ev.MicOn(16_000))
        await speak(heard, speech + bytes(32_000))
        done = await heard.first(ev.ReplyDone)
        await heard.agent.send(ev.ToolResult(call.call, "sunny"))  # late
        assert heard.text(done.reply) == "You said: Hello there."
        assert heard.text(await heard.ask("and now")) == "You said: and now"
        assert len(simulator.sessions) == 1  # which a result that nobody waits for would have ended
        assert not heard.of(ev.ReplyFailed)

    talk(script, brief=TOOLED)


def test_a_session_is_not_told_what_another_one_has_called(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("weather please"))
        call = await heard.first(ev.ToolCall)
        await heard.agent.send(ev.CancelReply(None, 0.0, ""))
        await simulator.until(lambda: len(simulator.sessions) == 2)
        await heard.agent.send(ev.ToolResult(call.call, "sunny"))  # late
        assert heard.text(await heard.ask("and now")) == "You said: and now"
        assert len(simulator.sessions) == 2
        assert not heard.of(ev.ReplyFailed)

    talk(script, brief=TOOLED)


def test_a_result_in_time_is_answered(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("weather please"))
        call = await heard.first(ev.ToolCall)
        await heard.agent.send(ev.ToolResult(call.call, "sunny"))
        assert heard.text((await heard.first(ev.ReplyDone)).reply) == "The answer is sunny"

    talk(script, brief=TOOLED)


# -- the life of a session -----------------------------------------------------------------------------------
def test_a_connection_that_ends_is_resumed_without_notice(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.ask("one")
        await simulator.until(lambda: simulator.handles)
        await simulator.session.go_away()
        await simulator.until(lambda: len(simulator.sessions) == 2)
        assert simulator.session.setup["sessionResumption"] == {"handle": "handle-1"}
        await heard.ask("two")
        assert [text for _, text in simulator.asked[-1]] == ["one", "You said: one", "two"]
        assert not heard.of(ev.ReplyFailed)

    talk(script, playback=False)


def test_a_reply_is_finished_before_the_connection_is_left(talk: Talk, voice: SimulatedVoice) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        reply = await heard.ask("one two three")
        assert heard.pcm(reply) == voice.say("You said: one two three")[0]
        await simulator.until(lambda: len(simulator.sessions) == 2)
        assert simulator.session.context == [
            ("user", "one two three"),
            ("assistant", "You said: one two three"),
        ]
        assert not heard.of(ev.ReplyFailed)

    talk(script, fault="go_away", fault_at=2, playback=False)


def test_a_handle_that_has_expired_does_not_matter(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.ask("one")
        await simulator.until(lambda: simulator.handles)
        await simulator.session.go_away()
        simulator.handles.clear()
        await simulator.until(lambda: len(simulator.sessions) == 2)
        await heard.ask("two")
        assert [text for _, text in simulator.asked[-1]] == ["one", "You said: one", "two"]
        assert not heard.of(ev.ReplyFailed)

    talk(script, playback=False)


@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize(
    ("fault", "code"), [("close", "LOST"), ("abort", "LOST"), ("malformed", "LOST"), ("quota", "QUOTA")]
)
def test_a_failure_at_any_point_is_one_error_and_the_next_turn_works(
    talk: Talk, fault: Fault, code: str, at: int
) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        failed = await heard.first(ev.ReplyFailed)
        assert failed.code == f"GEMINI_{code}"
        assert (failed.reply is None) == (at == 0)
        reply = await heard.ask("and now")
        assert heard.text(reply) == "You said: and now"
        assert len(heard.of(ev.ReplyFailed)) == 1

    talk(script, fault=fault, fault_at=at)


def test_a_provider_that_hangs_can_be_asked_again(talk: Talk) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        await heard.agent.send(ev.UserText("one two three"))
        hung = (await heard.first(ev.ReplyStarted)).reply
        await heard.agent.send(ev.CancelReply(hung, 0.0, ""))
        assert heard.text(await heard.ask("and now")) == "You said: and now"

    talk(script, fault="hang")


# -- refusals ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("behaviour", "code", "advice"),
    [({"key": "another"}, "GEMINI_KEY", "GEMINI_API_KEY"), ({"model": "x"}, "GEMINI_MODEL", "GEMINI_MODEL")],
)
def test_a_refusal_says_what_to_check_and_is_not_repeated(
    talk: Talk, behaviour: dict[str, str], code: str, advice: str
) -> None:
    async def script(simulator: GeminiSimulator, heard: Heard) -> None:
        failed = await heard.first(ev.ReplyFailed)
        assert failed.code == code
        assert advice in failed.message
        assert KEY not in json.dumps([failed.message, str(failed)])
        await heard.agent.send(ev.UserText("please"))
        assert (await heard.first(ev.ReplyFailed, 2)).code == code

    talk(script, **behaviour)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.APIError(1007, f"API key not valid: {KEY}."), "GEMINI_KEY"),
        (errors.APIError(1007, f"Thinking is not supported ({KEY})."), "GEMINI_REFUSED"),
        (errors.APIError(1008, "models/x is not found for API version v1beta"), "GEMINI_MODEL"),
        (errors.APIError(1008, "Requested entity was not found."), "GEMINI_LOST"),
        (errors.APIError(1011, "You exceeded your current quota"), "GEMINI_QUOTA"),
        (errors.APIError(1011, f"Internal error with {KEY}"), "GEMINI_LOST"),
        (errors.APIError(1006, "Abnormal closure"), "GEMINI_LOST"),
        (InvalidStatus(Response(403, "Forbidden", Headers())), "GEMINI_KEY"),
        (InvalidStatus(Response(404, "Not Found", Headers())), "GEMINI_REFUSED"),
        (InvalidStatus(Response(429, "Too Many Requests", Headers())), "GEMINI_QUOTA"),
        (InvalidStatus(Response(503, "Service Unavailable", Headers())), "GEMINI_UNREACHABLE"),
        (TimeoutError(), "GEMINI_UNREACHABLE"),
        (OSError(f"no route to {KEY}"), "GEMINI_UNREACHABLE"),
        (ValueError("no JSON"), "GEMINI_LOST"),
    ],
)
def test_every_failure_has_its_code_and_hides_the_key(failure: Exception, code: str) -> None:
    known = engine("https://127.0.0.1").dialler.failure(failure)
    assert known.code == code
    assert KEY not in str(known)
    passing = code in ("GEMINI_LOST", "GEMINI_UNREACHABLE")
    assert isinstance(known, Refused) is not passing


def test_no_network_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def main() -> None:
        gemini = engine(f"https://127.0.0.1:{port}", timeout_seconds=0.3)
        async with hearing(gemini) as heard:
            await heard.agent.send(ev.UserText("hello"))
            failed = await heard.first(ev.ReplyFailed)
            assert failed.code == "GEMINI_UNREACHABLE"
            assert gemini.status()["problems"] == [failed.message]

    asyncio.run(main())
