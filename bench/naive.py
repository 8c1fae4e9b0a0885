"""What one writes in an afternoon: the server that `bench.capacity --naive` is compared with.

    python -m bench.naive PORT SPEED

One task per session that sleeps until each frame is due, one JSON message per frame, and the same face net as
ours with the past that it needs heard again for every piece, in a pool of threads, first come, first served.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from visavis.agents.scripted import murmur
from visavis.arkit import NAMES
from visavis.audio import Media
from visavis.capacity.measure import REPLY
from visavis.faces import net
from visavis.settings import Settings

MEDIA = Media()
FRAME = MEDIA.edge(1) * 2
"""Bytes of sound."""
PIECE, PAST, AHEAD = 3, 32, 2
"""Frames that are moved at once, those heard again before them, and those that the net looks ahead."""
LEAD = 0.3
"""Seconds that frames are sent early."""

SPEECH = murmur(REPLY, 0)
FACE = net.load(Settings())
POOL = ThreadPoolExecutor(2)


def weights(first: int) -> Any:
    """Those of the frames first..first + PIECE."""
    begin = max(0, first - PAST)
    heard = SPEECH[begin * FRAME : (first + PIECE + AHEAD) * FRAME]
    found = FACE.open(MEDIA, 0).feed(heard, None, last=True)
    return found[first - begin :][:PIECE]


async def reply(socket: WebSocket, speed: float) -> None:
    """One answer, as its sound comes in."""
    loop = asyncio.get_running_loop()
    begin, count = loop.time(), len(SPEECH) // FRAME
    session = {"sessionId": "0" * 32, "turnId": "turn_1"}
    for first in range(0, count, PIECE):
        there = begin + (first + PIECE + AHEAD) / MEDIA.fps / speed
        await asyncio.sleep(max(0.0, there - loop.time()))
        for frame, row in enumerate(await loop.run_in_executor(POOL, weights, first), first):
            due = begin + frame / MEDIA.fps - LEAD
            if frame >= 2 * PIECE:
                await asyncio.sleep(max(0.0, due - loop.time()))
            sound = base64.b64encode(SPEECH[frame * FRAME : (frame + 1) * FRAME]).decode()
            face = {name: round(float(weight), 3) for name, weight in zip(NAMES, row, strict=True)}
            message = {"type": "sync_frame", **session, "frameIndex": frame, "audio": sound, "weights": face}
            await socket.send_text(json.dumps(message, separators=(",", ":")))
    done = {"type": "transcript_done", "role": "assistant", "text": ""}
    await asyncio.sleep(LEAD)
    await socket.send_text(json.dumps(done, separators=(",", ":")))


def application(speed: float) -> Starlette:
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                if json.loads(await socket.receive_text())["type"] == "text":
                    await reply(socket, speed)
        except WebSocketDisconnect:
            pass

    async def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/health", health), WebSocketRoute("/ws", talk)])


if __name__ == "__main__":
    uvicorn.run(application(float(sys.argv[2])), port=int(sys.argv[1]), log_level="error")
