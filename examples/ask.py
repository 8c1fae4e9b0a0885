"""Asks one question over the widget dialect and saves the answer: sound as WAV, face as JSON.

.venv/bin/python examples/ask.py "Tell me a joke." answer.wav
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import wave
from pathlib import Path

from websockets.asyncio.client import connect


async def ask(question: str, out: Path, url: str = "ws://localhost:8080/ws") -> None:
    pcm, face = b"", []
    async with connect(url) as socket:
        await socket.send(json.dumps({"type": "text", "data": question, "userId": "me"}))
        async for raw in socket:
            message = json.loads(raw)
            if message["type"] == "sync_frame":
                pcm += base64.b64decode(message["audio"])
                face.append(message["weights"])
            elif message["type"] == "transcript_done":
                print(message["text"])
                break
            elif message["type"] == "error":
                sys.exit(message["message"])
    with wave.open(str(out), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(24_000)
        sound.writeframes(pcm)
    out.with_suffix(".json").write_text(json.dumps({"fps": 30, "frames": face}))


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], Path(sys.argv[2])))
