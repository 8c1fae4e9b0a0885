"""When the frames of a turn are animated and sent: pure decisions over a turn, a policy and the time."""

from __future__ import annotations

from dataclasses import dataclass

from visavis import events as ev
from visavis.turn import START_FRAMES, Turn


@dataclass(frozen=True, slots=True)
class Policy:
    lead: float = 0.3
    """Seconds of frames sent ahead of what is heard: the client's jitter buffer."""
    start: float = 0.2
    """Seconds of frames that must be ready before the player is given enough to begin: an agent that speaks
    in real time would otherwise leave it no reserve at all."""
    chunk: int = 24
    """Frames in one animation while there is no hurry."""
    ahead: int = 45
    """Frames animated beyond what was sent, at most: work lost when interrupted."""
    patience: float = 30.0
    """Seconds to wait for an agent that owes an answer, or a client that holds playback."""
    longest: float = 600.0
    """Seconds of a reply that may wait to be spoken."""
    pace: float = 28.0
    """Rate of speech assumed for text without times: `turn.length`s in a second of voice."""


def next_animation(turn: Turn, policy: Policy, now: float) -> ev.Animate | None:
    """New audio for the face, noted as asked for: at once while the client has little, in larger pieces when
    it has enough; None while there is nothing to do."""
    if turn.busy or turn.closing:
        return None
    new = turn.length - turn.asked
    count = new
    if turn.phonemes is None:
        # What a face that looks ahead still holds back is no reserve.
        hurry = not turn.live or turn.done or turn.ready - turn.sent < policy.lead * turn.media.fps
        if turn.asked - turn.sent >= policy.ahead or (new < policy.chunk and not hurry):
            return None
        count = min(new, policy.chunk)
    last = turn.done and count == new
    if count <= 0 and not last:
        return None
    due = now if turn.epoch is None else turn.epoch + turn.asked / turn.media.fps - policy.lead
    phonemes = None if turn.phonemes is None else tuple(turn.phonemes)
    if turn.phonemes:
        turn.phonemes = []
    pcm = turn.pcm(turn.asked, turn.asked + count)
    turn.asked += count
    turn.busy, turn.closing = True, last
    return ev.Animate(turn.number, pcm, phonemes, last, due, turn.take_emotions(turn.asked))


def frames_due(turn: Turn, policy: Policy, now: float, group: int = 1) -> int:
    """How many frames leave now: a group of them when the first is due."""
    stock, fps = turn.ready - turn.sent, turn.media.fps
    if not turn.live:
        return stock
    if turn.epoch is None:
        # The player starts with its third frame: the ones before leave at once.
        complete = turn.closing and not turn.busy
        begin = complete or turn.ready - turn.run >= policy.start * fps - 1e-6
        allowed = START_FRAMES if begin else START_FRAMES - 1
        return min(stock, max(0, turn.run + allowed - turn.sent))
    due = int((now - turn.epoch + policy.lead) * fps + 1e-6) + 1 - turn.sent
    return min(stock, max(due, group)) if due > 0 else 0


def next_due(turn: Turn, policy: Policy) -> float | None:
    """When the next frame leaves, or the turn has been heard; None while that depends on others."""
    if turn.waiting is not None or turn.epoch is None:
        return None
    if turn.ended:
        return turn.over()
    if turn.sent < turn.ready:
        return turn.epoch + turn.sent / turn.media.fps - policy.lead
    return None
