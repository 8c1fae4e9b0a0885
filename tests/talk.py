"""Drives a Conversation through a script on a made-up clock, with a face that answers at once or late."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from visavis import events as ev
from visavis.arkit import COUNT
from visavis.conversation import Conversation

Log = list[tuple[float, ev.Effect]]
Script = Iterable[tuple[float, ev.Event]]
E = TypeVar("E")


def of(log: Log, kind: type[E]) -> list[tuple[float, E]]:
    return [(at, effect) for at, effect in log if isinstance(effect, kind)]


def only(log: Log, kind: type[E]) -> list[E]:
    return [effect for _, effect in of(log, kind)]


def drive(
    talk: Conversation,
    script: Script,
    *,
    until: float = 120.0,
    face_delay: float = 0.0,
    look_ahead: int = 0,
    group: int = 1,
) -> Log:
    """Feed the script and every deadline in order of time; `look_ahead` frames are held back by the face,
    `group` may leave together."""
    todo = sorted(((at, n, event) for n, (at, event) in enumerate(script)), key=lambda item: item[:2])
    log: Log = []
    held: dict[int, int] = {}
    count = len(todo)
    while todo or talk.deadline is not None:
        due = talk.deadline
        if todo and (due is None or todo[0][0] <= due):
            now, _, event = todo.pop(0)
        else:
            assert due is not None
            now, event = due, ev.Tick(group)
        if now > until:
            break
        for effect in talk.feed(event, now):
            log.append((now, effect))
            if isinstance(effect, ev.Animate):
                back = held.get(effect.turn, 0) + frames_of(talk, effect.pcm)
                keep = 0 if effect.last else min(look_ahead, back)
                held[effect.turn] = keep
                answer = ev.Animated(effect.turn, face(back - keep), effect.last)
                todo.append((now + face_delay, count, answer))
                count += 1
                todo.sort(key=lambda item: item[:2])
    return log


def frames_of(talk: Conversation, pcm: bytes) -> int:
    """Frames in a piece of audio that begins and ends at frame edges."""
    return round(len(pcm) / 2 * talk.media.fps / talk.media.rate)


def drawings(first: int, end: int) -> tuple[ev.Drawing, ...]:
    """A drawing for each frame first..end, a picture of one pixel that is the frame's number."""
    return tuple(partial(_numbered, frame) for frame in range(first, end))


def _numbered(frame: int, seconds: float) -> NDArray[np.uint8]:
    return np.array([[[frame >> 16 & 255, frame >> 8 & 255, frame & 255]]], np.uint8)


def number(drawing: ev.Drawing) -> int:
    """Of such a drawing."""
    red, green, blue = drawing(0.0)[0, 0].tolist()
    return int(red << 16 | green << 8 | blue)


def face(frames: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.full((frames, COUNT), 0.25, np.float32)


def reply(
    samples: int, *, at: float = 0.0, id: str = "r", piece: int = 2400, words: tuple[ev.Word, ...] = ()
) -> tuple[bytes, list[tuple[float, ev.Event]]]:
    """The audio of a reply and the agent's events that carry it, all at once."""
    pcm = np.random.default_rng(samples).integers(-9000, 9000, samples).astype("<i2").tobytes()
    script: list[tuple[float, ev.Event]] = [(at, ev.ReplyStarted(id))]
    for begin in range(0, len(pcm), piece * 2):
        some = words if begin == 0 else ()
        script.append((at, ev.ReplyAudio(id, pcm[begin : begin + piece * 2], some)))
    return pcm, [*script, (at, ev.ReplyDone(id))]


def stalls(log: Log, turn: int, fps: int = 30, delay: float = 0.0) -> int:
    """How often a player that begins with three frames runs dry while it plays `turn`."""
    arrivals = [at + delay for at, group in of(log, ev.Frames) if group.turn == turn for _ in group.weights]
    count, begin, first = 0, arrivals[min(2, len(arrivals) - 1)], 0
    for index, at in enumerate(arrivals):
        if at > begin + (index - first) / fps + 1e-9:
            count += 1
            first, begin = index, arrivals[min(index + 2, len(arrivals) - 1)]
    return count
