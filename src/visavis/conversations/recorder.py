"""Hears what comes of a conversation and makes its entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from visavis import events as ev
from visavis.conversations import Entry

MOST_ACTIONS = 64
"""Of one turn."""
EVERY = 0.5
"""Seconds between two entries of a reply that is being spoken, at least."""
AHEAD = 0.3
"""Seconds that a word is told before it is heard, at most."""


@dataclass(slots=True)
class _Reply:
    started: float
    written: float
    """When what was heard until then was last given away."""
    words: dict[float, ev.Word] = field(default_factory=dict)
    sources: tuple[ev.Source, ...] = ()
    actions: list[dict[str, Any]] = field(default_factory=list)


class Recorder:
    """Gives `add` every turn that is over: the user's words, and of the avatar's what was heard; and
    `update` what was heard until then of one that is being spoken, as if it were cut off there."""

    def __init__(
        self,
        add: Callable[[Entry], None],
        clock: Callable[[], float],
        user_turns: int = 0,
        update: Callable[[Entry], None] | None = None,
    ) -> None:
        """`clock` is wall-clock time; the user has had `user_turns` before."""
        self._add, self._clock, self._user_turns, self._update = add, clock, user_turns, update
        self._replies: dict[int, _Reply] = {}
        self._actions: list[dict[str, Any]] = []

    def hear(self, effect: ev.Effect) -> None:
        """Take one effect of the conversation, in order."""
        match effect:
            case ev.UserTurn(_, text) | ev.UserText(text, echo=False):
                self._user_turns += 1
                now = self._clock()
                self._add(Entry("user", self._user_turns, now, now, text))
            case ev.TurnStarted(turn):
                if turn not in self._replies:  # it is told again to a client that comes back
                    now = self._clock()
                    self._replies[turn] = _Reply(now, now, actions=self._actions)
                    self._actions = []
            case ev.WordSpoken(turn, word) if turn in self._replies:
                self._replies[turn].words[word.start] = word
                self._going_on(turn, word.start - AHEAD)
            case ev.TurnSources(turn, sources) if turn in self._replies:
                self._replies[turn].sources = sources
            case ev.Action(name, arguments):
                *_, actions = (self._actions, *(reply.actions for reply in self._replies.values()))
                if len(actions) < MOST_ACTIONS:
                    actions.append({"name": name, "arguments": dict(arguments)})
            case ev.TurnEnded():
                self._end(effect)

    def _going_on(self, turn: int, heard: float) -> None:
        """`heard` seconds of a reply were heard."""
        if self._update is None:
            return
        reply, now = self._replies[turn], self._clock()
        words = [word for word in reply.words.values() if word.end <= heard]
        if words and now >= reply.written + EVERY:
            reply.written = now
            text = " ".join(word.text for word in sorted(words, key=lambda word: word.start))
            self._update(_entry(reply, ev.TurnEnded(turn, text, True, heard), now))

    def _end(self, event: ev.TurnEnded) -> None:
        if (reply := self._replies.pop(event.turn, None)) is not None:
            self._add(_entry(reply, event, self._clock()))


def _entry(reply: _Reply, event: ev.TurnEnded, now: float) -> Entry:
    spoken = [reply.words[start] for start in sorted(reply.words)]
    heard = tuple(spoken[: len(event.text.split())])
    entry = Entry("assistant", event.turn, reply.started, now, event.text, event.interrupted)
    return replace(entry, words=heard, sources=reply.sources, actions=tuple(reply.actions))
