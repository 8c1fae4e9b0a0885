"""The dialect of frames, `WS /`: whole utterances or text in; 25 pictures a second and 200 ms of 16 kHz sound
with every fifth of them out. Source: docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import orjson
import pybase64

from visavis import events as ev
from visavis.audio import BYTES, Media
from visavis.wires import BadMessage, cited
from visavis.wires.reading import as_base64, as_field, as_object

MEDIA = Media(rate=16_000, fps=25)
CHUNK = 5
"""Frames whose sound comes with the first of them."""
LONGEST_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class Recording:
    """One complete utterance: WAV, WebM, ..., or PCM16 at 16 kHz."""

    content: bytes


@dataclass
class _Stream:
    id: str
    sent: int = 0
    pcm: bytearray = field(default_factory=bytearray)
    jpegs: list[bytes] = field(default_factory=list)
    sources: Sequence[ev.Source] = ()


class FramesWire:
    """The codec of one connection. Frames wait until the sound of `CHUNK` of them is there."""

    def __init__(self, session_id: str, width: int, height: int) -> None:
        self.session_id, self._size = session_id, (width, height)
        self._stream: _Stream | None = None
        self._last = b""

    # -- client -> server ----------------------------------------------------------------------------
    def decode(self, message: str | bytes) -> ev.FromClient | Recording:
        if isinstance(message, bytes):
            raise BadMessage("BAD_MESSAGE", "Send text messages; sound goes into audio_input as base64.")
        data = as_object(message)
        match data.get("type"):
            case "text_input":
                text = as_field(data, "text", str).strip()
                if not text:
                    raise BadMessage("BAD_FIELD", '"text" is empty: there is nothing to say.')
                if len(text) > LONGEST_TEXT:
                    limit = f"A message may have at most {LONGEST_TEXT} characters."
                    raise BadMessage("TEXT_TOO_LONG", limit)
                return ev.UserText(text)
            case "audio_input":
                return Recording(as_base64(as_field(data, "audio", str), "audio"))
            case "interrupt":
                return ev.Interrupt()
            case "ping":
                return ev.Ping()
            case str(kind):
                raise BadMessage("UNKNOWN_TYPE", f"Unknown message type {kind[:40]!r}.")
            case _:
                raise BadMessage("BAD_MESSAGE", 'Every message needs a "type" that is a string.')

    # -- server -> client ----------------------------------------------------------------------------
    def connected(self, seconds: float, *, recorded: bool = False) -> str:
        """The first message; `seconds` of wall-clock time, here and below."""
        config: dict[str, Any] = {
            "fps": MEDIA.fps,
            "width": self._size[0],
            "height": self._size[1],
            "sample_rate": MEDIA.rate,
            "audio_chunk_ms": CHUNK * 1000 // MEDIA.fps,
        } | ({"recorded": True} if recorded else {})
        return _json("connection_established", seconds, session_id=self.session_id, config=config)

    def encode(self, event: ev.ToClient, seconds: float, jpegs: Sequence[bytes] = ()) -> Sequence[str]:
        """`jpegs` are the pictures of `Frames`; one that could not be drawn is the last one again."""
        match event:
            case ev.TurnStarted(turn, text):
                id = str(uuid5(UUID(self.session_id), str(turn)))
                self._stream = _Stream(id)
                named = {"sequence_id": id, "session_id": self.session_id, "text": text}
                return [_json("stream_start", seconds, **named)]
            case ev.TurnSources(_, sources) if (stream := self._stream) is not None:
                stream.sources = sources
            case ev.Frames(pcm=pcm, weights=weights) if (stream := self._stream) is not None:
                stream.pcm += pcm
                for k in range(len(weights)):
                    self._last = jpegs[k] if k < len(jpegs) else self._last
                    stream.jpegs.append(self._last)
                return self._chunks(stream, seconds, whole=True)
            case ev.AudioEnded() if (stream := self._stream) is not None:
                return self._chunks(stream, seconds, whole=False)
            case ev.TurnEnded(_, _, interrupted) if (stream := self._stream) is not None:
                self._stream = None
                done = {"total_frames": stream.sent, "interrupted": interrupted, **cited(stream.sources)}
                return [_json("stream_end", seconds, sequence_id=stream.id, **done)]
            case ev.Problem(code, text):
                return [_json("error", seconds, code=code, message=text)]
            case ev.Pong():
                return [_json("pong", seconds)]
        return []

    def _chunks(self, stream: _Stream, seconds: float, *, whole: bool) -> list[str]:
        """The frames whose sound is complete, or (not `whole`) all of them."""
        messages = []
        while len(stream.jpegs) >= (CHUNK if whole else 1):
            jpegs, stream.jpegs = stream.jpegs[:CHUNK], stream.jpegs[CHUNK:]
            length = (MEDIA.edge(stream.sent + CHUNK) - MEDIA.edge(stream.sent)) * BYTES
            sound = bytes(stream.pcm[:length])
            del stream.pcm[:length]
            for k, jpeg in enumerate(jpegs):
                frame = {
                    "sequence_id": stream.id,
                    "frame_index": stream.sent + k,
                    "frame_data": pybase64.b64encode_as_string(jpeg),
                    "audio_data": "" if k else pybase64.b64encode_as_string(sound),
                }
                messages.append(_json("frame", seconds, **frame))
            stream.sent += len(jpegs)
        return messages


def _json(type: str, seconds: float, **fields: Any) -> str:
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return orjson.dumps({"type": type, **fields, "timestamp": stamp.replace("+00:00", "Z")}).decode()
