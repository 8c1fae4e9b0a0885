"""Asks a question over the dialect of frames (`WS /`) and saves the answer as a video: .mp4, .webm or .gif.

.venv/bin/python examples/frames_client.py "Tell me a joke." answer.mp4 [ws://localhost:8080/]
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path

import simplejpeg
from websockets.asyncio.client import connect

from visavis.video.files import check, write_video


async def save(question: str, out: Path, url: str = "ws://localhost:8080/") -> None:
    jpegs: list[bytes] = []
    pcm = b""
    async with connect(url, max_size=None) as socket:
        config = json.loads(await socket.recv())["config"]
        fps, rate = config["fps"], config["sample_rate"]
        check(out, fps)
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
                sys.exit(message["message"])
    step = rate // fps * 2
    frames = (
        (simplejpeg.decode_jpeg(jpeg), pcm[k * step : (k + 1) * step].ljust(step, b"\0"))
        for k, jpeg in enumerate(jpegs)
    )
    await asyncio.to_thread(write_video, out, frames, fps, rate)


if __name__ == "__main__":
    asyncio.run(save(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
