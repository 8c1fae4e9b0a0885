"""The page dialect against a real server process with the embedded models: chat, live video, video files."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse

import av
import httpx2
import numpy as np
import pytest
from tests.process import Server, server
from tests.server.test_api import CLUSTER, tone, wav
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

from visavis.say import speak
from visavis.settings import Settings

pytestmark = pytest.mark.models
WAIT = 60.0
SENTENCE = "My name is Mia."
SMALL = {"VISAVIS_VIDEO__WIDTH": "320", "VISAVIS_VIDEO__HEIGHT": "240"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(
        tmp_path_factory.mktemp("page"), VISAVIS_VIDEO__WIDTH="320", VISAVIS_VIDEO__HEIGHT="240"
    ) as it:
        yield it


@pytest.fixture
def http(running: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.http, timeout=WAIT) as client:
        yield client


def begin(http: httpx2.Client) -> str:
    answer = http.post("/api/session")
    assert answer.status_code == 200, answer.text
    session: str = answer.json()["sessionId"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", session)
    return session


def test_the_page_is_told_where_and_who(http: httpx2.Client) -> None:
    page = http.get("/", headers={"Accept": "text/html"}).text
    assert '<body data-api-base="" data-avatar="mia" data-muse-mode="mse">' in page


@pytest.mark.parametrize("path", ["/", "/face", "/health", "/static/index.html", "/avatars/mia/mia.glb"])
def test_what_a_page_is_like_without_the_page(http: httpx2.Client, path: str) -> None:
    headers = {"Accept": "text/html"}
    only, whole = http.head(path, headers=headers), http.get(path, headers=headers)
    assert (only.status_code, only.content) == (200, b"")
    assert only.headers["content-type"] == whole.headers["content-type"]
    if path != "/health":  # which tells the time
        assert only.headers["content-length"] == str(len(whole.content))


def test_chat_in_text(http: httpx2.Client) -> None:
    reply = http.post("/api/openai/chat", json={"text": "What is your name?"}).json()
    assert set(reply) == {"reply"}
    assert "Visavis" in reply["reply"] or "call me" in reply["reply"]


def test_chat_with_a_recording(http: httpx2.Client) -> None:
    spoken = speak("What is your name?", Settings())
    answer = http.post(
        "/api/openai/chat",
        params={"sessionId": begin(http)},
        content=wav(spoken.pcm, spoken.media.rate),
        headers={"content-type": "audio/wav"},
    ).json()
    assert "name" in answer["text"].lower()
    assert "Visavis" in answer["reply"] or "call me" in answer["reply"]


def test_the_only_avatar_of_other_servers_is_the_usual_one(http: httpx2.Client) -> None:
    assert http.post("/api/session", json={"avatarId": "default-01"}).status_code == 200


def test_a_reply_as_live_video(http: httpx2.Client, running: Server) -> None:
    session = begin(http)
    wanted = {"sessionId": session, "avatarId": "elena", "text": SENTENCE}
    started = http.post("/api/muse/start", json=wanted).json()
    assert started == {"mode": "mse", "url": f"/api/muse/stream/{session}"}

    def heard(stream: bytes) -> float:
        """Seconds of speech."""
        with av.open(io.BytesIO(stream), "r") as container:
            sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
        return float((np.abs(sound) > 0.02).sum() / 48_000)

    async def watch() -> float:
        received, looks = bytearray(), 1
        url = f"{running.http.replace('http', 'ws')}{started['url']}"
        async with connect(url, max_size=None) as socket, asyncio.timeout(WAIT):
            async for piece in socket:
                assert isinstance(piece, bytes)
                received += piece
                if received.count(CLUSTER) > 50 * looks:  # two seconds more
                    looks += 1
                    if (seconds := heard(bytes(received))) > 0.3:
                        return seconds
        raise AssertionError("the stream has ended")

    assert asyncio.run(watch()) > 0.3  # it spoke, although nobody watched when it was asked


def test_a_reply_as_a_file_with_ranges(tmp_path: Path) -> None:
    settings = {"MUSE_MODE": "file", "AGENT_TYPE": "scripted"}  # the voice is loaded when it is needed
    with (
        server(tmp_path, **settings, **SMALL) as running,
        httpx2.Client(base_url=running.http, timeout=WAIT) as http,
    ):
        assert 'data-muse-mode="file"' in http.get("/", headers={"Accept": "text/html"}).text
        wanted = {"sessionId": begin(http), "text": SENTENCE}
        started = http.post("/api/muse/start", json=wanted).json()
        assert started["mode"] == "file"
        whole = http.get(started["url"])
        assert (whole.status_code, whole.headers["content-type"]) == (200, "video/webm")
        part = http.get(started["url"], headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
        assert http.get(started["url"], headers={"Range": "bytes=999999999-"}).status_code == 416
        only = http.head(started["url"])
        assert (only.status_code, only.content) == (200, b"")
        assert only.headers["content-length"] == str(len(whole.content))
        only = http.head(started["url"], headers={"Range": "bytes=0-99"})
        assert (only.status_code, only.headers["content-length"]) == (206, "100")
        assert http.head("/api/muse/file/nothing.webm").status_code == 404
        with av.open(io.BytesIO(whole.content), "r") as container:
            pictures = sum(1 for _ in container.decode(video=0))
        assert 0.8 * 25 < pictures < 4 * 25
        assert http.get("/api/muse/file/nothing.webm").json()["code"] == "NO_SUCH_FILE"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/api/openai/chat", {"text": ""}, (422, "BAD_REQUEST")),
        ("/api/openai/chat", {"txt": "Hi"}, (422, "BAD_REQUEST")),
        ("/api/openai/chat", {"text": "Hi", "sessionId": "nobody"}, (404, "NO_SUCH_SESSION")),
        ("/api/muse/start", {"sessionId": "nobody", "text": "Hi"}, (404, "NO_SUCH_SESSION")),
        ("/api/muse/start", {"text": "Hi"}, (422, "BAD_REQUEST")),
        ("/api/session", {"avatarId": "nobody"}, (422, "BAD_AVATAR")),
    ],
)
def test_what_is_wrong_is_told(
    http: httpx2.Client, path: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"noise", (415, "NOT_MEDIA")), (wav(bytes(32_000)), (422, "NOTHING_HEARD")), (b"", (415, "NO_SOUND"))],
)
def test_a_recording_without_words(http: httpx2.Client, content: bytes, expected: tuple[int, str]) -> None:
    answer = http.post("/api/openai/chat", content=content, headers={"content-type": "audio/webm"})
    assert (answer.status_code, answer.json()["code"]) == expected


# -- the video of another service --------------------------------------------------------------------------
def test_another_services_file_is_passed_on(tmp_path: Path) -> None:
    asked: list[tuple[dict[str, list[str]], str | None]] = []

    class Muse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((parse_qs(urlparse(self.path).query), self.headers["Range"]))
            assert self.headers["Accept-Encoding"] == "identity", "what comes is passed on as it is"
            self.send_response(206 if self.headers["Range"] else 500)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"film")

        def log_message(self, format: str, *args: object) -> None:
            pass

    muse = HTTPServer(("127.0.0.1", 0), Muse)
    Thread(target=muse.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{muse.server_port}/video"
    with (
        server(tmp_path, MUSE_MODE="file", MUSE_FILE_URL=url, AGENT_TYPE="scripted") as running,
        httpx2.Client(base_url=running.http, timeout=WAIT) as http,
    ):
        session = begin(http)
        wanted = {"sessionId": session, "avatarId": "default-01", "text": SENTENCE}
        started = http.post("/api/muse/start", json=wanted).json()
        film = http.get(started["url"], headers={"Range": "bytes=0-3"})
        assert (film.status_code, film.headers["content-type"], film.content) == (206, "video/mp4", b"film")
        failed = http.get(started["url"])
        assert (failed.status_code, failed.json()["code"]) == (502, "MUSE_FAILED")
        muse.shutdown()
        muse.server_close()
        assert http.get(started["url"]).json()["code"] == "MUSE_UNREACHABLE"
    question = {"sessionId": [session], "avatarId": ["default-01"], "text": [SENTENCE]}
    assert asked == [(question, "bytes=0-3"), (question, None)]


def test_another_services_stream_is_passed_on(tmp_path: Path) -> None:
    async def muse(socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.send(json.dumps("hello"))
        await socket.send(parse_qs(urlparse(socket.request.path).query)["text"][0].encode())

    async def watch(address: str) -> tuple[list[Any], bytes]:
        """Over a WebSocket, and over HTTP."""
        async with connect(address) as socket, httpx2.AsyncClient(timeout=WAIT) as http:
            return [piece async for piece in socket], (await http.get(address.replace("ws", "http"))).content

    async def talk() -> tuple[list[Any], bytes]:
        async with serve(muse, "127.0.0.1", 0) as upstream:
            port = next(iter(upstream.sockets)).getsockname()[1]
            url = f"ws://127.0.0.1:{port}/stream"

            def ask() -> tuple[Any, str]:
                manager = server(tmp_path, MUSE_STREAM_URL=url, AGENT_TYPE="scripted")
                running = manager.__enter__()
                with httpx2.Client(base_url=running.http, timeout=WAIT) as http:
                    wanted = {"sessionId": begin(http), "text": SENTENCE}
                    path = http.post("/api/muse/start", json=wanted).json()["url"]
                return manager, f"{running.http.replace('http', 'ws')}{path}"

            manager, address = await asyncio.to_thread(ask)
            try:
                passed_on = await watch(address)
                upstream.close()
                await upstream.wait_closed()
                with pytest.raises(ConnectionClosedError, match=r"1011.*MUSE_UNREACHABLE"):
                    await watch(address)
                async with httpx2.AsyncClient(timeout=WAIT) as http:
                    refused = await http.get(address.replace("ws", "http"))
                assert (refused.status_code, refused.json()["code"]) == (502, "MUSE_UNREACHABLE")
                return passed_on
            finally:
                await asyncio.to_thread(manager.__exit__, None, None, None)

    assert asyncio.run(talk()) == ([SENTENCE.encode()], SENTENCE.encode())


def test_a_recording_of_a_tone_is_not_taken_for_words(http: httpx2.Client) -> None:
    answer = http.post("/api/openai/chat", content=tone(), headers={"content-type": "audio/pcm;rate=16000"})
    assert answer.json()["code"] == "NOTHING_HEARD"
