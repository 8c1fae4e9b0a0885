"""What is written down of a conversation: what was said, and of replies what was heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import anyio
from tests import vtime
from tests.shell import Puppet, session
from tests.talk import drive, reply

from visavis import events as ev
from visavis.agents import Brief
from visavis.conversation import Conversation
from visavis.conversations import Entry
from visavis.conversations.recorder import MOST_ACTIONS, Recorder
from visavis.session import Past
from visavis.stages import Message

WORDS = tuple(ev.Word(text, i * 0.5, i * 0.5 + 0.4) for i, text in enumerate("one two three four".split()))
RYE = ev.Source("Rye", "", "Rye takes a day.")


def recorded(*script: tuple[float, ev.Event], before: int = 0) -> list[Entry]:
    """The entries of a scripted conversation, times by an own clock of whole seconds."""
    entries: list[Entry] = []
    ticks = count(1000)
    recorder = Recorder(entries.append, lambda: float(next(ticks)), before)
    for _, effect in drive(Conversation(), script):
        recorder.hear(effect)
    return entries


def test_a_question_and_its_answer() -> None:
    _, answer = reply(48_000, at=0.1, words=WORDS)
    entries = recorded((0.0, ev.UserText("Hello?", echo=True)), (0.05, ev.Cited((RYE,))), *answer)
    assert entries == [
        Entry("user", 1, 1000.0, 1000.0, "Hello?"),
        Entry("assistant", 1, 1001.0, 1002.0, "one two three four", False, WORDS, (RYE,)),
    ]


def test_typed_and_spoken_words_are_written_once_each_and_counted_on() -> None:
    script: list[tuple[float, ev.Event]] = [
        (0.0, ev.UserText("typed")),
        (1.0, ev.UserText("echoed", echo=True)),
        (2.0, ev.UserSaid("spoken")),
    ]
    entries = recorded(*script, before=4)
    assert [(entry.turn, entry.text) for entry in entries] == [(5, "typed"), (6, "echoed"), (7, "spoken")]


def test_of_an_interrupted_reply_only_what_was_heard_is_kept() -> None:
    _, answer = reply(24_000 * 2, words=WORDS)
    (entry,) = recorded(*answer, (1.0, ev.Interrupt()))
    assert entry.interrupted
    assert entry.text == "one two"
    assert entry.words == WORDS[:2]


def test_a_client_that_comes_back_hears_words_again_but_they_are_written_once() -> None:
    _, answer = reply(24_000 * 2, words=WORDS)
    (entry,) = recorded(*answer, (0.7, ev.ClientLost()), (3.0, ev.ClientBack()))
    assert entry.words == WORDS


def test_of_a_reply_that_is_being_spoken_what_was_heard_is_known_every_half_second() -> None:
    effects = drive(Conversation(), reply(24_000 * 2, words=WORDS)[1])
    now, updates, entries = 0.0, list[Entry](), list[Entry]()
    recorder = Recorder(entries.append, lambda: now, update=updates.append)
    for now, effect in effects:  # noqa: B007 (the clock)
        recorder.hear(effect)
    assert [(entry.text, entry.words) for entry in updates] == [
        ("one", WORDS[:1]),
        ("one two", WORDS[:2]),
    ]
    assert all(entry.interrupted and entry.turn == 1 for entry in updates)
    for entry in updates:  # a word is told when its frame is sent, and heard later
        assert entry.words[-1].end <= entry.ended - updates[0].started
    assert entries[0].text == "one two three four" and not entries[0].interrupted


def test_of_words_that_come_at_once_there_is_no_entry_each() -> None:
    updates: list[Entry] = []
    recorder = Recorder(updates.append, lambda: 0.0, update=updates.append)
    recorder.hear(ev.TurnStarted(1))
    for word in WORDS:
        recorder.hear(ev.WordSpoken(1, word))
    assert updates == []


def test_actions_belong_to_the_reply_and_are_bounded() -> None:
    entries: list[Entry] = []
    recorder = Recorder(entries.append, lambda: 0.0)
    recorder.hear(ev.Action("wave", {"hand": "left"}))
    recorder.hear(ev.TurnStarted(1))
    for _ in range(100):
        recorder.hear(ev.Action("confetti"))
    recorder.hear(ev.TurnEnded(1, "", False, 0.0))
    recorder.hear(ev.TurnStarted(2))
    recorder.hear(ev.TurnEnded(2, "", False, 0.0))
    assert entries[0].actions[:2] == (
        {"name": "wave", "arguments": {"hand": "left"}},
        {"name": "confetti", "arguments": {}},
    )
    assert len(entries[0].actions) == MOST_ACTIONS
    assert entries[1].actions == ()


def test_the_end_of_a_session_does_not_lose_what_was_heard() -> None:
    heard: list[ev.Effect] = []

    async def main() -> None:
        agent = Puppet()
        async with session(agent, past=Past(heard.append)) as (talk, _):
            agent.say.send_nowait(ev.ReplyStarted("a"))
            agent.say.send_nowait(ev.ReplyAudio("a", bytes(24_000 * 4), WORDS))
            await anyio.sleep(1.0)
            talk.close()

    vtime.run(main())
    (ended,) = (effect for effect in heard if isinstance(effect, ev.TurnEnded))
    assert ended.interrupted
    assert ended.text == "one two"


def test_an_earlier_conversation_is_told_to_the_agent_and_its_numbers_go_on() -> None:
    cut = ev.TurnEnded(3, "one", True, 0.4)
    said = (Message("user", "Hi!"), Message("assistant", "one"))
    told: list[tuple[Message, ...]] = []

    class Curious(Puppet):
        @asynccontextmanager
        async def open(self, brief: Brief) -> AsyncIterator[Puppet]:
            told.append(brief.history)
            async with super().open(brief) as agent:
                yield agent

    async def recall() -> tuple[Message, ...]:
        return said

    async def main() -> None:
        agent = Curious()
        async with session(agent, past=Past(None, recall, (cut,)), turns=3) as (talk, ear):
            talk.feed(ev.UserText("and?", echo=True))
            agent.speak(1, "a")
            await anyio.sleep(3)
        assert ear.log[0][1] == cut
        assert ear.of(ev.UserTurn) == [ev.UserTurn(4, "and?")]
        assert ear.of(ev.TurnStarted) == [ev.TurnStarted(4)]

    vtime.run(main())
    assert told == [said]
