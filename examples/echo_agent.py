"""A complete remote agent: it sends back what it is told, and plays back what it hears.

python examples/echo_agent.py
AGENT_TYPE=remote AGENT_URL=ws://localhost:9000 visavis serve --open
"""

from __future__ import annotations

import asyncio
import json
from array import array
from math import sin, tau

from websockets.asyncio.server import ServerConnection, serve

PORT, RATE = 9000, 16_000


def tone(seconds: float) -> bytes:
    """A soft hum as PCM16: put your text-to-speech here."""
    return array("h", (int(6000 * sin(tau * 180 * n / RATE)) for n in range(int(seconds * RATE)))).tobytes()


async def reply(visavis: ServerConnection, name: str, words: str, sound: bytes) -> None:
    async def send(type: str, **fields: object) -> None:
        await visavis.send(json.dumps({"type": type, "response_id": name, **fields}))

    await send("response_start")
    await send("transcript_delta", role="assistant", delta=words)
    await visavis.send(sound)  # pieces of any size, as fast as they come: Visavis keeps the time
    await send("response_end")


async def talk(visavis: ServerConnection) -> None:
    """One conversation."""
    await visavis.send(json.dumps({"type": "hello", "input_rate": RATE, "output_rate": RATE, "binary": True}))
    heard, count = bytearray(), 0
    async for message in visavis:
        if isinstance(message, bytes):
            heard = (heard + message)[-30 * RATE * 2 :]  # the microphone
            continue
        event, count = json.loads(message), count + 1
        if event["type"] == "text":
            await reply(visavis, str(count), event["data"], tone(0.07 * len(event["data"])))
        elif event["type"] == "mic_off":  # the utterance is complete
            await visavis.send(json.dumps({"type": "user_transcript", "transcript": "(your voice)"}))
            await reply(visavis, str(count), "This is you.", bytes(heard))
            heard.clear()


async def main() -> None:
    await (await serve(talk, "localhost", PORT)).serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OSError as error:
        raise SystemExit(f"Cannot listen on port {PORT}: {error}; change PORT and AGENT_URL") from None
