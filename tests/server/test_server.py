"""A real server process, real sockets, the scripted agent."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.process import Server, server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from visavis.arkit import NAMES
from visavis.wires.widget import decode_binary_frame

WAIT = 20.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "scripted",
        "VISAVIS_SCRIPTED__SECONDS": "1.5",
        "VISAVIS_SCRIPTED__SPEED": "20",
        "VISAVIS_SERVER__MAX_MESSAGE_BYTES": "20000",
    }
    with server(tmp_path_factory.mktemp("server"), **settings) as started:
        yield started


class Client:
    """Keeps all it is told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.log: list[dict[str, Any]] = []

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        raw = await asyncio.wait_for(self.socket.recv(), WAIT)
        if isinstance(raw, bytes):
            turn, index, _, weights, pcm = decode_binary_frame(raw)
            message = {"type": "frame", "turn": turn, "frameIndex": index, "weights": weights, "pcm": pcm}
        else:
            message = json.loads(raw)
        self.log.append(message)
        return message

    async def until(self, type: str, **fields: Any) -> dict[str, Any]:
        while True:
            message = await self.next()
            if message["type"] == type and all(message.get(key) == value for key, value in fields.items()):
                return message

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.log if message["type"] == type]


def talk(running: Server, script: Callable[[Client], Coroutine[Any, Any, None]]) -> Client:
    async def main() -> Client:
        async with connect(running.ws, max_size=None) as socket:
            client = Client(socket)
            await script(client)
            return client

    return asyncio.run(main())


def get(url: str, accept: str = "*/*") -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_health_and_facts(running: Server) -> None:
    status, _, body = get(f"{running.http}/health")
    health = json.loads(body)
    assert (status, health["ok"], health["problems"]) == (200, True, [])
    assert set(health["face"]["worker"]) == {"waiting", "jobs", "waited", "wait_s"}
    status, _, body = get(running.http, "application/json")
    facts = json.loads(body)
    assert (status, facts["name"], facts["status"]) == (200, "visavis", "running")
    assert "mia" in facts["avatars"]


def test_browsers_get_the_page_and_all_its_files_from_here(running: Server) -> None:
    status, headers, body = get(running.http, "text/html,application/xhtml+xml")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"http://" not in body.replace(b"http://www.w3.org", b"")
    assert b"https://" not in body
    status, headers, _ = get(f"{running.http}/avatars/mia/mia.glb")
    assert status == 200
    assert get(f"{running.http}/avatars/../app.py")[0] == 404


def test_a_typed_message_is_answered_in_order(running: Server) -> None:
    async def script(client: Client) -> None:
        assert (await client.next())["type"] == "config"
        await client.send(type="text", data="hello")
        await client.until("avatar_state", state="Listening")

    client = talk(running, script)
    kinds = [message["type"] for message in client.log]
    assert kinds[1:5] == ["transcript_done", "avatar_state", "avatar_state", "audio_start"]
    assert kinds[-3:] == ["audio_end", "transcript_done", "avatar_state"]
    frames = client.of("sync_frame")
    assert [frame["frameIndex"] for frame in frames] == list(range(45))
    assert all(set(frame["weights"]) == set(NAMES) for frame in frames)
    assert all(len(base64.b64decode(frame["audio"])) == 1600 for frame in frames)
    assert client.of("config")[0]["audio"] == {"inputSampleRate": 16_000, "outputSampleRate": 24_000}
    words = " ".join(delta["text"] for delta in client.of("transcript_delta"))
    assert words == client.of("transcript_done")[-1]["text"] == "word1 word2 word3 word4"


def test_a_named_user_is_not_echoed(running: Server) -> None:
    async def script(client: Client) -> None:
        await client.send(type="text", data="hello", userId="u1")
        await client.until("audio_end")

    assert not talk(running, script).of("transcript_done")


@pytest.mark.parametrize("binary", [True, False])
def test_speech_is_answered_when_the_microphone_goes_off(running: Server, binary: bool) -> None:
    async def script(client: Client) -> None:
        await client.send(type="audio_stream_start", userId="u")
        if binary:
            await client.socket.send(bytes(3200))
        else:
            await client.send(type="audio", data=base64.b64encode(bytes(3200)).decode())
        await client.send(type="audio_stream_end")
        await client.until("transcript_done", role="assistant")

    client = talk(running, script)
    said = next(message for message in client.of("transcript_done") if message["role"] == "user")
    assert said["turnId"].startswith("user_")


def test_hello_brings_binary_frames_and_metrics(running: Server) -> None:
    async def script(client: Client) -> None:
        await client.send(type="hello", encoding="binary", weights="array")
        await client.send(type="text", data="hello")
        start = await client.until("audio_start")
        assert start["turn"] == 1
        await client.until("frame", frameIndex=10)
        await client.send(type="playback", turnId=start["turnId"], frameIndex=2)
        await client.until("turn_metrics")
        await client.until("avatar_state", state="Listening")

    client = talk(running, script)
    assert not client.of("sync_frame")
    assert [frame["frameIndex"] for frame in client.of("frame")] == list(range(45))
    (metrics,) = client.of("turn_metrics")
    assert metrics["speechEnd"] == 0
    assert 0 <= metrics["firstAudio"] <= metrics["firstFrame"] <= metrics["sent"] <= metrics["played"]


def test_an_interruption_leaves_no_stale_frame(running: Server) -> None:
    async def script(client: Client) -> None:
        await client.send(type="text", data="hello")
        await client.until("sync_frame", frameIndex=5)
        await client.send(type="interrupt")
        await client.send(type="interrupt")
        await client.until("avatar_state", state="Listening")
        await client.send(type="ping", timestamp=1)
        await client.until("pong")

    client = talk(running, script)
    kinds = [message["type"] for message in client.log]
    cut = kinds.index("interrupt")
    assert kinds[cut:] == ["interrupt", "transcript_done", "avatar_state", "pong"]
    assert client.of("interrupt")[0]["turnId"] == "turn_1"
    assert client.of("transcript_done")[-1]["interrupted"] is True


def test_malformed_messages_get_one_error_each_and_the_talk_goes_on(running: Server) -> None:
    bad: list[str | bytes] = ["{", "[1]", '{"type":"dance"}', '{"type":"audio","data":"?"}', b"\0"]

    async def script(client: Client) -> None:
        for message in bad:
            await client.socket.send(message)
            error = await client.until("error")
            assert error["code"].isupper()
        await client.send(type="text", data="hello")
        await client.until("audio_end")

    client = talk(running, script)
    assert len(client.of("error")) == len(bad)


def test_ten_malformed_messages_in_a_row_close_the_connection(running: Server) -> None:
    async def script(client: Client) -> None:
        for _ in range(9):
            await client.socket.send("{")
        await client.send(type="ping")
        for _ in range(10):
            await client.socket.send("{")
        with pytest.raises(ConnectionClosed) as closed:
            await client.until("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008

    assert len(talk(running, script).of("error")) == 19


def test_a_message_that_is_too_large_is_refused_then_closed(running: Server) -> None:
    async def script(client: Client) -> None:
        await client.socket.send("x" * 20_001)
        assert (await client.until("error"))["code"] == "MESSAGE_TOO_LARGE"
        with pytest.raises(ConnectionClosed) as closed:
            await client.until("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009

    talk(running, script)


def test_a_dropped_conversation_resumes_with_the_unheard_rest(running: Server) -> None:
    async def main() -> None:
        async with connect(running.ws, max_size=None) as socket:
            first = Client(socket)
            config = await first.until("config")
            await first.send(type="hello")
            await first.send(type="text", data="hello")
            start = await first.until("audio_start")
            await first.until("sync_frame", frameIndex=12)
            await first.send(type="playback", turnId=start["turnId"], frameIndex=9)
            await first.send(type="ping")
            await first.until("pong")
            first.socket.transport.abort()
        async with connect(running.ws, max_size=None) as socket:
            second = Client(socket)
            fresh = await second.until("config")
            assert fresh["sessionId"] != config["sessionId"]
            await second.send(type="hello", resume=config["resume"])
            again = await second.until("config")
            assert (again["sessionId"], again["resumed"]) == (config["sessionId"], True)
            assert (await second.until("audio_start"))["turnId"] == start["turnId"]
            await second.until("avatar_state", state="Listening")
        assert [frame["frameIndex"] for frame in second.of("sync_frame")] == list(range(10, 45))
        assert second.of("transcript_done")[-1]["text"] == "word1 word2 word3 word4"
        assert "interrupted" not in second.of("transcript_done")[-1]

    asyncio.run(main())


def test_a_wrong_resume_token_begins_a_new_conversation(running: Server) -> None:
    async def script(client: Client) -> None:
        await client.send(type="hello", resume="no such token")
        assert (await client.until("error"))["code"] == "RESUME_EXPIRED"
        await client.send(type="text", data="hello")
        await client.until("audio_end")

    talk(running, script)


def test_resume_comes_first_or_not_at_all(running: Server) -> None:
    async def script(client: Client) -> None:
        config = await client.until("config")
        await client.send(type="interrupt")
        await client.send(type="hello", resume=config["resume"])
        assert (await client.until("error"))["code"] == "TOO_LATE"

    talk(running, script)


def test_a_client_that_never_reads_is_cut_off_and_others_do_not_notice(running: Server) -> None:
    """It asks for more than all buffers hold and reads nothing; another's frames keep coming."""

    def storm(deaf: socket.socket) -> bool:
        pings = _text('{"type":"ping"}') * 1000
        try:
            for _ in range(5000):
                deaf.sendall(pings)
        except OSError:
            return True
        return False

    async def main() -> None:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(WAIT)
            deaf.connect(("127.0.0.1", running.port))
            key = base64.b64encode(os.urandom(16)).decode()
            deaf.sendall(
                f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            async with connect(running.ws, max_size=None) as other:
                client = Client(other)
                await client.send(type="text", data="hello")
                cut_off = asyncio.create_task(asyncio.to_thread(storm, deaf))
                await client.until("audio_end")
                assert await cut_off
        assert len(client.of("sync_frame")) == 45

    asyncio.run(main())


def _text(message: str) -> bytes:
    """A masked WebSocket text frame (RFC 6455, section 5.2) with a mask of zeros."""
    return bytes((0x81, 0x80 | len(message))) + struct.pack("<I", 0) + message.encode()


def test_a_port_in_use_is_named_before_anything_is_loaded(running: Server, tmp_path: Path) -> None:

    command = [sys.executable, "-m", "visavis", "serve", "--no-open", "--port", str(running.port)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"Port {running.port}" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.models
def test_health_says_why_the_language_model_cannot_answer(tmp_path: Path) -> None:
    """Nobody listens at the model's address: the client gets a sentence, health says 503 and why."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with server(tmp_path, VISAVIS_LLM_URL=url) as embedded:
            assert get(f"{embedded.http}/health")[0] == 200

            async def script(client: Client) -> None:
                await client.send(type="text", data="hello")
                assert (await client.until("error"))["code"] == "LLM_UNREACHABLE"
                await client.until("avatar_state", state="Listening")

            talk(embedded, script)
            status, _, body = get(f"{embedded.http}/health")
    health = json.loads(body)
    assert (status, health["ok"], health["status"]) == (503, False, "unhealthy")
    assert url in health["problems"][0]
