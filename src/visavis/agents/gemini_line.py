"""A connection to Gemini Live through Google's SDK: how it is set up, and why it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from visavis.agents import Brief
from visavis.agents.upstream import Refused
from visavis.errors import VisavisError
from visavis.events import ToolResult
from visavis.settings import GeminiSettings
from visavis.stages import Message

INPUT_RATE, OUTPUT_RATE = 16_000, 24_000
"""Hz; the Live API knows no others."""
CLOSING_SECONDS = 1.0
MAX_MESSAGE = 16 << 20
"""Bytes of the largest message the provider may send."""
LONGEST_REASON = 300
"""Characters of the provider's own words that are passed on."""
AUDIO = f"audio/pcm;rate={INPUT_RATE}"

_KEY = ("api key", "api_key", "unauthenticated", "permission", "credential")
_QUOTA = ("quota", "resource_exhausted", "resource exhausted", "rate limit", "billing", "prepay")
_MODEL = ("is not found", "not supported for bidi")
_INVALID = 1007
"""WebSocket close code of a request that the Live API does not accept."""


class Line:
    """One connection, set up and ready."""

    def __init__(self, session: AsyncSession, failure: Callable[[Exception], VisavisError]) -> None:
        self._session, self._failure = session, failure

    async def messages(self) -> AsyncIterator[types.LiveServerMessage]:
        """What comes, across turns (the SDK's own iterator ends with each); ends with a `VisavisError`."""
        try:
            while True:
                async for message in self._session.receive():
                    yield message
        except Exception as error:
            # Whatever the SDK makes of what the server sends: this session cannot be used any more.
            raise self._failure(error) from error

    async def send_text(self, text: str) -> None:
        # Models since 3.1 take text only as realtime input; earlier ones take it too.
        await self._session.send_realtime_input(text=text)

    async def send_audio(self, pcm: bytes) -> None:
        await self._session.send_realtime_input(audio=types.Blob(data=pcm, mime_type=AUDIO))

    async def send_result(self, name: str, result: ToolResult) -> None:
        """What a function that the model called has returned."""
        response = {"error" if result.failed else "output": result.output}
        answer = types.FunctionResponse(id=result.call, name=name, response=response)
        await self._session.send_tool_response(function_responses=[answer])

    async def end_audio(self) -> None:
        await self._session.send_realtime_input(audio_stream_end=True)


class Dialler:
    """Opens connections to one model; no connection is made before the first one is asked for."""

    def __init__(self, settings: GeminiSettings) -> None:
        self._settings = settings
        self._key = settings.key.get_secret_value()
        alpha = settings.proactive_audio or settings.affective_dialog
        self._client = genai.Client(
            api_key=self._key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=settings.base_url.rstrip("/") or None,
                api_version=settings.api_version or ("v1alpha" if alpha else "v1beta"),
                async_client_args={"max_size": MAX_MESSAGE, "close_timeout": CLOSING_SECONDS},
            ),
        )

    @asynccontextmanager
    async def dial(self, brief: Brief, handle: str | None, history: Sequence[Message]) -> AsyncIterator[Line]:
        """A connection that knows `history`, or goes on where the session of `handle` was.

        Raises `VisavisError` when there is none to be had.
        """
        live = self._client.aio.live
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    config = self.config(brief, handle, history)
                    opening = live.connect(model=self._settings.model, config=config)
                    session = await stack.enter_async_context(_closing_soon(opening))
                    if history and handle is None:
                        await session.send_client_content(
                            turns=[_content(message) for message in history],
                            turn_complete=self._initial_history,
                        )
            except (errors.APIError, OSError, InvalidHandshake, ConnectionClosed, ValueError) as error:
                raise self.failure(error) from None
            yield Line(session, self.failure)

    @property
    def _initial_history(self) -> bool:
        """Models since 3.1 take a history once, at the beginning, when it is announced; earlier ones at any
        time, and would answer it."""
        return "gemini-2" not in self._settings.model and "gemini-live-2" not in self._settings.model

    def config(self, brief: Brief, handle: str | None, history: Sequence[Message]) -> types.LiveConnectConfig:
        """The setup of a session."""
        settings = self._settings
        voice = types.VoiceConfig(
            prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=brief.voice or settings.voice)
        )
        config = types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            speech_config=types.SpeechConfig(
                voice_config=voice, language_code=brief.language or settings.language or None
            ),
            system_instruction=brief.informed or None,
            input_audio_transcription=types.AudioTranscriptionConfig(),
            output_audio_transcription=types.AudioTranscriptionConfig(),
            realtime_input_config=self._activity_detection(),
            session_resumption=types.SessionResumptionConfig(handle=handle),
        )
        if settings.thinking_budget >= 0:
            config.thinking_config = types.ThinkingConfig(thinking_budget=settings.thinking_budget)
        config.tools = [*self._tools(brief)] or None
        if settings.context_window_compression:
            config.context_window_compression = types.ContextWindowCompressionConfig(
                sliding_window=types.SlidingWindow()
            )
        if settings.proactive_audio:
            config.proactivity = types.ProactivityConfig(proactive_audio=True)
        if settings.affective_dialog:
            config.enable_affective_dialog = True
        if history and handle is None and self._initial_history:
            config.history_config = types.HistoryConfig(initial_history_in_client_content=True)
        return config

    def _tools(self, brief: Brief) -> Iterator[types.Tool]:
        if brief.tools:
            yield types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name=tool.name,
                        description=tool.description,
                        parameters_json_schema=dict(tool.parameters),
                    )
                    for tool in brief.tools
                ]
            )
        if self._settings.google_search_grounding:
            yield types.Tool(google_search=types.GoogleSearch())

    def _activity_detection(self) -> types.RealtimeInputConfig | None:
        settings = self._settings
        detection = types.AutomaticActivityDetection(
            prefix_padding_ms=settings.vad_prefix_padding_ms,
            silence_duration_ms=settings.vad_silence_duration_ms,
        )
        if settings.vad_start_sensitivity != "default":
            name = f"START_SENSITIVITY_{settings.vad_start_sensitivity.upper()}"
            detection.start_of_speech_sensitivity = types.StartSensitivity(name)
        if settings.vad_end_sensitivity != "default":
            name = f"END_SENSITIVITY_{settings.vad_end_sensitivity.upper()}"
            detection.end_of_speech_sensitivity = types.EndSensitivity(name)
        if not detection.model_dump(exclude_none=True):
            return None
        return types.RealtimeInputConfig(automatic_activity_detection=detection)

    # -- failures --------------------------------------------------------------------------------------------
    def failure(self, error: Exception) -> VisavisError:
        """What a person should know about a connection that was not made, or was lost."""
        code, reason = _code(error), self._reason(error)
        said = reason.lower()
        if code in (401, 403) or any(sign in said for sign in _KEY):
            return Refused("GEMINI_KEY", "Gemini does not accept the key. Check GEMINI_API_KEY.")
        if code == 429 or any(sign in said for sign in _QUOTA):
            return Refused(
                "GEMINI_QUOTA", "The quota of the Gemini key is used up. Wait a while, or change its plan."
            )
        if code == 404:
            return Refused(
                "GEMINI_REFUSED", "There is no Gemini Live at this address. Check GEMINI_BASE_URL."
            )
        if any(sign in said for sign in _MODEL):
            model = self._settings.model
            return Refused(
                "GEMINI_MODEL", f"Gemini has no model {model!r} to talk to live. Check GEMINI_MODEL."
            )
        if code == _INVALID:
            return Refused("GEMINI_REFUSED", f"Gemini does not accept the settings: {reason}")
        if isinstance(error, OSError | InvalidHandshake):
            return VisavisError(
                "GEMINI_UNREACHABLE", f"Gemini cannot be reached ({reason}). Check the network connection."
            )
        return VisavisError(
            "GEMINI_LOST", f"The connection to Gemini was lost ({reason or code}). Please say it again."
        )

    def _reason(self, error: Exception) -> str:
        """The provider's own words, without the key in case it repeats it."""
        if isinstance(error, errors.APIError):
            text = str(error.message or error.details or "")
        elif isinstance(error, OSError) and not isinstance(error, TimeoutError):
            text = f"{type(error).__name__}: {error}"
        else:
            text = type(error).__name__
        return text.replace(self._key, "(key)")[:LONGEST_REASON]


@asynccontextmanager
async def _closing_soon(
    opening: AbstractAsyncContextManager[AsyncSession],
) -> AsyncIterator[AsyncSession]:
    """A session whose closing handshake is not waited for longer than `CLOSING_SECONDS`."""
    session = await opening.__aenter__()
    try:
        yield session
    finally:
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            await opening.__aexit__(None, None, None)


def _content(message: Message) -> types.Content:
    role = "model" if message.role == "assistant" else "user"
    return types.Content(role=role, parts=[types.Part(text=message.text)])


def _code(error: Exception) -> int:
    """The status or close code of a failure; 0 when it has none."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code
    return error.code if isinstance(error, errors.APIError) else 0
