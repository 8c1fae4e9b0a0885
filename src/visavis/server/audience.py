"""Everybody who follows one session, and what is known of it afterwards."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import anyio

from visavis import events as ev
from visavis.conversations import Entry
from visavis.conversations.carried import Carried
from visavis.conversations.recorder import Recorder
from visavis.session import Client

REMEMBERED = 200
"""Lines of a session's transcript that are kept."""


class Audience:
    """A session's client that passes everything on to whoever is there; nobody may be."""

    def __init__(self, *always: Client) -> None:
        self._clients: list[Client] = list(always)
        self.joined = anyio.Event()
        """Somebody has."""

    def join(self, client: Client) -> None:
        self._clients.append(client)
        self.joined.set()

    def leave(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)

    def put(self, event: ev.ToClient) -> None:
        for client in tuple(self._clients):
            client.put(event)

    def drop(self, turn: int) -> None:
        for client in tuple(self._clients):
            client.drop(turn)


@dataclass
class Record:
    """What a session was about: its state, the transcript as it was heard, the latencies of each turn."""

    state: ev.State = "idle"
    turns: int = 0
    transcript: deque[Entry] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    latencies: deque[ev.TurnLedger] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    problems: int = 0

    def __post_init__(self) -> None:
        self._recorder = Recorder(self._add, time.time)

    def recall(self, carried: Carried) -> None:
        """What was said in it at another server."""
        self.turns = carried.standing.turns
        self.transcript.extend(entry for entry in carried.entries if entry.text)
        self._recorder = Recorder(self._add, time.time, carried.standing.user_turns)
        for effect in carried.told:
            self._recorder.hear(effect)

    def put(self, event: ev.ToClient) -> None:
        self._recorder.hear(event)
        match event:
            case ev.StateChanged(state):
                self.state = state
            case ev.TurnEnded(turn):
                self.turns = turn
            case ev.TurnLedger():
                if self.latencies and self.latencies[-1].turn == event.turn:
                    self.latencies.pop()
                self.latencies.append(event)
            case ev.Problem():
                self.problems += 1

    def _add(self, entry: Entry) -> None:
        if entry.text:
            self.transcript.append(entry)

    def drop(self, turn: int) -> None:
        """Frames are not kept."""
