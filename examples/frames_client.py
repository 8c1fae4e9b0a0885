"""Asks a question over the dialect of frames (`WS /`) and saves the answer as a video: .mp4, .webm or .gif.

.venv/bin/python examples/frames_client.py "Tell me a joke." answer.mp4 [ws://localhost:8080/]

The address may end with ?token=..., for a server that wants one.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from pathlib import Path

import simplejpeg
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from visavis.errors import VisavisError
from visavis.video.files import check, write_video

FPS = 25
"""As every server sends in this dialect."""


async def save(question: str, out: Path, url: str = "ws://localhost:8080/") -> None:
    check(out, FPS)
    jpegs: list[bytes] = []
    pcm = b""
    async with connect(url, max_size=None) as socket:
        hello = json.loads(await socket.recv())
        if hello["type"] != "connection_established":
            raise VisavisError(
                "REFUSED", hello.get("message") or f"{shown(url)} is not the dialect of frames."
            )
        fps, rate = hello["config"]["fps"], hello["config"]["sample_rate"]
        await socket.send(json.dumps({"type": "text_input", "text": question}))
        async for raw in socket:
            message = json.loads(raw)
            if message["type"] == "stream_start":
                print(message["text"])
            elif message["type"] == "frame":
                jpegs.append(base64.b64decode(message["frame_data"]))
                pcm += base64.b64decode(message["audio_data"])  # 200 ms with every fifth picture
            elif message["type"] == "stream_end":
                break
            elif message["type"] == "error":
                raise VisavisError(message["code"], message["message"])
        else:
            raise VisavisError("CLOSED", f"{shown(url)} has ended the conversation.")
    step = rate // fps * 2
    frames = (
        (simplejpeg.decode_jpeg(jpeg), pcm[k * step : (k + 1) * step].ljust(step, b"\0"))
        for k, jpeg in enumerate(jpegs)
    )
    await asyncio.to_thread(write_video, out, frames, fps, rate)


def shown(url: str) -> str:
    """Without what may be secret."""
    return url.partition("?")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a question and save the answer as a video.")
    parser.add_argument("question")
    parser.add_argument("out", type=Path, help=".mp4, .webm or .gif")
    parser.add_argument("url", nargs="?", default="ws://localhost:8080/")
    given = parser.parse_args()
    try:
        asyncio.run(save(given.question, given.out, given.url))
    except VisavisError as error:
        sys.exit(str(error))
    except ConnectionClosed as closed:
        sys.exit(closed.rcvd.reason if closed.rcvd else "The connection was lost.")
    except (OSError, WebSocketException) as error:
        sys.exit(f"There is no Visavis at {shown(given.url)} ({error}). Start one: visavis")


if __name__ == "__main__":
    main()
