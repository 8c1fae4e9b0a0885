"""Two real servers with TLS that share a real Redis: streams, files, recordings and conversations of the page
come through the one that does not have them, and lists are of both."""

from __future__ import annotations

import asyncio
import io
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import httpx2
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from tests.deploy.test_many_servers import PATIENCE, SETTINGS, bearer, begun
from tests.process import Server, certificate, server
from tests.redis_server import RedisServer, needs_redis, redis_server
from tests.server.test_api import CLUSTER, tone, wav
from websockets.asyncio.client import connect

pytestmark = needs_redis
SESSIONS = "/api/v1/sessions"
STAGES = {
    "VISAVIS_STAGES__ASR": "tests.server.light:Ears",
    "VISAVIS_STAGES__LLM": "tests.server.light:Echo",
    "VISAVIS_STAGES__TTS": "tests.server.light:Hum",
    "VISAVIS_VIDEO__WIDTH": "64",
    "VISAVIS_VIDEO__HEIGHT": "64",
    "VISAVIS_VIDEO__FPS": "10",
    "AUTH_ENABLE_RATE_LIMITING": "true",
    "VISAVIS_LIMITS__REQUESTS_PER_MINUTE": "100000",
    "VISAVIS_LIMITS__SESSIONS_PER_TOKEN": "3",
    "VISAVIS_LIMITS__UPLOAD_MEGABYTES": "1",
}


class Patient(httpx2.AsyncClient):
    """Comes again when it is told to: a busy machine may take a slow server for a dead one for a moment."""

    patient = True

    async def send(self, request: httpx2.Request, **more: Any) -> httpx2.Response:
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await super().send(request, **more)
                if answer.status_code != 503 or not self.patient:
                    return answer
                await answer.aclose()


@dataclass
class House:
    """Three servers, the last of which makes films, what another one needs to join them, and the authority of
    their certificate."""

    redis: RedisServer
    folder: Path
    servers: list[Server]

    def another(self, **settings: str) -> Any:
        tls = {
            "VISAVIS_SERVER__SSL_CERTFILE": str(self.folder / "chain.pem"),
            "VISAVIS_SERVER__SSL_KEYFILE": str(self.folder / "key.pem"),
            "VISAVIS_CLUSTER__ADDRESS": "https://localhost:{port}",
            "SSL_CERT_FILE": str(self.folder / "chain.pem"),
        }
        given = SETTINGS | STAGES | tls | settings
        return server(self.folder, **given, VISAVIS_REDIS_URL=self.redis.url)

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "chain.pem"))

    def client(self, at: Server, subject: str) -> Patient:
        return Patient(
            base_url=f"https://localhost:{at.port}",
            headers=bearer(subject),
            verify=self.trusted,
            timeout=PATIENCE,
        )


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with TemporaryDirectory(prefix="visavis-") as name, ExitStack() as stack:
        folder = Path(name)
        certificate(folder)
        house = House(stack.enter_context(redis_server(folder)), folder, [])
        modes = ("mse", "mse", "file")
        house.servers += [stack.enter_context(house.another(MUSE_MODE=mode)) for mode in modes]
        yield house


async def until(stream: AsyncIterator[bytes], mark: bytes, times: int) -> bytes:
    """What came until `mark` was so often in it."""
    found = bytearray()
    async for piece in stream:
        found += piece
        if found.count(mark) >= times:
            return bytes(found)
    raise AssertionError("the stream has ended")


def pictures(webm: bytes) -> int:
    with av.open(io.BytesIO(webm), "r") as container:
        return len(list(container.decode(video=0)))


# -- live ----------------------------------------------------------------------------------------------------
def test_video_pictures_and_captions_come_through_another_server(house: House) -> None:
    async def main() -> None:
        one, two, _ = house.servers
        async with house.client(one, "ann") as here, house.client(two, "ann") as there:
            path = f"/api/v1/sessions/{await begun(here)}"
            assert (await there.get(path)).json()["ws_url"].startswith(f"wss://localhost:{two.port}/")
            async with there.stream("GET", f"{path}/avatar") as live:
                assert live.headers["content-type"] == 'video/webm; codecs="vp8,opus"'
                assert pictures(await until(live.aiter_bytes(), CLUSTER, 5)) >= 3
            async with there.stream("GET", f"{path}/avatar", params={"format": "mjpeg"}) as live:
                assert live.headers["content-type"].startswith("multipart/x-mixed-replace")
                await until(live.aiter_bytes(), b"\xff\xd8\xff", 3)
            said = await there.post(f"{path}/text", json={"text": "ann 0.3"}, params={"wait": "true"})
            assert said.status_code == 200
            captions = await there.get(f"{path}/captions")
            assert captions.text.startswith("WEBVTT") and captions.text == (
                (await here.get(f"{path}/captions")).text
            )
            assert (await there.delete(path)).status_code == 204

    asyncio.run(main())


def test_a_recording_is_heard_through_another_server_and_an_offer_is_answered(house: House) -> None:
    async def main() -> None:
        one, two, _ = house.servers
        async with house.client(one, "ben") as here, house.client(two, "ben") as there:
            path = f"/api/v1/sessions/{await begun(here)}"
            sent = {"files": {"file": ("said.wav", wav(tone(1.0), 24_000), "audio/wav")}}
            large = await there.post(
                f"{path}/audio", content=bytes(2 << 20), headers={"Content-Type": "audio/wav"}
            )
            assert (large.status_code, large.json()["code"]) == (413, "TOO_LARGE")
            heard = await there.post(f"{path}/audio", **sent)  # type: ignore[arg-type]
            assert heard.status_code == 202, heard.text
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            connection.addTransceiver("video", "recvonly")
            connection.addTransceiver("audio", "recvonly")
            await connection.setLocalDescription()
            offer = {
                "content": connection.localDescription.sdp,
                "headers": {"Content-Type": "application/sdp"},
            }
            answer = await there.post(f"{path}/webrtc", **offer)  # type: ignore[arg-type]
            assert answer.status_code == 201, answer.text
            await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            [video] = [each.receiver.track for each in connection.getTransceivers() if each.kind == "video"]
            frame = await asyncio.wait_for(video.recv(), PATIENCE)
            assert isinstance(frame, av.VideoFrame) and frame.width == 64
            assert (await there.delete(answer.headers["location"])).status_code == 204
            await connection.close()
            assert (await there.delete(path)).status_code == 204

    asyncio.run(main())


# -- the page ------------------------------------------------------------------------------------------------
def test_the_page_talks_and_watches_at_any_server_and_goes_on_when_one_dies(house: House) -> None:
    async def main(dying: Server, staying: Server) -> None:
        async with house.client(dying, "cid") as here, house.client(staying, "cid") as there:
            session = (await here.post("/api/session", json={"avatarId": "elena"})).json()["sessionId"]
            for server, text in ((here, "one"), (there, "two")):
                asked = await server.post("/api/openai/chat", json={"sessionId": session, "text": text})
                assert asked.json().get("reply") == f"You said: {text}", asked.text
            recording = {"content": wav(tone(0.5), 16_000), "headers": {"Content-Type": "audio/wav"}}
            asked = await there.post("/api/openai/chat", params={"sessionId": session}, **recording)  # type: ignore[arg-type]
            assert asked.json() == {"reply": "You said: Hello", "text": "Hello"}
            wanted = {"sessionId": session, "text": "spoken where nobody has watched"}
            started = (await there.post("/api/muse/start", json=wanted)).json()
            assert started == {"mode": "mse", "url": f"/api/muse/stream/{session}"}
            dying.process.kill()
            async with there.stream("GET", started["url"]) as live:
                assert live.status_code == 200
                assert pictures(await until(live.aiter_bytes(), CLUSTER, 3)) >= 1
            asked = await there.post("/api/openai/chat", json={"sessionId": session, "text": "three"})
            assert asked.json()["reply"] == "You said: three"
            url = f"wss://localhost:{staying.port}{started['url']}"
            async with connect(
                url, additional_headers=bearer("cid"), ssl=house.trusted, max_size=None
            ) as socket:
                assert isinstance(await asyncio.wait_for(socket.recv(), PATIENCE), bytes)

    with house.another() as dying:
        asyncio.run(main(dying, house.servers[0]))


def test_a_film_is_fetched_in_parts_from_any_server(house: House) -> None:
    async def main(making: Server, other: Server) -> None:
        async with house.client(making, "dan") as here, house.client(other, "dan") as there:
            session = (await here.post("/api/session")).json()["sessionId"]
            started = (
                await there.post("/api/muse/start", json={"sessionId": session, "text": "film"})
            ).json()
            assert started["mode"] == "file"
            whole = await there.get(started["url"])
            assert (whole.status_code, whole.headers["content-type"]) == (200, "video/webm")
            for at in (here, there):
                part = await at.get(started["url"], headers={"Range": "bytes=10-109"})
                assert (part.status_code, part.content) == (206, whole.content[10:110])
                assert part.headers["content-range"] == f"bytes 10-109/{len(whole.content)}"
            async with house.client(other, "bob") as bob:
                assert (await bob.get(started["url"])).status_code == 404

    asyncio.run(main(house.servers[2], house.servers[0]))


# -- of all servers ------------------------------------------------------------------------------------------
def test_lists_and_limits_are_of_all_servers_together(house: House) -> None:
    async def listed(at: httpx2.AsyncClient, **query: int) -> tuple[list[str], int]:
        answer = await at.get(SESSIONS, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        return [session["session_id"] for session in page["sessions"]], page["total"]

    async def main() -> None:
        one, two, _ = house.servers
        async with (
            house.client(one, "lea") as here,
            house.client(two, "lea") as there,
            house.client(two, "bob") as bob,
        ):
            made = [await begun(at, metadata={"n": n}) for n, at in enumerate((here, there, here))]
            for at in (here, there):
                assert await listed(at) == (made, 3)
                assert await listed(at, offset=1, limit=1) == (made[1:2], 3)
                assert await listed(at, offset=3) == ([], 3)
            assert await listed(bob) == ([], 0)
            async with asyncio.timeout(PATIENCE):  # it is told twice a second
                while (answer := await there.post(SESSIONS, json={})).status_code == 201:
                    await there.delete(f"/api/v1/sessions/{answer.json()['session_id']}")
            assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_SESSIONS")
            for id in made:
                assert (await there.delete(f"/api/v1/sessions/{id}")).status_code == 204
            assert await listed(here) == ([], 0)

    asyncio.run(main())


def test_a_list_is_whole_or_there_is_none(house: House) -> None:
    async def main(silent: Server) -> None:
        async with house.client(house.servers[0], "eve") as here:
            here.patient = False
            silent.process.send_signal(signal.SIGSTOP)
            try:
                statuses = set()
                async with asyncio.timeout(PATIENCE):
                    while (answer := await here.get(SESSIONS)).status_code != 200:
                        statuses.add((answer.status_code, answer.json()["code"]))
            finally:
                silent.process.send_signal(signal.SIGCONT)
            assert statuses <= {(503, "SERVER_GONE")}

    asyncio.run(main(house.servers[2]))
