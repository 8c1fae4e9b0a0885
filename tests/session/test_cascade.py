"""Conversations with the embedded agent on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import groupby
from typing import cast

import numpy as np
import pytest
from tests import vtime
from tests.cascade_fakes import (
    BRIEF,
    COUGH,
    DANGLING,
    FRAME,
    HUM,
    MORE,
    NO,
    QUESTION,
    STOP,
    Brain,
    Ear,
    Talk,
    Voice,
    talk,
)

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.cascade import Cascade, load
from visavis.audio import to_pcm
from visavis.echo import EchoGate
from visavis.errors import VisavisError
from visavis.settings import AssistantSettings, Settings, StageSettings
from visavis.stages import Speech

ANSWER = ["ReplyStarted", "says: It is noon.", "says: Have a nice day!", "ReplyDone"]
ASR = TURN_MODEL = VOICE = 0.1
"""Seconds that the scripted stages take."""
FIRST_PIECE = 0.05


async def question(it: Talk) -> None:
    await it.mic_on()
    await it.silence(0.64)
    await it.say(QUESTION)


# -- with a button that is held ------------------------------------------------------------------------------
def test_while_a_button_is_held_no_pause_ends_the_turn() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on(hands_free=False)
        await it.silence(0.64)
        await it.say(QUESTION)
        await it.silence(4.0)
        assert it.story() == []
        await it.say(QUESTION)
        await it.silence(3.0)
        assert it.story() == []
        await it.mic_off()
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == ["user: What time is it?", *ANSWER]


def test_after_a_button_was_held_the_next_turn_may_be_hands_free() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on(hands_free=False)
        await it.say(QUESTION)
        await it.mic_off()
        await asyncio.sleep(5)
        await question(it)
        await it.silence(3.0)

    assert talk(script).story().count("ReplyStarted") == 2


# -- typed -------------------------------------------------------------------------------------------------
def test_a_typed_message_is_answered_clause_by_clause() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == ANSWER
    assert it.milestones() == pytest.approx({"first_token": 0.05, "first_audio": 0.15})
    assert it.when(ev.ReplyStarted) == pytest.approx(FIRST_PIECE + VOICE)
    assert it.brain.asked == [[("user", "Hello")]]
    audio = [event for _, event in it.happened if isinstance(event, ev.ReplyAudio)]
    assert audio[1].words[0] == ev.Word("Have", 1.5, 2.0)
    assert audio[1].phonemes and audio[1].phonemes[0].start == 1.5
    assert [len(event.pcm) for event in audio] == [72_000, 96_000]


def test_emotion_tags_are_shown_on_the_face_and_neither_spoken_nor_remembered() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = ["It is [sm", "ile] noon. [sad]", " It [1] rains. ", "[wow]"]
        await it.write("Hello")
        await asyncio.sleep(8)
        await it.agent.send(ev.UserText("And now?"))
        await asyncio.sleep(1)

    it = talk(script)
    assert it.story()[:6] == [
        "ReplyStarted",
        "Emotion",
        "says: It is noon.",
        "Emotion",
        "says: It [1] rains.",
        "ReplyDone",
    ]
    emotions = [event for _, event in it.happened if isinstance(event, ev.Emotion)]
    assert [(e.name, e.at) for e in emotions[:2]] == [("joy", 1.0), ("sadness", 1.5)]
    assert ("assistant", "It is noon. It [1] rains.") in it.brain.asked[1]


def test_the_conversation_is_remembered() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(5)
        await it.agent.send(ev.UserText("And now?"))
        await asyncio.sleep(5)

    asked = talk(script).brain.asked
    assert asked[1] == [
        ("user", "Hello"),
        ("assistant", "It is noon. Have a nice day!"),
        ("user", "And now?"),
    ]


def test_a_new_text_replaces_an_answer_that_is_being_prepared() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(0.04)
        await it.write("Goodbye")
        await asyncio.sleep(5)

    it = talk(script)
    assert it.story() == ANSWER
    assert it.brain.closed == 2


def test_the_stop_button_ends_what_is_being_prepared() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(0.04)
        await it.interrupt()
        await asyncio.sleep(5)

    it = talk(script)
    assert it.story() == [] and it.brain.closed == 1


def test_a_cancelled_reply_is_remembered_as_far_as_it_was_heard() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = ["One two three four. ", "Five six seven eight. ", "Nine ten."]
        it.brain.delay = 0.5
        await it.write("Count")
        await asyncio.sleep(0.6 + 1.2)
        await it.interrupt()
        closed = it.brain.closed
        await asyncio.sleep(0)
        said = len(it.happened)
        await asyncio.sleep(5)
        assert len(it.happened) == said and closed <= 1
        await it.write("Go on")
        await asyncio.sleep(5)

    assert talk(script).brain.asked[1] == [("user", "Count"), ("assistant", "One two"), ("user", "Go on")]


def test_a_reply_of_which_nothing_was_heard_is_forgotten() -> None:
    async def script(it: Talk) -> None:
        await it.write("Count")
        await asyncio.sleep(0.2)
        await it.interrupt()
        await it.agent.send(ev.UserText("Go on"))
        await asyncio.sleep(5)

    assert talk(script).brain.asked[1] == [("user", "Count"), ("user", "Go on")]


def test_an_empty_answer_says_so() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = []
        await it.write("Hello")
        await asyncio.sleep(3)

    assert talk(script).story() == ["ReplyStarted", "says: Sorry, I have no answer to that.", "ReplyDone"]


def test_an_endless_answer_is_cut_and_made_little_ahead_of_its_sound() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = [
            "Antidisestablishmentarianism floccinaucinihilipilification notwithstanding. "
        ] * 90
        it.brain.delay = 0.001
        await it.write("Talk")
        await asyncio.sleep(30)
        seconds = sum(len(event.pcm) for _, event in it.happened if isinstance(event, ev.ReplyAudio)) / 48_000
        assert 30 < seconds < 30 + 10 + 1.5
        await asyncio.sleep(600)

    it = talk(script)
    assert it.story()[-1] == "ReplyDone"
    said = " ".join(told.removeprefix("says: ") for told in it.story() if told.startswith("says"))
    assert 3900 < len(said) <= 4000


# -- spoken ------------------------------------------------------------------------------------------------
def test_a_spoken_question_is_answered_by_the_table() -> None:
    """Asked at 0.192 s, transcribed by 0.3 s, begun in silence, said aloud after 0.6 s (19 frames)."""

    async def script(it: Talk) -> None:
        await question(it)
        await it.silence(6.4)

    it = talk(script)
    assert it.story() == ["user: What time is it?", *ANSWER]
    end = 0.64 + 1.28
    assert it.when(ev.UserSaid) == pytest.approx(end + 19 * FRAME)
    assert it.when(ev.ReplyStarted) == it.when(ev.UserSaid)
    assert it.milestones() == pytest.approx(
        {
            "speech_end": end,
            "end_of_turn": end + 19 * FRAME,
            "transcript": end + 6 * FRAME + ASR,
            "first_token": end + 6 * FRAME + ASR + FIRST_PIECE,
            "first_audio": end + 6 * FRAME + ASR + FIRST_PIECE + VOICE,
        }
    )
    kinds = [event.stage if isinstance(event, ev.Milestone) else type(event) for _, event in it.happened]
    first = kinds.index(ev.UserSaid)
    order = ["speech_end", "end_of_turn", "transcript", "first_token", "first_audio", ev.ReplyStarted]
    assert kinds[first + 1 : first + 7] == order
    assert it.brain.asked == [[("user", "What time is it?")]]


def test_captions_follow_the_user_and_are_not_repeated() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.silence(0.32)
        await it.say(MORE)
        await it.silence(0.32)

    partials = [(at, event.text) for at, event in talk(script).happened if isinstance(event, ev.UserPartial)]
    assert [text for _, text in partials] == ["What time is it?", "What time is it? In Tokyo please."]
    assert partials[0][0] < 0.64 + 0.6 + ASR


@pytest.mark.parametrize(("probability", "frames"), [(0.97, 19), (0.8, 25), (0.4, 35), (0.1, 50)])
def test_an_unsure_end_waits_longer(probability: float, frames: int) -> None:
    async def script(it: Talk) -> None:
        it.turn.probability = probability
        await question(it)
        await it.silence(3.2)

    it = talk(script)
    assert it.when(ev.UserSaid) == pytest.approx(1.92 + frames * FRAME)
    if probability < 0.5:
        assert it.milestones()["first_token"] == pytest.approx(1.92 + frames * FRAME + FIRST_PIECE)


def test_an_open_sentence_waits_longer() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.say(DANGLING)
        await it.silence(3.2)

    assert talk(script).when(ev.UserSaid) == pytest.approx(1.28 + 47 * FRAME)


def test_a_user_who_goes_on_takes_the_draft_back_without_a_trace() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.silence(0.48)
        assert it.brain.asked
        await it.say(MORE)
        await it.silence(6.4)

    it = talk(script)
    assert it.story() == ["user: What time is it? In Tokyo please.", *ANSWER]
    both = [("user", "What time is it? In Tokyo please.")]
    assert it.brain.asked == [[("user", "What time is it?")], both]


def test_switching_the_microphone_off_answers_at_once() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.mic_off()
        await asyncio.sleep(5)

    it = talk(script)
    assert it.story() == ["user: What time is it?", *ANSWER]
    assert it.when(ev.UserSaid) == pytest.approx(1.92 + ASR)
    assert it.when(ev.ReplyStarted) == pytest.approx(1.92 + ASR + FIRST_PIECE + VOICE)
    assert it.milestones()["speech_end"] == pytest.approx(1.92)


def test_switching_it_off_after_a_pause_uses_the_words_that_are_known() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.silence(0.48)
        await it.mic_off()
        await asyncio.sleep(5)

    it = talk(script)
    assert it.when(ev.UserSaid) == pytest.approx(1.92 + 0.48)
    assert it.story() == ["user: What time is it?", *ANSWER]
    assert len(it.brain.asked) == 1


def test_switching_it_off_in_mid_transcription_waits_for_that_one() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.silence(6 * FRAME)
        asked = len(it.ear.asked)
        await it.mic_off()
        await asyncio.sleep(5)
        assert len(it.ear.asked) <= asked + 1

    it = talk(script)
    assert it.when(ev.UserSaid) == pytest.approx(1.92 + 6 * FRAME + ASR)
    assert it.story() == ["user: What time is it?", *ANSWER]


def test_the_stop_button_while_the_words_are_awaited() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.mic_off()
        await asyncio.sleep(ASR / 2)
        await it.interrupt()
        await asyncio.sleep(5)

    assert talk(script).story() == []


def test_the_last_part_of_a_frame_counts() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        for _ in range(5):
            await it.agent.send(ev.UserAudio(to_pcm(np.full(700, QUESTION))))
        await it.mic_off()
        await asyncio.sleep(5)

    it = talk(script)
    assert it.story() == ["user: What time is it?", *ANSWER]
    assert it.ear.asked == [pytest.approx(7 * FRAME + 0.3)]


def test_an_empty_message_gets_no_answer() -> None:
    async def script(it: Talk) -> None:
        await it.write("  ")
        await asyncio.sleep(5)

    assert talk(script).story() == ["user: "]


def test_an_empty_utterance_is_told() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.silence(1.28)
        await it.mic_off()
        await asyncio.sleep(5)

    assert talk(script).story() == ["user: "]


def test_a_cough_gets_no_answer() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.sound(COUGH, 0.32)
        await it.silence(3.2)

    it = talk(script)
    assert it.story() == ["user: "] and it.brain.asked == []


def test_typing_while_speaking_drops_what_was_said() -> None:
    async def script(it: Talk) -> None:
        await question(it)
        await it.silence(0.48)
        await it.write("Hello")
        await it.silence(6.4)

    it = talk(script)
    assert it.story() == ANSWER
    assert it.brain.asked[-1] == [("user", "Hello")]


def test_a_very_long_speech_is_transcribed_in_parts() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.say(QUESTION, 12.8)
        await it.silence(0.448)
        await it.say(MORE, 6.4)
        await it.silence(3.2)

    it = talk(script)
    assert it.story() == ["user: What time is it? In Tokyo please.", *ANSWER[:-1], "ReplyDone"]
    assert max(it.ear.asked) < 15.5


def test_an_hour_of_voice_ends_after_a_minute() -> None:
    async def script(it: Talk) -> None:
        await it.mic_on()
        await it.say(QUESTION, 64)

    it = talk(script)
    assert it.story()[0] == "user: What time is it?"
    assert it.when(ev.UserSaid) < 60 + ASR
    assert max(it.ear.asked) <= 60.3


# -- barge-in ------------------------------------------------------------------------------------------------
async def listen(it: Talk, seconds: float) -> None:
    """Ask, and listen to a long answer for so many seconds."""
    it.brain.pieces = ["One two three four five six. ", "Seven eight nine ten. ", "Eleven twelve thirteen. "]
    await question(it)
    await it.silence(19 * FRAME)
    await it.silence(seconds)


SPOKEN = ["user: What time is it?", "ReplyStarted", "says: One two three four five six."]


def interruption(it: Talk) -> list[str]:
    """The story after the question, without the clauses."""
    return [told for told in it.story()[2:] if not told.startswith("says") and told != "ReplyDone"]


def test_words_interrupt() -> None:
    start = 1.92 + 19 * FRAME + 1.92

    async def script(it: Talk) -> None:
        await listen(it, 1.92)
        await it.say(STOP)
        it.brain.pieces = ["Fine. "]
        await it.silence(3.2)

    it = talk(script)
    assert interruption(it) == [
        "duck",
        "deep",
        "hold",
        "UserInterrupts",
        "user: Stop it now.",
        "ReplyStarted",
    ]
    assert it.when("duck") == pytest.approx(start + 3 * FRAME)
    assert it.when("deep") == pytest.approx(start + 6 * FRAME)
    assert it.when("hold") == pytest.approx(start + 6 * FRAME + ASR)
    assert it.when(ev.UserInterrupts) == pytest.approx(start + 30 * FRAME)
    assert it.when(ev.UserSaid, 1) == pytest.approx(start + 1.28 + 19 * FRAME)
    heard = [("assistant", "One two three four five")]  # 1.92 s before the voice, 0.96 s until the commit
    assert it.brain.asked[-1] == [("user", "What time is it?"), *heard, ("user", "Stop it now.")]


def test_a_short_command_interrupts_when_the_voice_ends() -> None:
    async def script(it: Talk) -> None:
        await listen(it, 1.92)
        await it.say(STOP, 10 * FRAME)
        it.brain.pieces = ["Fine. "]
        await it.silence(3.2)

    it = talk(script)
    assert interruption(it) == [
        "duck",
        "deep",
        "hold",
        "UserInterrupts",
        "user: Stop it now.",
        "ReplyStarted",
    ]


@pytest.mark.parametrize("sound", [COUGH, HUM])
def test_coughs_and_signs_of_listening_do_not_interrupt(sound: float) -> None:
    async def script(it: Talk) -> None:
        await listen(it, 1.92)
        await it.sound(sound, 0.48)
        await it.silence(3.2)

    it = talk(script)
    assert interruption(it) == ["duck", "deep", "resume"]
    assert it.when("resume") == pytest.approx(1.92 + 19 * FRAME + 1.92 + 0.48 + 6 * FRAME + ASR)


def test_a_click_does_not_even_duck() -> None:
    async def script(it: Talk) -> None:
        await listen(it, 1.92)
        await it.sound(STOP, 2 * FRAME)
        await it.silence(3.2)

    assert interruption(talk(script)) == []


def test_the_echo_of_the_avatar_does_not_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(it: Talk) -> None:
        it.echo = 0.25
        await listen(it, 6.0)

    assert interruption(talk(script)) == []
    monkeypatch.setattr(EchoGate, "frame", lambda *_: True)
    assert "duck" in interruption(talk(script))


def test_the_avatars_own_words_do_not_interrupt() -> None:
    """The gate lets the sound through, but the words are the avatar's own."""

    async def script(it: Talk) -> None:
        it.brain.pieces = ["Please stop it now. ", "Stop it now, I say to you."]
        await question(it)
        await it.silence(19 * FRAME + 1.92)
        await it.say(STOP, 0.48)
        await it.silence(3.2)

    assert interruption(talk(script)) == ["duck", "deep", "resume"]


def test_going_on_within_a_second_makes_one_turn_of_both() -> None:
    async def script(it: Talk) -> None:
        await listen(it, 0.64)
        await it.say(MORE)
        it.brain.pieces = ["Fine. "]
        await it.silence(3.2)

    it = talk(script)
    both = "What time is it? In Tokyo please."
    assert interruption(it) == ["duck", "deep", "hold", "UserInterrupts", f"user: {both}", "ReplyStarted"]
    assert it.when(ev.UserInterrupts) == it.when("hold")
    assert it.brain.asked[-1] == [("user", both)]


def test_going_on_before_the_reply_has_begun_makes_one_turn_of_both() -> None:
    async def script(it: Talk) -> None:
        it.brain.delay = 2.0
        await question(it)
        await it.silence(22 * FRAME)
        await it.say(MORE)
        it.brain.delay = 0.05
        await it.silence(3.2)

    it = talk(script)
    both = "What time is it? In Tokyo please."
    assert "ReplyStarted" not in it.story()[: it.story().index(f"user: {both}")]
    assert it.brain.asked[-1] == [("user", both)]


def test_a_voice_as_the_reply_ends_begins_the_next_turn() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = ["One two three. "]
        await question(it)
        await it.silence(19 * FRAME + 1.44)
        await it.say(MORE)
        await it.silence(3.2)

    it = talk(script)
    assert it.story()[4:] == ["user: In Tokyo please.", "ReplyStarted", "says: One two three.", "ReplyDone"]


def test_the_stop_button_while_the_avatar_speaks() -> None:
    async def script(it: Talk) -> None:
        await listen(it, 1.92)
        await it.interrupt()
        await it.say(MORE)
        await it.silence(3.2)

    it = talk(script)
    assert interruption(it)[0] == "user: In Tokyo please."
    assert it.brain.asked[-1][1] == ("assistant", "One two three")


def test_a_reply_that_is_shown_late_can_still_be_interrupted() -> None:
    """The session is slow: 1.5 s pass between the first sound and its being reported as heard."""

    async def script(it: Talk) -> None:
        it.brain.pieces = ["One two three four five six. "]
        it.late = 1.5
        await it.mic_on()
        await it.write("Count")
        await it.silence(2.56)
        await it.say(STOP, 0.64)
        await it.silence(0.96)

    assert talk(script).story()[3:7] == ["duck", "deep", "hold", "UserInterrupts"]


def test_talk_after_a_typed_message_was_answered() -> None:
    """Without a microphone nobody said that the reply was over."""

    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(8)
        await question(it)
        await it.mic_off()
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == [*ANSWER, "user: What time is it?", *ANSWER]


def test_talk_right_after_a_reply_was_taken_all_at_once() -> None:
    """Less than a second after its first sound; nobody has heard it yet, for all the microphone tells."""

    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(0.6)
        await it.take_all()
        await it.mic_on(hands_free=False)
        await it.say(QUESTION, 0.64)
        await it.mic_off()
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == [*ANSWER, "user: What time is it?", *ANSWER]


def test_the_microphone_goes_off_while_the_avatar_speaks() -> None:
    async def script(it: Talk) -> None:
        await listen(it, 1.92)
        await it.say(STOP, 0.16)
        await it.mic_off()
        it.brain.pieces = ["Fine. "]
        await asyncio.sleep(5)

    it = talk(script)
    assert interruption(it) == ["duck", "hold", "UserInterrupts", "user: Stop it now.", "ReplyStarted"]


# -- the engine ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("llm", ["demo", "my:llm"])
def test_the_stages_are_those_of_the_settings(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(stages=StageSettings(llm=llm))
    parts: dict[str, object] = {"asr": Ear(), "tts": Voice()}
    loaded: list[tuple[str, str]] = []

    def load_part(group: str, name: str, given: Settings) -> object:
        assert given is settings
        loaded.append((group, name))
        return parts.get(group)

    monkeypatch.setattr("visavis.plugins.load", load_part)
    engine = load(settings)
    status = engine.status()
    assert status["stages"] == dict(loaded) == settings.stages.model_dump()
    assert (status["name"], status["demo_brain"], status["problems"]) == ("embedded", llm == "demo", [])
    assert (engine.input_rate, engine.output_rate) == (16_000, 24_000)


def test_the_status_names_the_language() -> None:
    parts = Talk().stages()
    engine = Cascade(parts, AssistantSettings(language="pt-BR"), {"llm": "demo"})
    assert engine.status()["language"] == "pt-BR"
    cast(Ear, parts.asr).detects = True
    assert engine.status()["language"] == "detect"


# -- languages -----------------------------------------------------------------------------------------------
def test_english_needs_no_words_about_it() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(2)

    it = talk(script)
    assert it.brain.system == [AssistantSettings().instructions]
    assert set(it.voice.spoke) == {None}


def test_another_language_is_spoken_and_asked_for() -> None:
    async def script(it: Talk) -> None:
        await it.say(QUESTION)
        await it.silence(3)

    it = talk(script, assistant=AssistantSettings(language="pl-PL"))
    assert it.brain.system == [AssistantSettings().instructions + " Answer in Polish."]
    assert it.brain.languages == ["pl"]
    assert set(it.voice.spoke) == {"pl"}
    assert set(it.ear.told) == {None}


def test_a_conversation_may_have_a_language_of_its_own() -> None:
    async def script(it: Talk) -> None:
        await it.say(QUESTION)
        await it.silence(3)

    it = talk(script, brief=Brief("Be kind.", language="en"), assistant=AssistantSettings(language="pl"))
    assert it.brain.system == ["Be kind. Answer in English."]
    assert set(it.voice.spoke) == {"en"}
    assert set(it.ear.told) == {"en"}


def test_the_reply_follows_the_language_that_was_heard() -> None:
    async def script(it: Talk) -> None:
        for language in ("pl", "uk", None, "en"):  # the voice speaks no Ukrainian
            it.ear.language = language
            await it.say(QUESTION)
            await it.silence(7)
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script)
    assert it.brain.languages == ["pl", "pl", "pl", "en", "en"]
    assert [text.rpartition(". ")[2] for text in it.brain.system[2:4]] == [
        "Answer in Polish.",
        "Answer in English.",
    ]
    assert [language for language, _ in groupby(it.voice.spoke)] == ["pl", "en"]


def test_what_interrupts_depends_on_the_language() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await it.silence(1.6)
        await it.say(NO, 0.4)
        await it.silence(1)

    assert "UserInterrupts" in talk(script).story()
    polish = talk(script, assistant=AssistantSettings(language="pl"))
    assert "resume" in polish.story()
    assert "UserInterrupts" not in polish.story()


def test_silence_is_admitted_in_the_language_of_the_conversation() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = ["* "]
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script, assistant=AssistantSettings(language="pl"))
    assert "says: Przepraszam, nie mam na to odpowiedzi." in it.story()


# -- failures ------------------------------------------------------------------------------------------------
def test_the_language_model_cannot_answer() -> None:
    async def script(it: Talk) -> None:
        it.brain.error = VisavisError("LLM_DOWN", "Start it.")
        await it.write("Hello")
        await asyncio.sleep(1)
        it.brain.error = None
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == ["failed: LLM_DOWN None", *ANSWER]
    assert next(e.message for _, e in it.happened if isinstance(e, ev.ReplyFailed)) == "Start it."


def test_the_language_model_breaks_off() -> None:
    async def script(it: Talk) -> None:
        it.brain.error, it.brain.error_after, it.brain.delay = ValueError("secret"), 2, 0.5
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == ["ReplyStarted", "says: It is noon.", "failed: AGENT_FAILED r1"]
    assert "secret" not in str(it.happened)


def test_a_failed_draft_is_told_only_when_the_turn_is_over() -> None:
    async def script(it: Talk) -> None:
        it.brain.error = VisavisError("LLM_DOWN", "Start it.")
        await question(it)
        await it.silence(0.48)
        assert it.story() == []
        await it.silence(0.64)
        it.brain.error = None
        await it.say(MORE)
        await it.silence(3.2)

    it = talk(script)
    told = ["user: What time is it?", "failed: LLM_DOWN None", "user: In Tokyo please.", *ANSWER]
    assert it.story() == told


def test_the_voice_fails() -> None:
    async def script(it: Talk) -> None:
        it.voice.error = RuntimeError("no voice")
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script)
    assert it.story() == ["failed: AGENT_FAILED None"] and it.brain.closed == 1


def test_the_voice_makes_no_sound() -> None:
    async def script(it: Talk) -> None:
        it.brain.pieces = ["..."]
        it.voice.mute = True
        await it.write("Hello")
        await asyncio.sleep(3)

    assert talk(script).story() == ["failed: VOICE_SILENT None"]


def test_nobody_takes_what_the_agent_says() -> None:
    async def script(it: Talk) -> None:
        async with Cascade(it.stages(), AssistantSettings(), {"llm": "demo"}).open(BRIEF) as agent:
            for _ in range(2000):
                await agent.send(ev.MicOff())

    with pytest.raises(ExceptionGroup) as raised:
        talk(script)
    assert raised.group_contains(VisavisError, match="Nobody takes")


def test_the_recogniser_fails() -> None:
    async def script(it: Talk) -> None:
        it.ear.error = RuntimeError("deaf")
        await question(it)
        await it.silence(3.2)
        it.ear.error = None
        await it.say(QUESTION)
        await it.silence(6.4)

    assert talk(script).story() == ["failed: AGENT_FAILED None", "user: What time is it?", *ANSWER]


def test_the_end_of_turn_model_fails() -> None:
    async def script(it: Talk) -> None:
        it.turn.error = RuntimeError("lost")
        await question(it)
        await it.silence(6.4)

    it = talk(script)
    assert it.story() == ["user: What time is it?", *ANSWER]
    assert it.when(ev.UserSaid) == pytest.approx(1.92 + 50 * FRAME)


def test_voice_activity_fails_once_until_the_microphone_is_switched_on_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(frame: object) -> float:
        raise RuntimeError("broken")

    async def script(it: Talk) -> None:
        await it.mic_on()
        with monkeypatch.context() as patch:
            patch.setattr("tests.cascade_fakes.Vad.__call__", lambda self, frame: broken(frame))
            await it.say(QUESTION)
        await question(it)
        await it.silence(6.4)

    assert talk(script).story() == ["failed: AGENT_FAILED None", "user: What time is it?", *ANSWER]


def test_slow_words_are_waited_for() -> None:
    """The turn is over by the table, its words come later."""

    async def script(it: Talk) -> None:
        it.workers.seconds[Ear] = 2.5
        await question(it)
        await it.silence(9.6)

    it = talk(script)
    assert it.story() == ["user: What time is it?", *ANSWER]
    assert it.when(ev.UserSaid) == pytest.approx(1.92 + 6 * FRAME + 2.5)


def test_leaving_ends_everything() -> None:
    async def script(it: Talk) -> None:
        it.brain.delay = 100.0
        await it.write("Hello")
        await asyncio.sleep(1)

    assert talk(script).brain.closed == 1


def test_every_talk_is_the_same_again() -> None:
    async def script(it: Talk) -> None:
        await listen(it, 1.28)
        await it.sound(HUM, 0.48)
        await it.silence(0.96)
        await it.say(STOP)
        await it.silence(3.2)

    assert talk(script).happened == talk(script).happened
    assert isinstance(Talk().brain, Brain)


# -- a voice that is heard while it is made ------------------------------------------------------------------
class StreamedVoice:
    """Half a second of sound every 0.2 s, three times a clause; it knows no words."""

    rate = 24_000
    languages = frozenset({"en"})

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self, text: str, language: str | None = None) -> Speech:
        raise AssertionError("all at once")

    async def stream(self, text: str, language: str | None = None) -> AsyncGenerator[Speech, None]:
        try:
            for _ in range(3):
                await asyncio.sleep(0.2)
                yield Speech(to_pcm(np.full(12_000, 0.1)), (), None)
        finally:
            self.closed += 1


def test_a_streamed_voice_is_heard_as_it_arrives() -> None:
    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(3)

    it = talk(script, replace(Talk().stages(), tts=StreamedVoice()))
    events = [(at, event) for at, event in it.happened if not isinstance(event, ev.Milestone)]
    kinds = [type(event).__name__ for _, event in events]
    clause = ["ReplyText", "ReplyAudio", "ReplyAudio", "ReplyAudio"]
    assert kinds == ["ReplyStarted", *clause, *clause, "ReplyDone"]
    sounds = [at for at, event in events if isinstance(event, ev.ReplyAudio)]
    assert np.diff(sounds[:3]) == pytest.approx([0.2, 0.2])
    assert [event.text for _, event in events if isinstance(event, ev.ReplyText)] == [
        "It is noon. ",
        "Have a nice day! ",
    ]
    assert all(event.phonemes is None for _, event in events if isinstance(event, ev.ReplyAudio))


def test_an_interruption_closes_a_streamed_voice() -> None:
    voice = StreamedVoice()

    async def script(it: Talk) -> None:
        await it.write("Hello")
        await asyncio.sleep(FIRST_PIECE + 0.3)
        await it.interrupt()
        await asyncio.sleep(2)

    it = talk(script, replace(Talk().stages(), tts=voice))
    assert it.story()[:2] == ["ReplyStarted", "ReplyText"]
    assert len([event for _, event in it.happened if isinstance(event, ev.ReplyAudio)]) == 1
    assert voice.closed == 1


def test_a_voice_that_can_be_anybodys_fits_the_avatar() -> None:
    class Cast(Voice):
        def of_avatar(self, avatar: str) -> Cast:
            return self if avatar == "stranger" else Cast()

    async def main() -> None:
        stages = replace(Talk().stages(), tts=Cast())
        kenji = await stages.cast_as("kenji")
        assert kenji.tts is not stages.tts
        assert (kenji.llm, kenji.workers) == (stages.llm, stages.workers)
        assert await stages.cast_as("kenji") is kenji
        assert await stages.cast_as("stranger") is stages
        assert await stages.cast_as("") is stages

    vtime.run(main())
