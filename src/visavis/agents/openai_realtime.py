"""The OpenAI Realtime agent: the model hears and speaks by itself; its memory is kept to what was heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import orjson
import structlog
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from visavis import events as ev
from visavis.agents import Brief
from visavis.agents.openai_errors import Errors
from visavis.agents.openai_exchange import Exchange
from visavis.agents.openai_parts import Loudness
from visavis.agents.openai_protocol import QUIET_ID, RATE, configure, say, take_turns
from visavis.agents.transcript import Transcript
from visavis.agents.upstream import Refused, Upstream
from visavis.audio import BYTES
from visavis.errors import ConfigurationError, VisavisError
from visavis.settings import Settings
from visavis.stages import Message

OUTBOX = 256
"""Events that may wait for the session before the provider is read no further."""
UNSENT = 5 * RATE * BYTES
"""Bytes of the microphone's sound kept while there is no connection (5 s)."""
LARGEST_MESSAGE = 32 << 20
"""Bytes of one message of the provider."""
LONGEST_WAIT = 15.0
"""Seconds between two attempts to connect, at most."""
PATIENCE = 6.0
"""Seconds that a question waits for a connection, at most."""
FAREWELL = 0.5
"""Seconds to close a connection; what the provider still sends is not read."""
_log = structlog.get_logger()


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` without a key for OpenAI itself; other servers may need none."""
    openai = settings.openai
    if not openai.key.get_secret_value() and "api.openai.com" in openai.base_url:
        raise ConfigurationError(
            "The agent 'openai' needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for another server "
            "(`visavis simulate openai` starts one that needs no key)."
        )


def load(settings: Settings) -> OpenAIEngine:
    """The agent of the settings `openai`; nothing is sent before a session opens. Raises as `check` does."""
    check(settings)
    return OpenAIEngine(settings)


class OpenAIEngine:
    """Opens sessions at one server."""

    input_rate = output_rate = RATE

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        key = settings.openai.key.get_secret_value()
        self._client = AsyncOpenAI(api_key=key or "none", base_url=settings.openai.base_url, max_retries=0)

    @asynccontextmanager
    async def open(self, brief: Brief) -> AsyncIterator[OpenAIAgent]:
        agent = OpenAIAgent(self._client, self._settings, brief)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run)
            try:
                yield agent
            finally:
                tasks.cancel_scope.cancel()
                agent.close()

    def status(self) -> dict[str, Any]:
        openai = self._settings.openai
        return {"name": "openai", "models": [openai.model], "url": openai.base_url, "problems": []}


class OpenAIAgent:
    """One conversation; `run` keeps its connection."""

    def __init__(self, client: AsyncOpenAI, settings: Settings, brief: Brief) -> None:
        self._client, self._settings, self._brief = client, settings.openai, brief
        key = self._settings.key.get_secret_value()
        self._errors = Errors(self._settings.base_url, self._settings.model, key)
        self._outbox, self._events = anyio.create_memory_object_stream[ev.FromAgent](OUTBOX)
        self._upstream = Upstream[Exchange](
            self._dial,
            self._serve,
            self._tell,
            longest_wait=LONGEST_WAIT,
            patience=min(PATIENCE, self._settings.timeout_seconds),
        )
        self._transcript = Transcript(settings.assistant.memory_turns, history=brief.history)
        self._loudness = Loudness()
        self._hands_free = True
        self._unsent = bytearray()
        self._watch: asyncio.Timeout | None = None
        """How long the provider may be silent."""

    def __aiter__(self) -> AsyncIterator[ev.FromAgent]:
        return self._events.__aiter__()

    async def run(self) -> None:
        """Keep the connection; ends only when it is cancelled."""
        await self._upstream.run()

    def close(self) -> None:
        """Nobody listens any more."""
        self._outbox.close()
        self._events.close()

    # -- what the user does --------------------------------------------------------------------------------
    async def send(self, event: ev.ToAgent) -> None:
        try:
            match event:
                case ev.UserAudio(pcm):
                    await self._hear(pcm)
                case ev.UserText(text):
                    await self._write(text)
                case ev.MicOn(hands_free=hands_free):
                    await self._mic_on(hands_free)
                case ev.MicOff():
                    await self._mic_off()
                case ev.CancelReply():
                    await self._cancel(event)
                case ev.ToolResult(call, output):
                    await self._returned(call, output)
        except VisavisError as error:
            await self._tell(error)

    async def _hear(self, pcm: bytes) -> None:
        if not pcm:
            return
        self._loudness.add(pcm)
        self._unsent += pcm
        exchange = self._upstream.connection
        if exchange is None:
            del self._unsent[:-UNSENT]
        else:
            await self._pass_on(exchange)

    async def _pass_on(self, exchange: Exchange) -> None:
        """Send what the microphone has heard and nobody else has."""
        sound = bytes(self._unsent)
        self._unsent.clear()
        with suppress(ConnectionClosed):
            await exchange.listen(sound)

    async def _write(self, text: str) -> None:
        exchange = await self._upstream.get()
        self._transcript.user(text)
        async with self._asking(exchange):
            await exchange.put(say(Message("user", text), self._settings.protocol))
            await exchange.ask()

    async def _mic_on(self, hands_free: bool) -> None:
        self._loudness.forget()
        if hands_free != self._hands_free:
            self._hands_free = hands_free
            if (exchange := self._upstream.connection) is not None:
                with suppress(ConnectionClosed):
                    await exchange.put(take_turns(self._settings, hands_free))
        if not hands_free:
            await self._emit(ev.UserInterrupts())  # nobody else notices that the user speaks

    async def _mic_off(self) -> None:
        """The utterance is complete: what the provider has not answered by itself is to be answered now."""
        exchange = self._upstream.connection
        speaking = exchange is not None and exchange.speaking
        by_provider = self._settings.vad_type != "none" and self._hands_free
        spoken = speaking or self._loudness.voice_now if by_provider else self._loudness.voice
        self._loudness.forget()
        if spoken:
            exchange = await self._upstream.get()
            async with self._asking(exchange):
                await self._pass_on(exchange)
                await exchange.commit()
            return
        self._unsent.clear()
        if exchange is None or not exchange.waiting:
            await self._emit(ev.UserSaid(""))
            if exchange is not None:
                with suppress(ConnectionClosed):
                    await exchange.put({"type": "input_audio_buffer.clear", "event_id": QUIET_ID})

    async def _cancel(self, event: ev.CancelReply) -> None:
        if event.reply is not None:
            self._transcript.cut(event.reply, event.text)
        exchange = self._upstream.connection
        if exchange is None:
            return
        with suppress(ConnectionClosed):
            if event.reply is None:
                await exchange.drop()
            elif not await exchange.cut(event.reply, event.heard):
                # A fresh session knows it as text, which cannot be cut: the next one is told what is so.
                await exchange.connection.close()

    async def _returned(self, call: str, output: str) -> None:
        if (exchange := self._upstream.connection) is not None:  # otherwise its loss was told
            async with self._asking(exchange):
                await exchange.returned(call, output)

    @asynccontextmanager
    async def _asking(self, exchange: Exchange) -> AsyncIterator[None]:
        """While something is asked of the provider; its loss is told once, here or where its events end."""
        try:
            yield
            self._be_patient(exchange)
        except ConnectionClosed as closed:
            if exchange.over or not exchange.waiting:
                raise self._errors.of_close(closed) from None

    async def _emit(self, event: ev.FromAgent) -> None:
        await self._outbox.send(event)

    async def _tell(self, error: VisavisError) -> None:
        await self._emit(ev.ReplyFailed(error.code, str(error)))

    # -- the connection --------------------------------------------------------------------------------------
    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[Exchange]:
        """A configured session that knows the conversation so far."""
        connection = await self._connect()
        exchange = Exchange(connection, self._settings, self._errors, self._transcript, self._emit)
        try:
            await exchange.put(configure(self._settings, self._brief))
            if not self._hands_free:
                await exchange.put(take_turns(self._settings, hands_free=False))
            for message in self._transcript.messages():
                await exchange.put(say(message, self._settings.protocol))
            yield exchange
        except ConnectionClosed as closed:
            raise self._errors.of_close(closed) from None
        finally:
            with anyio.move_on_after(FAREWELL, shield=True), suppress(ConnectionClosed, OSError):
                await connection.close()
            connection._connection.transport.abort()  # the SDK has no way to leave without a farewell

    async def _connect(self) -> AsyncRealtimeConnection:
        headers = {"OpenAI-Beta": "realtime=v1"} if self._settings.protocol == "beta" else {}
        manager = self._client.realtime.connect(
            model=self._settings.model,
            extra_headers=headers,
            websocket_connection_options={"max_size": LARGEST_MESSAGE, "compression": None},
        )
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await manager.enter()
        except InvalidStatus as failure:
            raise self._errors.of_status(failure) from None
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed) as failure:
            raise self._errors.unreachable(failure) from None

    async def _serve(self, exchange: Exchange) -> None:
        """Take the provider's events until the connection is over; then say what that means to the user."""
        await self._pass_on(exchange)
        error = await self._follow(exchange)
        exchange.over = True
        active = exchange.active
        missed = exchange.calling or (exchange.waiting and not (active is not None and active.cancelled))
        _log.info("the connection to OpenAI is over", code=error.code, missed=missed)
        if missed or isinstance(error, Refused):
            reply = active.id if active is not None and active.started else None
            failure = ev.ReplyFailed(error.code, str(error), reply)
            try:
                # At once: whoever hears of it and asks again must not be given this connection.
                self._outbox.send_nowait(failure)
            except anyio.WouldBlock:
                await self._emit(failure)
            raise error

    async def _follow(self, exchange: Exchange) -> VisavisError:
        try:
            async with asyncio.timeout(None) as self._watch:
                while True:
                    await exchange.take(orjson.loads(await exchange.connection.recv_bytes()))
                    self._be_patient(exchange)
        except ConnectionClosed as closed:
            return self._errors.of_close(closed)
        except VisavisError as failure:
            return failure
        except TimeoutError:
            _log.warning("OpenAI has not answered in time", seconds=self._settings.timeout_seconds)
        except (ValueError, LookupError, TypeError, AttributeError):
            _log.warning("OpenAI sent what cannot be understood", exc_info=True)
        finally:
            self._watch = None
        return self._errors.lost()

    def _be_patient(self, exchange: Exchange) -> None:
        """From now on the provider has its time again, when it owes something."""
        if self._watch is not None:
            due = asyncio.get_running_loop().time() + self._settings.timeout_seconds
            self._watch.reschedule(due if exchange.waiting else None)
