"""Hears what comes of a conversation and makes its entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from visavis import events as ev
from visavis.conversations import Entry

MOST_ACTIONS = 64
"""Of one turn."""


@dataclass(slots=True)
class _Reply:
    started: float
    words: dict[float, ev.Word] = field(default_factory=dict)
    sources: tuple[ev.Source, ...] = ()
    actions: list[dict[str, Any]] = field(default_factory=list)


class Recorder:
    """Gives `add` every turn that is over: the user's words, and of the avatar's what was heard."""

    def __init__(self, add: Callable[[Entry], None], clock: Callable[[], float], user_turns: int = 0) -> None:
        """`clock` is wall-clock time; the user has had `user_turns` before."""
        self._add, self._clock, self._user_turns = add, clock, user_turns
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
                    self._replies[turn] = _Reply(self._clock(), actions=self._actions)
                    self._actions = []
            case ev.WordSpoken(turn, word) if turn in self._replies:
                self._replies[turn].words[word.start] = word
            case ev.TurnSources(turn, sources) if turn in self._replies:
                self._replies[turn].sources = sources
            case ev.Action(name, arguments):
                *_, actions = (self._actions, *(reply.actions for reply in self._replies.values()))
                if len(actions) < MOST_ACTIONS:
                    actions.append({"name": name, "arguments": dict(arguments)})
            case ev.TurnEnded():
                self._end(effect)

    def _end(self, event: ev.TurnEnded) -> None:
        reply = self._replies.pop(event.turn, None)
        if reply is None:
            return
        spoken = [reply.words[start] for start in sorted(reply.words)]
        heard = tuple(spoken[: len(event.text.split())])
        entry = Entry("assistant", event.turn, reply.started, self._clock(), event.text, event.interrupted)
        self._add(replace(entry, words=heard, sources=reply.sources, actions=tuple(reply.actions)))
