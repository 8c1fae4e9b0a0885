"""A conversation that is told to others while it goes on, and goes on from what they were told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import orjson
import pytest

from bench import marked
from visavis import events as ev
from visavis.agents import Brief
from visavis.arkit import COUNT
from visavis.audio import BYTES, Media
from visavis.conversation import Conversation
from visavis.conversations import Entry
from visavis.conversations.carried import ALL, Begun, Carried, Copy, Standing, pack, unpack
from visavis.conversations.recorder import Recorder
from visavis.events import Source, Word
from visavis.stages import Message

MEDIA = Media()
QUESTION = "ann 6.00"


class Shelf:
    """Keeps what it is told, as Redis does."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self.standing, self.entries = Standing(), list[Entry]()
        self.pieces, self.words = list[bytes](), tuple[Word, ...]()

    def look(self, now: float) -> None:
        new = self._copy.changes(now)
        self.standing = Standing.unpacked(new.standing)
        self.entries += map(unpack, new.entries)
        self.pieces = [] if new.dropped == ALL else self.pieces[new.dropped :]
        self.pieces += new.pieces
        if new.words is not None:
            self.words = tuple(Word(*word) for word in orjson.loads(new.words))

    def carried(self) -> Carried:
        begun = Begun.unpacked(self._copy.begun.packed())
        return Carried(begun, self.standing, tuple(self.entries), self.words, b"".join(self.pieces))


class Talk:
    """A conversation, its face and its player, on a clock of their own."""

    def __init__(self, conversation: Conversation, now: float = 0.0) -> None:
        self.conversation, self.now = conversation, now
        self.frames: dict[int, bytes] = {}
        self.out: list[ev.Effect] = []
        self.hear: Callable[[ev.Effect], None] | None = None

    def feed(self, event: ev.Event) -> None:
        effects = self.conversation.feed(event, self.now)
        for effect in effects:
            self.out.append(effect)
            if self.hear is not None:
                self.hear(effect)
            if isinstance(effect, ev.Frames):
                for k in range(len(effect.weights)):
                    begin, end = (
                        (MEDIA.edge(effect.first + at) - MEDIA.edge(effect.first)) for at in (k, k + 1)
                    )
                    self.frames[effect.first + k] = effect.pcm[begin * BYTES : end * BYTES]
        for effect in effects:
            if isinstance(effect, ev.Animate):
                frames = MEDIA.covering(len(effect.pcm) // BYTES)
                self.feed(ev.Animated(effect.turn, np.zeros((frames, COUNT), np.float32), effect.last))

    def until(self, end: float) -> None:
        while (due := self.conversation.deadline) is not None and due <= end:
            self.now = max(self.now, due)
            self.feed(ev.Tick())
        self.now = end


def begun() -> Begun:
    return Begun(
        "s1", "hash", "widget", "ann", 30.0, MEDIA, "be kind", "v", "pl", "elena", {"output": "both"}
    )


def talking(until: float, *, done: bool = True) -> tuple[Talk, Shelf]:
    """An answer of 6 s, of which `until` seconds have gone by; four looks a second."""
    talk = Talk(Conversation(MEDIA))
    copy = Copy(begun(), talk.conversation)
    talk.hear = Recorder(copy.add, lambda: talk.now).hear
    shelf, pcm = Shelf(copy), marked.speech(QUESTION)
    talk.feed(ev.UserText(QUESTION))
    shelf.look(talk.now)
    talk.feed(ev.ReplyStarted("r"))
    talk.feed(ev.ReplyText("r", "one two three four five six "))
    talk.feed(ev.ReplyAudio("r", pcm))
    if done:
        talk.feed(ev.ReplyDone("r"))
    while talk.now < until:
        talk.until(min(until, talk.now + 0.25))
        shelf.look(talk.now)
    return talk, shelf


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.1, 5.5])
def test_the_rest_of_a_reply_is_spoken_elsewhere_and_every_sample_is_heard_once(seconds: float) -> None:
    before, shelf = talking(seconds)
    carried = shelf.carried()
    after = Talk(carried.conversation(100.0), 100.0)
    after.until(110.0)
    assert after.frames == {}, "nobody is there yet"
    after.feed(ev.ClientBack())
    after.until(130.0)
    again = before.frames.keys() & after.frames.keys()
    assert all(before.frames[frame] == after.frames[frame] for frame in again)
    assert len(again) <= 0.6 * MEDIA.fps, "what was heard is not sent again"
    assert marked.lost(before.frames | after.frames, QUESTION) == 0
    [ended] = [effect for effect in after.out if isinstance(effect, ev.TurnEnded)]
    assert (ended.turn, ended.text, ended.interrupted) == (1, "one two three four five six", False)


def test_what_is_kept_of_a_reply_is_what_was_not_heard() -> None:
    _, shelf = talking(5.0)
    kept = sum(map(len, shelf.pieces)) / BYTES / MEDIA.rate
    assert 0.9 < kept < 2.1
    talk, shelf = talking(6.0)
    talk.until(8.0)
    shelf.look(talk.now)
    assert (shelf.pieces, shelf.standing.spoken) == ([], None)
    assert [(entry.role, entry.text) for entry in shelf.entries][-1] == (
        "assistant",
        "one two three four five six",
    )


def test_a_reply_that_was_not_complete_ends_where_it_was() -> None:
    before, shelf = talking(1.0, done=False)
    after = Talk(shelf.carried().conversation(100.0), 100.0)
    after.feed(ev.ClientBack())
    after.until(120.0)
    assert marked.lost(before.frames | after.frames, QUESTION) == 0
    assert after.conversation.state == "listening"
    after.feed(ev.UserText("and then?"))
    after.feed(ev.ReplyStarted("r"))
    assert after.conversation.spoken is not None
    assert after.conversation.spoken.number == 2, "the new agent has replies of its own"


def test_interrupted_elsewhere_it_is_known_what_was_heard_in_all() -> None:
    _, shelf = talking(2.0)
    after = Talk(shelf.carried().conversation(100.0), 100.0)
    after.feed(ev.ClientBack())
    after.until(101.5)
    after.feed(ev.Interrupt())
    [ended] = [effect for effect in after.out if isinstance(effect, ev.TurnEnded)]
    assert 3.2 < ended.heard < 3.6
    assert ended.text == " ".join(word.text for word in shelf.words if word.end <= ended.heard)


def test_a_question_that_nobody_has_answered_is_asked_again() -> None:
    talk = Talk(Conversation(MEDIA))
    copy = Copy(begun(), talk.conversation)
    talk.hear = Recorder(copy.add, lambda: talk.now).hear
    shelf = Shelf(copy)
    talk.feed(ev.UserText("hello"))
    shelf.look(0.0)
    carried = shelf.carried()
    assert (carried.question, carried.said, carried.user_turns) == ("hello", (), 0)
    assert carried.history == ()
    talk.feed(ev.ReplyStarted("r"))
    shelf.look(0.1)
    assert shelf.carried().question == "", "somebody does"


def test_what_a_session_was_begun_with_goes_with_it() -> None:
    source = Source("a", "b", "c")
    entry = Entry("assistant", 3, 1.0, 2.0, "yes", True, sources=(source,))
    copy = Copy(begun(), Conversation(MEDIA, None, 3, 2), [entry])
    copy.forget()
    shelf = Shelf(copy)
    shelf.look(0.0)
    carried = shelf.carried()
    assert carried.begun == begun()
    assert carried.entries == (entry,)
    assert carried.history == (Message("assistant", "yes"),)
    assert (carried.standing.turns, carried.user_turns) == (3, 2)
    brief = carried.brief(Brief("usual"))
    assert (brief.instructions, brief.voice, brief.language, brief.avatar) == ("be kind", "v", "pl", "elena")
    assert carried.conversation(0.0).next_turn == 4


def test_whatever_a_caller_has_put_in_goes_with_it() -> None:
    strange = replace(begun(), instructions="\ud800", talk={"metadata": {"n": 10**40, "s": "\udfff"}})
    assert Begun.unpacked(strange.packed()) == strange
    entry = Entry("user", 1, 0.0, 0.0, "\ud800")
    assert unpack(pack(entry)) == entry
