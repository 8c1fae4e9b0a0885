"""What a session, and the connections to it, tell of themselves while they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from visavis import events as ev
from visavis.wires import Message
from visavis.wires.widget import WidgetWire

Put = Callable[[str, dict[str, Any], int], None]
"""Takes a line: its kind, its values, about how many bytes they are. It never waits and never raises."""


class Tape:
    """The inputs of one session in their order, each with its time, and between them what came of it."""

    def __init__(self, put: Put, erase: Callable[[], None]) -> None:
        self._put, self._lines = put, 0
        self.erase = erase
        """End the recording and forget it: the client does not want it."""

    # -- inputs: times are seconds on the event loop's clock ---------------------------------------------
    def fed(self, event: ev.Event, at: float) -> None:
        """The session is fed an event that no message on this tape stands for."""
        self._put("feed", {"t": at, "event": event}, _size(event))

    def told(self, event: ev.ToClient, at: float) -> None:
        """The session tells its client something that is not of the conversation."""
        self._put("told", {"t": at, "event": event}, 100)

    def attached(self, at: float) -> None:
        self._put("attach", {"t": at}, 0)

    def detached(self, at: float) -> None:
        self._put("detach", {"t": at}, 0)

    def live(self, live: bool, at: float) -> None:
        """From now on replies are played as they arrive, or not."""
        self._put("live", {"t": at, "live": live}, 0)

    # -- outputs -------------------------------------------------------------------------------------------
    def asked(self, event: ev.ToAgent) -> None:
        """The agent is told something."""
        self._put("asked", {"event": event}, 100)

    def join(self, wire: WidgetWire, at: float) -> LineTape:
        """Another connection of the widget dialect takes its place."""
        self._lines += 1
        state = {"session": wire.session_id, "extended": wire.extended, "binary": wire.binary}
        self._put("join", {"t": at, "line": self._lines, **state, "array": wire.array}, 0)
        return LineTape(self._put, self._lines)

    def follower(self) -> Follower:
        """Listens to a session of another dialect."""
        return Follower(self._put)


class Follower:
    """Takes down what a session of another dialect tells those who follow it, however they are told."""

    def __init__(self, put: Put) -> None:
        self._put = put

    def put(self, event: ev.ToClient) -> None:
        self._put("sent", {"event": event}, _size(event))

    def drop(self, turn: int) -> None:
        self._put("drop", {"turn": turn}, 0)


class LineTape:
    """What one connection of the widget dialect adds."""

    def __init__(self, put: Put, line: int) -> None:
        self._put, self._line = put, line

    def took(self, message: Message, at: float) -> None:
        """The client said something."""
        self._put("in", {"t": at, "line": self._line, "message": message}, len(message))

    def said(self, event: ev.ToClient, at: float) -> None:
        """The connection tells its client something by itself."""
        self._put("say", {"t": at, "line": self._line, "event": event}, 100)

    def configured(self, resumed: bool, input_rate: int, token: int, at: float) -> None:
        """It sends the configuration, with a token of so many characters."""
        values = {"resumed": resumed, "input_rate": input_rate, "token": token}
        self._put("config", {"t": at, "line": self._line, **values}, 100)

    def left(self, code: int, at: float) -> None:
        self._put("left", {"t": at, "line": self._line, "code": code}, 0)

    def sent(self, messages: Sequence[Message], ms: int) -> None:
        """These messages are on their way to the client, encoded at `ms` of wall-clock time."""
        for message in messages:
            self._put("out", {"line": self._line, "ms": ms, "message": message}, len(message))

    def drop(self, turn: int) -> None:
        """Frames of this turn that have not left are called back."""
        self._put("drop", {"line": self._line, "turn": turn}, 0)


def _size(event: ev.Event | ev.ToClient) -> int:
    match event:
        case ev.Frames(pcm=pcm, weights=weights):
            return len(pcm) + weights.nbytes
        case ev.UserAudio(pcm) | ev.ReplyAudio(_, pcm):
            return len(pcm)
        case ev.Animated(_, weights):
            return weights.nbytes
    return 100
