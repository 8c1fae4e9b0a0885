"""The OpenAI Realtime protocol as values: what is sent, in both of its shapes, and the names of its events.

"ga" is the shape of the general availability release (`session.audio.*`, `response.output_audio.delta`),
"beta" the one of the preview, which compatible servers still speak. Source: OpenAI's API reference.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from visavis.agents import Brief
from visavis.settings import OpenAISettings
from visavis.stages import Message

RATE = 24_000
"""Hz of the protocol's PCM16, in both directions."""

Wire = dict[str, Any]
"""A message as it is encoded."""

OF_BETA = {
    "conversation.item.created": "conversation.item.added",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
}
"""Names of events in the beta shape, and what they are called today."""

SETTINGS_ID = "settings"
"""The `event_id` of the message that configures a session; its errors name it."""
QUIET_ID = "quiet"
"""The `event_id` of messages whose failure is no news: what they wanted is so already."""


def configure(settings: OpenAISettings, brief: Brief) -> Wire:
    """The `session.update` that makes a fresh session ours."""
    voice = brief.voice or settings.voice
    session: Wire = {
        "instructions": brief.informed,
        "tools": [{"type": "function", **asdict(tool)} for tool in brief.tools],
        "tool_choice": "auto",
    }
    if settings.protocol == "beta":
        session |= {
            "modalities": ["audio", "text"],
            "voice": voice,
            "speed": settings.voice_speed,
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "input_audio_noise_reduction": _noise_reduction(settings),
            "input_audio_transcription": _transcription(settings),
            "turn_detection": _turn_detection(settings),
        }
    else:
        pcm = {"type": "audio/pcm", "rate": RATE}
        session |= {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": pcm,
                    "noise_reduction": _noise_reduction(settings),
                    "transcription": _transcription(settings),
                    "turn_detection": _turn_detection(settings),
                },
                "output": {
                    "format": pcm,
                    "voice": voice,
                    "speed": settings.voice_speed,
                },
            },
        }
    return {"type": "session.update", "event_id": SETTINGS_ID, "session": session}


def take_turns(settings: OpenAISettings, hands_free: bool) -> Wire:
    """The `session.update` after which the provider notices the end of a turn, or waits to be told."""
    detection = _turn_detection(settings) if hands_free else None
    session: Wire = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    if settings.protocol == "beta":
        session = {"turn_detection": detection}
    return {"type": "session.update", "event_id": SETTINGS_ID, "session": session}


def say(message: Message, protocol: Literal["ga", "beta"]) -> Wire:
    """A message of the conversation, put at its end."""
    model = "output_text" if protocol == "ga" else "text"
    kind = model if message.role == "assistant" else "input_text"
    content = [{"type": kind, "text": message.text}]
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": message.role, "content": content},
    }


def answer_call(call_id: str, output: str) -> Wire:
    """What a function that the model called has returned."""
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {"type": "conversation.item.create", "item": item}


def cut(item: str, milliseconds: int) -> Wire:
    """Forget all of an item of the model but its beginning; all of it at 0, where a truncation is refused."""
    if milliseconds <= 0:
        return {"type": "conversation.item.delete", "event_id": QUIET_ID, "item_id": item}
    return {
        "type": "conversation.item.truncate",
        "event_id": QUIET_ID,
        "item_id": item,
        "content_index": 0,
        "audio_end_ms": milliseconds,
    }


def _noise_reduction(settings: OpenAISettings) -> Wire | None:
    return None if settings.noise_reduction == "none" else {"type": settings.noise_reduction}


def _transcription(settings: OpenAISettings) -> Wire | None:
    if settings.transcription_model == "none":
        return None
    given = {
        "model": settings.transcription_model,
        "language": settings.transcription_language,
        "prompt": settings.transcription_prompt,
    }
    return {key: value for key, value in given.items() if value}


def _turn_detection(settings: OpenAISettings) -> Wire | None:
    common = {"create_response": True, "interrupt_response": settings.vad_interrupt_response}
    match settings.vad_type:
        case "none":
            return None
        case "semantic_vad":
            return {"type": "semantic_vad", "eagerness": settings.vad_eagerness, **common}
        case "server_vad":
            idle = settings.vad_idle_timeout_ms
            return {
                "type": "server_vad",
                "threshold": settings.vad_threshold,
                "prefix_padding_ms": settings.vad_prefix_padding_ms,
                "silence_duration_ms": settings.vad_silence_duration_ms,
                **common,
                **({} if idle is None else {"idle_timeout_ms": idle}),
            }
