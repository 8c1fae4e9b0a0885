"""The simulated OpenAI Realtime server, seen through OpenAI's own client."""

from __future__ import annotations

import asyncio
import base64
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus

from visavis.cli.main import app
from visavis.simulators.openai import OpenAIBehaviour, OpenAISimulator
from visavis.simulators.voice import RATE, SimulatedVoice

STUCK = 20.0
SESSION = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
ASK = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Good morning"}]}


class Client:
    """Sends and keeps what comes."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    async def put(self, type: str, **fields: Any) -> None:
        await self.connection.send_raw(orjson.dumps({"type": type, **fields}).decode())

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""
        async with asyncio.timeout(STUCK):
            while True:
                event = orjson.loads(await self.connection.recv_bytes())
                self.events.append(event)
                if event["type"] == kind:
                    return dict(event)

    async def speak(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), RATE):
            audio = base64.b64encode(pcm[start : start + RATE]).decode()
            await self.put("input_audio_buffer.append", audio=audio)

    def kinds(self) -> list[str]:
        return list(dict.fromkeys(event["type"] for event in self.events))


@pytest.fixture(scope="module")
def voice() -> SimulatedVoice:
    return SimulatedVoice()


@asynccontextmanager
async def client(url: str, key: str = "any", **headers: str) -> AsyncIterator[Client]:
    openai = AsyncOpenAI(api_key=key, base_url=url)
    async with openai.realtime.connect(model="gpt-realtime", extra_headers=headers) as connection:
        yield Client(connection)


def talk(
    voice: SimulatedVoice, script: Callable[[OpenAISimulator, Client], Awaitable[None]], **behaviour: Any
) -> None:
    async def run() -> None:
        simulator = OpenAISimulator(voice, OpenAIBehaviour(**{"speed": 1e6, **behaviour}))
        headers = {"OpenAI-Beta": "realtime=v1"} if simulator.behaviour.protocol == "beta" else {}
        async with simulator.listening() as url, client(url, **headers) as user:
            await script(simulator, user)

    asyncio.run(run())


def test_a_question_is_answered_in_the_order_of_the_protocol(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Client) -> None:
        await user.put("session.update", session=SESSION)
        await user.put("conversation.item.create", item=ASK)
        await user.put("response.create")
        done = await user.until("response.done")
        assert done["response"]["status"] == "completed"
        assert user.kinds() == [
            "session.created",
            "session.updated",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        deltas = [event["delta"] for event in user.events if event["type"] == "response.output_audio.delta"]
        assert b"".join(map(base64.b64decode, deltas)) == voice.say("You said: Good morning")[0]

    talk(voice, script)


def test_the_beta_shape_has_its_own_names(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Client) -> None:
        await user.put("session.update", session={"modalities": ["audio", "text"], "turn_detection": None})
        await user.put("conversation.item.create", item=ASK)
        await user.put("response.create")
        await user.until("response.done")
        assert {"response.audio.delta", "response.audio_transcript.delta", "conversation.item.created"} < set(
            user.kinds()
        )
        assert not any("output_audio" in kind or kind.endswith("item.done") for kind in user.kinds()[:8])
        await user.put("session.update", session=SESSION)
        assert (await user.until("error"))["error"]["code"] == "unknown_parameter"

    talk(voice, script, protocol="beta")


def test_speech_is_noticed_committed_written_down_and_answered(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Client) -> None:
        listens = {"turn_detection": {"type": "server_vad"}, "transcription": {"model": "whisper-1"}}
        await user.put("session.update", session={"type": "realtime", "audio": {"input": listens}})
        await user.speak(bytes(RATE) + voice.say("How are you?")[0] + bytes(RATE * 2))
        started = await user.until("input_audio_buffer.speech_started")
        stopped = await user.until("input_audio_buffer.speech_stopped")
        assert (await user.until("input_audio_buffer.committed"))["item_id"] == stopped["item_id"]
        written = await user.until("conversation.item.input_audio_transcription.completed")
        assert written["transcript"] == "Hello there."
        await user.until("response.done")
        assert 500 < started["audio_start_ms"] < stopped["audio_end_ms"]
        assert simulator.session.items.context()[-1] == ("assistant", "You said: Hello there.")

    talk(voice, script)


def test_a_truncated_item_is_remembered_as_far_as_it_was_heard(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Client) -> None:
        await user.put("conversation.item.create", item=ASK)
        await user.put("response.create")
        item = (await user.until("response.done"))["response"]["output"][0]["id"]
        words = voice.say("You said: Good morning")[1]

        async def cut(milliseconds: int) -> None:
            await user.put(
                "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=milliseconds
            )

        await cut(60_000)
        assert "already shorter" in (await user.until("error"))["error"]["message"]
        await cut(0)
        assert "Only model output audio" in (await user.until("error"))["error"]["message"]
        await cut(round(words[1].end * 1000) + 10)
        await user.until("conversation.item.truncated")
        assert simulator.session.items.context()[-1] == ("assistant", "You said:")
        await user.put("conversation.item.delete", item_id=item)
        await user.until("conversation.item.deleted")
        assert simulator.session.items.context() == [("user", "Good morning")]

    talk(voice, script)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
        ({"type": "response.cancel"}, "response_cancel_not_active"),
        ({"type": "conversation.item.delete", "item_id": "x"}, "item_delete_invalid_item_id"),
        ({"type": "nonsense"}, "invalid_value"),
        ({"type": "session.update", "session": {"voice": "alloy"}}, "missing_required_parameter"),
    ],
)
def test_what_a_client_does_wrong_is_said(voice: SimulatedVoice, sent: dict[str, Any], code: str) -> None:
    async def script(simulator: OpenAISimulator, user: Client) -> None:
        await user.put(event_id="mine", **sent)
        error = (await user.until("error"))["error"]
        assert (error["code"], error["event_id"]) == (code, "mine")

    talk(voice, script)


def test_there_is_one_response_at_a_time(voice: SimulatedVoice) -> None:
    async def script(simulator: OpenAISimulator, user: Client) -> None:
        await user.put("response.create")
        await user.until("response.created")
        await user.put("response.create")
        code = (await user.until("error"))["error"]["code"]
        assert code == "conversation_already_has_active_response"
        await user.put("response.cancel")
        assert (await user.until("response.done"))["response"]["status"] == "cancelled"

    talk(voice, script, speed=1.0)


def test_a_wrong_key_is_refused_before_or_after_the_handshake(voice: SimulatedVoice) -> None:
    async def run(refuse: Any) -> None:
        simulator = OpenAISimulator(voice, OpenAIBehaviour(key="right", refuse=refuse))
        async with simulator.listening() as url, client(url, "wrong") as user:
            assert (await user.until("error"))["error"]["code"] == "invalid_api_key"
            await user.until("session.created")

    with pytest.raises(ConnectionClosed, match="invalid_api_key"):
        asyncio.run(run("event"))
    with pytest.raises(InvalidStatus, match="401"):
        asyncio.run(run("status"))


def _listen_to_interrupts() -> None:
    """What is started in the background of a script ignores them otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_command_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "visavis", "simulate", "openai", "--port", "0", "--answers", "Hi."]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=_listen_to_interrupts
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/v1", line)
            assert address, line
            assert f"OPENAI_BASE_URL={address.group()}" in line

            async def ask() -> None:
                async with client(address.group()) as user:
                    await user.put("response.create")
                    done = await user.until("response.done")
                    assert done["response"]["output"][0]["content"][0]["transcript"] == "Hi."

            asyncio.run(ask())
        finally:
            process.send_signal(signal.SIGINT)
            try:
                assert process.wait(STUCK) == 0
            finally:
                process.kill()


def test_the_command_says_which_faults_there_are() -> None:
    result = CliRunner().invoke(app, ["simulate", "openai", "--fault", "sulk"])
    assert result.exit_code == 2
    assert "hang" in result.output
