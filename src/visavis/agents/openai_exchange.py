"""One connection to an OpenAI Realtime session: what was asked, what is being answered, what was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import pybase64
import structlog
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from visavis import events as ev
from visavis.agents.openai_errors import Errors
from visavis.agents.openai_parts import Response
from visavis.agents.openai_protocol import OF_BETA, QUIET_ID, RATE, SETTINGS_ID, Wire, answer_call, cut
from visavis.agents.transcript import Transcript
from visavis.agents.upstream import Refused
from visavis.audio import BYTES
from visavis.errors import VisavisError
from visavis.settings import OpenAISettings
from visavis.tools.toolbox import parsed

PIECE = RATE // 4 * BYTES
"""Bytes of a reply handed on at once (0.25 s), however large the pieces are that the provider sends."""
REMEMBERED = 4
"""Responses that may still be cut off."""
_PASSING = frozenset(
    (
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
    )
)
"""Errors that say that what we wanted is so already."""
_log = structlog.get_logger()

Emit = Callable[[ev.FromAgent], Awaitable[None]]


class Exchange:
    """What both sides have said over one connection; `take` turns the provider's events into ours."""

    def __init__(
        self,
        connection: AsyncRealtimeConnection,
        settings: OpenAISettings,
        errors: Errors,
        transcript: Transcript,
        emit: Emit,
    ) -> None:
        self.connection = connection
        self.over = False
        """Nothing will come any more."""
        self.active: Response | None = None
        """The response that the provider is making."""
        self.speaking = False
        """The user, as the provider notices it."""
        self._settings, self._errors, self._transcript, self._emit = settings, errors, transcript, emit
        self._responses: dict[str, Response] = {}
        self._calls: dict[str, Response] = {}
        """The functions that have not returned, and which response called them."""
        self._awaited = False
        """A response was asked for and has not begun."""
        self._unwanted = False
        """The awaited response is to be cancelled when it begins."""
        self._ask_again = False
        """A response is to be asked for when the active one is over."""
        self._by_hand = 0
        """Commits of ours that are not confirmed."""
        self._question = ""
        """The item of the user's speech that the awaited response answers."""
        self._partials: dict[str, str] = {}
        self._spoke: tuple[float, float] | None = None
        """When the user's voice ended, and when the provider noticed."""
        self._sent = 0
        """Samples of the microphone."""

    @property
    def waiting(self) -> bool:
        """Does the provider owe something?"""
        return self._awaited or self.active is not None or self._ask_again

    @property
    def calling(self) -> bool:
        """Does the provider wait for functions that it called, to go on?"""
        return any(not response.cancelled for response in self._calls.values())

    # -- to the provider ---------------------------------------------------------------------------------
    async def put(self, message: Wire) -> None:
        """Send; raises `ConnectionClosed`."""
        await self.connection.send_raw(orjson.dumps(message).decode())

    async def listen(self, pcm: bytes | bytearray) -> None:
        """The next sound of the microphone."""
        if pcm:
            self._sent += len(pcm) // BYTES
            audio = pybase64.b64encode_as_string(pcm)
            await self.put({"type": "input_audio_buffer.append", "audio": audio})

    async def commit(self) -> None:
        """What was heard is complete, and to be answered."""
        self._by_hand += 1
        await self.put({"type": "input_audio_buffer.commit", "event_id": QUIET_ID})
        await self.ask()

    async def ask(self) -> None:
        """Have the conversation answered; there is only one response at a time."""
        if self.active is not None or self._awaited:
            self._ask_again = True
            return
        self._awaited, self._unwanted = True, False
        await self.put({"type": "response.create"})

    async def drop(self) -> None:
        """Whatever is being prepared is not wanted any more."""
        self._ask_again, self._question = False, ""
        self._unwanted = self._awaited
        for response in self._calls.values():
            response.cancelled = True  # what it wanted to know is still told, but nothing more asked
        if self.active is not None and not self.active.started:
            await self._stop(self.active)

    async def cut(self, reply: str, heard: float) -> bool:
        """Only `heard` seconds of a reply were heard; False when it is not of this connection."""
        response = self._responses.get(reply)
        if response is None:
            return False
        response.heard = min(round(heard * RATE), response.received)
        await self._stop(response)
        await self._settle(response)
        return True

    async def _stop(self, response: Response) -> None:
        response.cancelled = True
        if response.heard is None:
            response.heard = 0
        if not response.done:
            stop = {"type": "response.cancel", "event_id": QUIET_ID, "response_id": response.id}
            await self.put(stop)

    async def _settle(self, response: Response) -> None:
        """Tell the provider how much of each item was heard; once for each."""
        for item, milliseconds in list(response.cuts()):
            if item not in response.settled:
                response.settled.add(item)
                await self.put(cut(item, milliseconds))

    # -- from the provider -------------------------------------------------------------------------------
    async def take(self, event: Mapping[str, Any]) -> None:
        """Act on one event; raises `VisavisError` when the connection is of no use any more."""
        kind = OF_BETA.get(event["type"], event["type"])
        match kind:
            case "response.output_audio.delta":
                await self._audio(event)
            case "response.output_audio_transcript.delta":
                await self._text(event)
            case "response.created":
                await self._begin(_text(event["response"]["id"]))
            case "response.output_item.added":
                if event["item"].get("type") == "message" and (response := self._of(event)) is not None:
                    response.items.setdefault(event["item"]["id"], 0)
            case "response.output_item.done":
                await self._item(event)
            case "response.done":
                await self._end(event["response"])
            case "input_audio_buffer.speech_started":
                self.speaking = True
                # With a commit of ours under way this is the very speech that we want answered.
                if self._settings.vad_interrupt_response and not self._by_hand:
                    await self._emit(ev.UserInterrupts())
            case "input_audio_buffer.speech_stopped":
                self.speaking = False
                self._spoke = self._end_of_speech(event.get("audio_end_ms"))
            case "input_audio_buffer.committed":
                self._committed(event["item_id"])
            case "conversation.item.input_audio_transcription.delta":
                item = event["item_id"]
                self._partials[item] = self._partials.get(item, "") + _text(event.get("delta", ""))
                await self._emit(ev.UserPartial(self._partials[item].strip()))
            case "conversation.item.input_audio_transcription.completed":
                await self._understood(event["item_id"], event.get("transcript", ""))
            case "conversation.item.input_audio_transcription.failed":
                self._partials.pop(event["item_id"], None)
                _log.warning("OpenAI could not write down what was said", cause=event.get("error"))
            case "error":
                await self._complain(event["error"])

    def _of(self, event: Mapping[str, Any]) -> Response | None:
        return self._responses.get(event["response_id"])

    # -- the user, as the provider hears them ------------------------------------------------------------
    def _end_of_speech(self, milliseconds: object) -> tuple[float, float]:
        """When the voice ended, from its position in the microphone's sound, whose last sample is now."""
        now = asyncio.get_running_loop().time()
        if not isinstance(milliseconds, int | float):
            return now, now
        silence = self._settings.vad_silence_duration_ms if self._settings.vad_type == "server_vad" else 0
        ago = self._sent / RATE - (milliseconds - silence) / 1000
        return now - max(0.0, ago), now

    def _committed(self, item: str) -> None:
        self._question, self.speaking = item, False
        if self._by_hand:
            self._by_hand -= 1
        elif self.active is not None and not self._settings.vad_interrupt_response:
            self._ask_again = True  # the provider makes one response at a time
        else:
            self._awaited, self._unwanted = True, False  # the provider answers by itself

    async def _understood(self, item: str, text: str) -> None:
        self._partials.pop(item, None)
        if not (text := text.strip()):
            return
        answer = next((one for one in self._responses.values() if one.question == item), None)
        begun = answer is not None and (answer.started or answer.cancelled or answer.done)
        self._transcript.user(text, before=answer.id if answer is not None else "")
        coming = item == self._question or (answer is not None and not begun)
        await self._emit(ev.UserSaid(text, answered=not coming))

    # -- the reply ---------------------------------------------------------------------------------------
    async def _begin(self, id: str) -> None:
        response = Response(id, self._question)
        self._responses[id] = self.active = response
        while len(self._responses) > REMEMBERED:
            del self._responses[next(iter(self._responses))]
        unwanted, self._unwanted, self._awaited, self._question = self._unwanted, False, False, ""
        if unwanted:
            await self._stop(response)
        elif self._spoke is not None:
            ended, noticed = self._spoke
            await self._emit(ev.Milestone(id, "speech_end", ended))
            await self._emit(ev.Milestone(id, "end_of_turn", noticed))
        self._spoke = None

    async def _text(self, event: Mapping[str, Any]) -> None:
        response = self._of(event)
        if response is None or response.cancelled:
            return
        text = _text(event["delta"])
        if not response.text:
            response.text = True
            await self._start(response, "first_token")
        self._transcript.said(response.id, text)
        await self._emit(ev.ReplyText(response.id, text))

    async def _audio(self, event: Mapping[str, Any]) -> None:
        response = self._of(event)
        if response is None or response.cancelled:
            return
        pcm = response.take(event["item_id"], pybase64.b64decode(event["delta"], validate=True))
        if not response.sound:
            response.sound = True
            await self._start(response, "first_audio")
        for begin in range(0, len(pcm), PIECE):
            await self._emit(ev.ReplyAudio(response.id, pcm[begin : begin + PIECE]))

    async def _start(self, response: Response, stage: ev.Stage) -> None:
        await self._emit(ev.Milestone(response.id, stage, asyncio.get_running_loop().time()))
        if not response.started:
            response.started = True
            await self._emit(ev.ReplyStarted(response.id))

    async def _item(self, event: Mapping[str, Any]) -> None:
        """An item is complete; of a function that is called it is the first time that all is known."""
        item, response = event["item"], self._of(event)
        if item.get("type") != "function_call" or response is None or response.cancelled:
            return
        call, name, arguments = (_text(item.get(key) or "") for key in ("call_id", "name", "arguments"))
        response.called = True
        self._calls[call] = response
        await self._emit(ev.ToolCall(call, name, parsed(arguments)))

    async def returned(self, call: str, output: str) -> None:
        """A function has returned; once all that a response called have, the model is asked to go on."""
        if (response := self._calls.pop(call, None)) is None:
            return  # it was called over another connection
        await self.put(answer_call(call, output))
        if response.done and not response.cancelled and response not in self._calls.values():
            await self.ask()

    async def _end(self, ended: Mapping[str, Any]) -> None:
        response = self._responses.get(ended["id"])
        if response is None:
            return
        self.active = None if self.active is response else self.active
        response.done = True
        if response.cancelled:
            for item in ended.get("output") or ():  # some may never have been announced
                if item.get("type") == "message":
                    response.items.setdefault(item["id"], 0)
            await self._settle(response)
        else:
            await self._finish(response, ended)
        if response.called and not response.cancelled and response not in self._calls.values():
            self._ask_again = True
        if self._ask_again and self.active is None and not self._awaited:
            self._ask_again = False
            await self.ask()

    async def _finish(self, response: Response, ended: Mapping[str, Any]) -> None:
        if ended.get("status") == "failed":
            details = ended.get("status_details") or {}
            error = self._errors.of_event(details.get("error") or {})
            reply = response.id if response.started else None
            await self._emit(ev.ReplyFailed(error.code, str(error), reply))
        elif response.started:
            await self._emit(ev.ReplyDone(response.id))
        elif not response.called and ended.get("status") != "cancelled":
            silent = "OpenAI's model gave no answer. Please say that again."
            await self._emit(ev.ReplyFailed("AGENT_SILENT", silent))

    # -- failures ----------------------------------------------------------------------------------------
    async def _complain(self, error: Mapping[str, Any]) -> None:
        if error.get("event_id") == QUIET_ID or error.get("code") in _PASSING:
            _log.debug("OpenAI had nothing to do", code=error.get("code"))
            return
        failure = self._errors.of_event(error)
        if isinstance(failure, Refused) or error.get("code") == "session_expired":
            raise failure
        _log.warning("OpenAI reports a problem", code=error.get("code"), reason=str(failure))
        if error.get("event_id") == SETTINGS_ID:
            failure = VisavisError("BAD_CONFIGURATION", f"{failure} Check the settings `openai`.")
        if self.active is None:
            self._awaited = self._ask_again = False
        await self._emit(ev.ReplyFailed(failure.code, str(failure)))


def _text(value: object) -> str:
    """Raises `TypeError`, as whoever follows the events expects of what cannot be understood."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    return value
