"""Asks one question over the widget dialect and saves the answer: sound as WAV, face as JSON.

.venv/bin/python examples/ask.py "Tell me a joke." answer.wav [ws://localhost:8080/ws]

The address may end with ?token=..., for a server that wants one.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import wave
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

Answer = tuple[bytes, list[dict[str, float]]]
"""PCM16 at 24 kHz, and 30 faces a second: 52 weights by name."""


async def ask(question: str, url: str) -> Answer:
    pcm, face = b"", []
    async with connect(url) as socket:
        await socket.send(json.dumps({"type": "text", "data": question, "userId": "me"}))
        async for raw in socket:
            message: dict[str, Any] = json.loads(raw)
            if message["type"] == "sync_frame":
                pcm += base64.b64decode(message["audio"])
                face.append(message["weights"])
            elif message["type"] == "transcript_done":
                print(message["text"])
                return pcm, face
            elif message["type"] == "error":
                sys.exit(message["message"])
    sys.exit(f"{shown(url)} has ended the conversation.")


def save(answer: Answer, out: Path) -> None:
    pcm, face = answer
    with out.open("wb") as file, wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(24_000)
        sound.writeframes(pcm)
    out.with_suffix(".json").write_text(json.dumps({"fps": 30, "frames": face}))


def shown(url: str) -> str:
    """Without what may be secret."""
    return url.partition("?")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask one question and save the answer.")
    parser.add_argument("question")
    parser.add_argument("out", type=Path, help="a .wav; the face goes beside it as .json")
    parser.add_argument("url", nargs="?", default="ws://localhost:8080/ws")
    given = parser.parse_args()
    if given.out.suffix != ".wav" or not given.out.parent.is_dir():
        parser.error(f"{given.out} must be a .wav in a folder that exists")
    try:
        answer = asyncio.run(ask(given.question, given.url))
    except ConnectionClosed as closed:
        sys.exit(closed.rcvd.reason if closed.rcvd else "The connection was lost.")
    except (OSError, WebSocketException) as error:
        sys.exit(f"There is no Visavis at {shown(given.url)} ({error}). Start one: visavis")
    save(answer, given.out)


if __name__ == "__main__":
    main()
