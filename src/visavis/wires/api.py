"""The api dialect's WebSocket, `WS /api/v1/sessions/{id}/ws`: PCM16 or MediaRecorder's WebM in, pictures or
weights and sound out. Source: docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import orjson
import pybase64

from visavis import events as ev
from visavis.arkit import NAMES
from visavis.audio import BYTES, Media
from visavis.wires import BadMessage, Message, cited
from visavis.wires.reading import as_action_done, as_base64, as_field, as_object

Output = Literal["video", "weights", "both"]
LONGEST_TEXT = 4_000
"""Characters of a message."""


class ApiWire:
    """The codec of one connection."""

    def __init__(self, session_id: str, media: Media, output: Output = "video") -> None:
        self.session_id, self.media, self.output = session_id, media, output
        self._said: dict[int, list[str]] = {}
        self._sources: dict[int, Sequence[ev.Source]] = {}

    # -- client -> server ----------------------------------------------------------------------------
    def decode(self, message: Message) -> list[ev.FromClient]:
        if isinstance(message, bytes):
            return [ev.UserAudio(message)]
        data = as_object(message)
        named = data.get("session_id")
        if named is not None and named != self.session_id:
            raise BadMessage("WRONG_SESSION", '"session_id" is not the session of this connection.')
        match data.get("type"):
            case "audio_chunk":
                return [ev.UserAudio(as_base64(as_field(data, "data", str)))]
            case "text_message":
                text = as_field(data, "data", str).strip()
                if not text:
                    raise BadMessage("BAD_FIELD", '"data" is empty: there is nothing to say.')
                if len(text) > LONGEST_TEXT:
                    raise BadMessage(
                        "TEXT_TOO_LONG", f"A message may have at most {LONGEST_TEXT} characters."
                    )
                return [ev.UserText(text, echo=True)]
            case "start_audio":
                hands_free = data.get("hands_free", True)
                if not isinstance(hands_free, bool):
                    raise BadMessage("BAD_FIELD", '"hands_free" must be true or false.')
                return [ev.MicOn(hands_free=hands_free)]
            case "end_audio":
                return [ev.MicOff()]
            case "interrupt":
                return [ev.Interrupt()]
            case "ping":
                return [ev.Ping()]
            case "action_result":
                return [as_action_done(data, "call_id")]
            case str(kind):
                raise BadMessage("UNKNOWN_TYPE", f"Unknown message type {kind[:40]!r}.")
            case _:
                raise BadMessage("BAD_MESSAGE", 'Every message needs a "type" that is a string.')

    # -- server -> client ----------------------------------------------------------------------------
    def encode(self, event: ev.ToClient, timestamp: int, jpegs: Sequence[bytes] = ()) -> Sequence[Message]:
        """`jpegs` are the pictures of `Frames`, when this connection shows some."""
        match event:
            case ev.Frames():
                return self._frames(event, jpegs, timestamp)
            case ev.StateChanged(state):
                return [self._json("state", timestamp, state=state)]
            case ev.WordSpoken(turn, word):
                words = self._said.setdefault(turn, [])
                words.append(word.text)
                return [self._text(turn, " ".join(words), timestamp, final=False)]
            case ev.TurnSources(turn, sources):
                self._sources[turn] = sources
            case ev.TurnEnded(turn, text, interrupted, heard):
                self._said.pop(turn, None)
                done = self._text(turn, text, timestamp, self._sources.pop(turn, ()), final=True)
                if not interrupted:
                    return [done]
                cut = {"turn_id": turn_id(turn), "offset_ms": round(heard * 1000)}
                return [self._json("interrupted", timestamp, **cut), done]
            case ev.UserTurn(_, text):
                return [self._json("transcript", timestamp, data=text, is_final=True)]
            case ev.UserPartial(text):
                return [self._json("transcript", timestamp, data=text, is_final=False)]
            case ev.Action(name, arguments, call):
                told = {"call_id": call} if call else {}
                return [self._json("action", timestamp, name=name, arguments=arguments, **told)]
            case ev.Problem(code, text):
                return [self._json("error", timestamp, message=text, code=code)]
            case ev.Pong():
                return [self._json("pong", timestamp)]
        return []

    def _frames(self, event: ev.Frames, jpegs: Sequence[bytes], timestamp: int) -> Sequence[Message]:
        """For each frame what is seen, then what is heard in the same moment."""
        edges = [self.media.edge(event.first + k) * BYTES for k in range(len(event.weights) + 1)]
        messages: list[Message] = []
        for k, (begin, end) in enumerate(pairwise(edge - edges[0] for edge in edges)):
            frame = {"frame_id": event.first + k, "turn_id": turn_id(event.turn)}
            seen: dict[str, Any] = {}
            if k < len(jpegs):
                seen["data"] = pybase64.b64encode_as_string(jpegs[k])
            if self.output != "video":
                seen["weights"] = weights_of(event, k)
            if seen:
                messages.append(self._json("avatar_frame", timestamp, **seen, **frame))
            sound = {
                "data": pybase64.b64encode_as_string(event.pcm[begin:end]),
                "sample_rate": self.media.rate,
            }
            messages.append(self._json("audio_response", timestamp, **sound, **frame))
        return messages

    def _text(
        self, turn: int, text: str, timestamp: int, sources: Sequence[ev.Source] = (), *, final: bool
    ) -> Message:
        said = {"data": text, "is_final": final, "turn_id": turn_id(turn)}
        return self._json("text_response", timestamp, **said, **cited(sources))

    def _json(self, type: str, timestamp: int, **fields: Any) -> str:
        message = {"type": type, **fields, "session_id": self.session_id, "timestamp": timestamp}
        return orjson.dumps(message).decode()


def weights_of(event: ev.Frames, k: int) -> dict[str, float]:
    """The weights of one frame by name, to three digits."""
    return {name: round(float(value), 3) for name, value in zip(NAMES, event.weights[k], strict=True)}


def turn_id(turn: int) -> str:
    return f"turn_{turn}"
