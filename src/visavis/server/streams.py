"""A session as it happens, for calls that stay open: video, pictures, or events."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from visavis import events as ev
from visavis.server.talks import Talk
from visavis.server.waiting import Feed, following
from visavis.video.live import Kind, LiveStream, Viewer
from visavis.video.studio import sounds
from visavis.wires import cited
from visavis.wires.api import turn_id, weights_of

BOUNDARY = "visavis-frame"


async def video(stream: LiveStream) -> AsyncIterator[bytes]:
    with viewing(stream, "webm") as viewer:
        async for piece in viewer.pieces():
            yield piece


async def pictures(stream: LiveStream) -> AsyncIterator[bytes]:
    with viewing(stream, "mjpeg") as viewer:
        async for jpeg in viewer.pieces():
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"


@contextmanager
def viewing(stream: LiveStream, kind: Kind) -> Iterator[Viewer]:
    viewer = Viewer(kind)
    stream.join(viewer)
    try:
        yield viewer
    finally:
        stream.leave(viewer)


async def events(talk: Talk) -> AsyncIterator[bytes]:
    """Server-sent events of the turns: `frame`, `turn_end`, and `state`."""
    feed, cites = Feed(), dict[int, Sequence[ev.Source]]()
    with following(talk, feed):
        async for event in feed.events():
            match event:
                case ev.Frames(turn, first):
                    for k, pcm in enumerate(sounds(event, talk.media)):
                        frame = {
                            "turn_id": turn_id(turn),
                            "frame_id": first + k,
                            "weights": weights_of(event, k),
                            "audio": base64.b64encode(pcm).decode(),
                            "sample_rate": talk.media.rate,
                        }
                        yield _event("frame", frame)
                case ev.TurnEnded(turn, text, interrupted, heard):
                    done = {"turn_id": turn_id(turn), "text": text, "interrupted": interrupted}
                    at = {"offset_ms": round(heard * 1000)}
                    yield _event("turn_end", done | at | cited(cites.pop(turn, ())))
                case ev.TurnSources(turn, sources):
                    cites[turn] = sources
                case ev.StateChanged(state):
                    yield _event("state", {"state": state})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))
