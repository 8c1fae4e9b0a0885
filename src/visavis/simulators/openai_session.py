"""One session of the simulated OpenAI Realtime server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
import pybase64
from websockets.asyncio.server import ServerConnection

from visavis.audio import BYTES
from visavis.simulators.calls import SAYS, wanted
from visavis.simulators.ears import Ears
from visavis.simulators.openai_items import Item, Items
from visavis.simulators.voice import RATE

if TYPE_CHECKING:
    from visavis.simulators.openai import OpenAISimulator

TO_BETA = {
    "conversation.item.added": "conversation.item.created",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
"""Events of the "ga" shape as the "beta" shape calls them."""
NOT_IN_BETA = frozenset(("conversation.item.done",))
SHORTEST = 0.1
"""Seconds of sound that can be committed."""

Wire = dict[str, Any]


class SimulatedSession:
    """What one client has configured, said and been told."""

    def __init__(self, simulator: OpenAISimulator, socket: ServerConnection) -> None:
        self.settings: Wire = {}
        """As the client configured it, in the names of `session.audio`."""
        self.items = Items()
        self.received: list[Wire] = []
        """Every message of the client but its sound."""
        self.asked: list[list[tuple[str, str]]] = []
        """The conversation that the model was shown for each response, as role and text."""
        self.errors: list[str] = []
        """What the client did wrong."""
        self.audio = 0
        """Bytes of the user's sound."""
        self.over = False
        self._simulator, self._socket = simulator, socket
        self._how = simulator.behaviour
        self._beta = self._how.protocol == "beta"
        self._ears: Ears | None = Ears(RATE)
        self._buffered = 0
        self._item = ""
        """The item of the utterance that is being heard."""
        self._response: asyncio.Task[None] | None = None
        self._response_id = ""
        self._reason = ""
        self._silent = False

    # -- the connection ----------------------------------------------------------------------------------
    async def run(self) -> None:
        """Answer until the client leaves; raises `ConnectionClosed`."""
        shown = {"id": self._simulator.id("sess"), "object": "realtime.session", "model": self._how.model}
        await self.send("session.created", session=shown)
        async for message in self._socket:
            event = orjson.loads(message)
            if event["type"] != "input_audio_buffer.append":
                self.received.append(event)
            await self._take(event)
            self._simulator.changed()

    async def stop(self) -> None:
        """End what is being said."""
        self.over = True
        if self._response is not None:
            self._response.cancel()
            await asyncio.gather(self._response, return_exceptions=True)

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event by its "ga" name, then let go wrong what is to go wrong after it."""
        if self._silent or (self._beta and kind in NOT_IN_BETA):
            return
        name = TO_BETA.get(kind, kind) if self._beta else kind
        event = {"type": name, "event_id": self._simulator.id("event"), **fields}
        await self._socket.send(orjson.dumps(event).decode())
        self._simulator.changed()
        match self._simulator.wrong(kind):
            case "close":
                await self._socket.close(1011, "keepalive ping timeout")
            case "abort":
                self._socket.transport.abort()
            case "hang":
                self._silent = True
            case "malformed":
                await self._socket.send("{not json")
            case "expire":
                await self.complain("Your session hit the maximum duration of 60 minutes.", "session_expired")
                await self._socket.close(1001, "")
            case "error":
                self._reason = "server_error"
            case "quota":
                self._reason = "insufficient_quota"
            case "rate_limit":
                self._reason = "rate_limit_exceeded"

    async def complain(self, message: str, code: str, event_id: str | None = None) -> None:
        """Send an `error` event."""
        self.errors.append(message)
        error = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event_id}
        await self.send("error", error=error)

    # -- what the client says ----------------------------------------------------------------------------
    async def _take(self, event: Wire) -> None:
        id = event.get("event_id")
        match event["type"]:
            case "session.update":
                await self._configure(event["session"], id)
            case "input_audio_buffer.append":
                await self._hear(pybase64.b64decode(event["audio"], validate=True))
            case "input_audio_buffer.clear":
                self._buffered = 0
                await self.send("input_audio_buffer.cleared")
            case "input_audio_buffer.commit":
                if self._buffered < SHORTEST * RATE * BYTES:
                    await self.complain("The buffer is too small.", "input_audio_buffer_commit_empty", id)
                else:
                    await self._commit(self._simulator.id("item"))
            case "conversation.item.create":
                await self._create(event["item"])
            case "conversation.item.truncate":
                await self._truncate(event)
            case "conversation.item.delete":
                if self.items.delete(event["item_id"]):
                    await self.send("conversation.item.deleted", item_id=event["item_id"])
                else:
                    await self.complain("There is no such item.", "item_delete_invalid_item_id", id)
            case "response.create":
                await self._respond(id)
            case "response.cancel":
                if self._response is None:
                    await self.complain("There is no response.", "response_cancel_not_active", id)
                else:
                    await self._interrupt("client_cancelled")
            case kind:
                await self.complain(f"Invalid value: {kind!r}.", "invalid_value", id)

    async def _configure(self, session: Wire, id: str | None) -> None:
        flat, nested = "modalities" in session or "turn_detection" in session, "audio" in session
        if self._beta and nested:
            await self.complain("Unknown parameter: 'session.audio'.", "unknown_parameter", id)
            return
        if not self._beta and (flat or session.get("type") != "realtime"):
            await self.complain(
                "Missing required parameter: 'session.type'.", "missing_required_parameter", id
            )
            return
        self.settings = self.settings | (_flat(session) if nested else session)  # the rest stays as it is
        detection = self.settings.get("turn_detection")
        silence = detection.get("silence_duration_ms", 500) / 1000 if detection else 0.0
        self._ears = Ears(RATE, silence) if detection else None
        await self.send("session.updated", session=session)

    async def _create(self, item: Wire) -> None:
        if item["type"] == "message":
            part = item["content"][0]
            expected = "input_text"
            if item["role"] == "assistant":
                expected = "text" if self._beta else "output_text"
            if part["type"] != expected:
                await self.complain(f"Invalid value: {part['type']!r}.", "invalid_value")
                return
            made = self.items.new("message", item["role"], part["text"], id=self._simulator.id("item"))
        else:
            made = self.items.new(item["type"], id=self._simulator.id("item"))
            made.call = {key: value for key, value in item.items() if key != "type"}
        await self._tell(made)

    async def _truncate(self, event: Wire) -> None:
        why = self.items.truncate(event["item_id"], event["audio_end_ms"])
        if why:
            await self.complain(why, "invalid_value", event.get("event_id"))
        else:
            told = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
            await self.send("conversation.item.truncated", **told)

    async def _tell(self, item: Item) -> None:
        shown = item.wire(self._beta)
        await self.send("conversation.item.added", item=shown, previous_item_id=None)
        await self.send("conversation.item.done", item=shown, previous_item_id=None)

    # -- listening -----------------------------------------------------------------------------------------
    async def _hear(self, pcm: bytes) -> None:
        self.audio += len(pcm)
        self._buffered += len(pcm)
        if self._ears is None:
            return
        detection = self.settings.get("turn_detection") or {}
        at = self.audio * 1000 // (RATE * BYTES)
        for change in self._ears.hear(pcm):
            if change == "start":
                self._item = self._simulator.id("item")
                start = {"audio_start_ms": at, "item_id": self._item}
                await self.send("input_audio_buffer.speech_started", **start)
                if self._response is not None and detection.get("interrupt_response", True):
                    await self._interrupt("turn_detected")
            else:
                end = {"audio_end_ms": at, "item_id": self._item}
                await self.send("input_audio_buffer.speech_stopped", **end)
                await self._commit(self._item)
                if detection.get("create_response", True):
                    await self._respond(None)

    async def _commit(self, id: str) -> None:
        """The sound so far is what the user said."""
        self._buffered = 0
        if self._ears is not None:
            self._ears.stop()
        await self.send("input_audio_buffer.committed", item_id=id, previous_item_id=None)
        item = self.items.new("message", "user", self._how.hears, id=id)
        await self._tell(item)
        if not self._how.late_transcript:
            await self._transcribe(item)

    async def _transcribe(self, item: Item) -> None:
        if not (self.settings.get("transcription") or self.settings.get("input_audio_transcription")):
            return
        prefix = "conversation.item.input_audio_transcription"
        part = {"item_id": item.id, "content_index": 0}
        first, space, rest = item.text.partition(" ")
        for piece in (first + space, rest):
            await self.send(f"{prefix}.delta", delta=piece, **part)
        await self.send(f"{prefix}.completed", transcript=item.text, **part)

    # -- answering -----------------------------------------------------------------------------------------
    async def _respond(self, id: str | None) -> None:
        if self._response is not None:
            message = f"Conversation already has an active response in progress: {self._response_id}."
            await self.complain(message, "conversation_already_has_active_response", id)
            return
        self._response_id, self._reason = self._simulator.id("resp"), ""
        self._response = asyncio.create_task(self._answer(self._response_id), name="simulated response")
        self._response.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _interrupt(self, reason: str) -> None:
        response, self._response = self._response, None
        assert response is not None
        response.cancel()
        await asyncio.gather(response, return_exceptions=True)
        await self._done(self._response_id, "cancelled", {"type": "cancelled", "reason": reason})

    async def _done(self, id: str, status: str, details: Wire | None = None) -> None:
        made = [item.wire(self._beta) for item in self.items.of(id)]
        response = {"id": id, "object": "realtime.response", "status": status, "output": made}
        await self.send("response.done", response={**response, "status_details": details})
        limit = {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 0.06}
        await self.send("rate_limits.updated", rate_limits=[limit])

    async def _answer(self, id: str) -> None:
        self.asked.append(self.items.context())
        await self.send("response.created", response={"id": id, "status": "in_progress", "output": []})
        await asyncio.sleep(self._how.delay)
        user = self.items.last_of_user()
        said = user.text if user is not None else ""
        if (call := self._wanted(said)) is not None:
            await self._call(id, *call)
        elif not self._reason:
            returned = self.items.returned()
            await self._speak(
                id, self._how.answers.format(said) if returned is None else SAYS.format(returned)
            )
        self._response = None
        if self._reason:
            error = {"type": self._reason, "code": self._reason, "message": "Simulated failure."}
            await self._done(id, "failed", {"type": "failed", "error": error})
        else:
            await self._done(id, "completed")
        if self._how.late_transcript and user is not None:
            await self._transcribe(user)

    def _wanted(self, text: str) -> tuple[str, str] | None:
        """The function that is to be called now, and its arguments."""
        if self.items.returned() is not None:
            return None
        return wanted(text, (tool["name"] for tool in self.settings.get("tools") or ()))

    async def _call(self, id: str, name: str, arguments: str) -> None:
        item = self.items.new("function_call", id=self._simulator.id("item"), response=id)
        item.call = {"name": name, "call_id": self._simulator.id("call"), "arguments": arguments}
        part = {"response_id": id, "output_index": 0, "item_id": item.id}
        await self._begin(item, id)
        shown = {"call_id": item.call["call_id"], **part}
        await self.send("response.function_call_arguments.delta", delta=arguments, **shown)
        await self.send("response.function_call_arguments.done", arguments=arguments, name=name, **shown)
        await self._finish(item, id)

    async def _begin(self, item: Item, id: str) -> None:
        shown = item.wire(self._beta, "in_progress")
        await self.send("response.output_item.added", response_id=id, output_index=0, item=shown)
        await self.send("conversation.item.added", item=shown, previous_item_id=None)

    async def _finish(self, item: Item, id: str) -> None:
        shown = item.wire(self._beta)
        await self.send("response.output_item.done", response_id=id, output_index=0, item=shown)
        await self.send("conversation.item.done", item=shown, previous_item_id=None)

    async def _speak(self, id: str, text: str) -> None:
        pcm, words = await asyncio.to_thread(self._simulator.voice.say, text)
        item = self.items.new("message", "assistant", id=self._simulator.id("item"), response=id)
        item.words = words
        part = {"response_id": id, "output_index": 0, "item_id": item.id, "content_index": 0}
        await self._begin(item, id)
        kind: Mapping[str, Any] = {"type": "audio", "transcript": ""}
        await self.send("response.content_part.added", part=kind, **part)
        clock = asyncio.get_running_loop().time
        begin, told = clock(), 0
        size = self._how.chunk_ms * RATE // 1000 * BYTES or len(pcm)
        for start in range(0, len(pcm), size):
            await asyncio.sleep(max(0.0, begin + start / BYTES / RATE / self._how.speed - clock()))
            piece = pcm[start : start + size]
            seconds = (start + len(piece)) / BYTES / RATE
            while told < len(words) and words[told].start <= seconds + self._how.text_ahead:
                delta = words[told].text if told == 0 else " " + words[told].text
                await self.send("response.output_audio_transcript.delta", delta=delta, **part)
                told += 1
            item.samples += len(piece) // BYTES
            sound = pybase64.b64encode_as_string(piece)
            await self.send("response.output_audio.delta", delta=sound, **part)
            if self._reason:
                return
        await self.send("response.output_audio.done", **part)
        await self.send("response.output_audio_transcript.done", transcript=text, **part)
        await self.send("response.content_part.done", part={**kind, "transcript": text}, **part)
        await self._finish(item, id)


def _flat(session: Wire) -> Wire:
    """A session of the "ga" shape with the settings of its `audio` beside the others."""
    audio = session["audio"]
    return {**session, **audio.get("input", {}), **audio.get("output", {})}
