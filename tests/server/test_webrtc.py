"""Sessions over WebRTC: aiortc as the peer of a real server process, over real sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from tests.process import Server, server

pytestmark = pytest.mark.anyio

WAIT = 30.0
RATE = 48_000
PACKET = 960
SIZE = (320, 240)
LOUD, QUIET = 500, 20
"""Root mean square of PCM16."""
SDP = {"Content-Type": "application/sdp"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "tests.server.listening_agent:load",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
        "VISAVIS_SCRIPTED__SECONDS": "1.5",
        "VISAVIS_VIDEO__WIDTH": str(SIZE[0]),
        "VISAVIS_VIDEO__HEIGHT": str(SIZE[1]),
    }
    with server(tmp_path_factory.mktemp("webrtc"), **settings) as started:
        yield started


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def http(running: Server) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{running.http}/api/v1", timeout=WAIT) as client:
        yield client


class Microphone(MediaStreamTrack):
    """Half a second of a tone each time that `say` is called, and silence."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sent, self._loud = 0, 0
        self._began = asyncio.get_running_loop().time()

    def say(self) -> None:
        self._loud = RATE // 2

    async def recv(self) -> av.AudioFrame:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE - clock()))
        time = np.arange(self._sent, self._sent + PACKET) / RATE
        wave = 16_000 * np.sin(2 * np.pi * 300 * time) * (self._loud > 0)
        self._loud -= PACKET
        frame = av.AudioFrame.from_ndarray(wave.astype("<i2")[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._sent
        self._sent += PACKET
        return frame


class Visitor:
    """A peer with a microphone."""

    def __init__(self, connection: RTCPeerConnection, location: str, microphone: Microphone) -> None:
        self.connection, self.location, self.microphone = connection, location, microphone
        tracks = [receiver.track for receiver in connection.getReceivers()]
        self._video, self._audio = (
            next(track for track in tracks if track.kind == kind) for kind in ("video", "audio")
        )

    async def picture(self) -> av.VideoFrame:
        frame = await asyncio.wait_for(self._video.recv(), WAIT)
        assert isinstance(frame, av.VideoFrame)
        return frame

    async def level(self) -> float:
        """How loud the next packet of sound is."""
        frame = await asyncio.wait_for(self._audio.recv(), WAIT)
        assert isinstance(frame, av.AudioFrame)
        return float(np.sqrt(np.mean(frame.to_ndarray().astype(float) ** 2)))

    async def hear(self, packets: int) -> int:
        """How many of the next packets are loud."""
        return sum([await self.level() > LOUD for _ in range(packets)])

    async def hear_reply(self) -> None:
        async with asyncio.timeout(WAIT):
            while await self.level() < LOUD:
                pass

    async def gone(self) -> None:
        """Wait until the server has ended the connection."""
        async with asyncio.timeout(WAIT):
            while self.connection.connectionState not in ("closed", "failed"):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def visiting(http: httpx2.AsyncClient, session: str) -> AsyncIterator[Visitor]:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    microphone = Microphone()
    try:
        connection.addTransceiver("video", "recvonly")
        connection.addTrack(microphone)
        await connection.setLocalDescription()
        answer = await http.post(
            f"/sessions/{session}/webrtc", content=connection.localDescription.sdp, headers=SDP
        )
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"].startswith("application/sdp")
        await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        yield Visitor(connection, answer.headers["location"], microphone)
    finally:
        await connection.close()


async def create(http: httpx2.AsyncClient) -> str:
    answer = await http.post("/sessions", json={})
    session: str = answer.json()["session_id"]
    return session


async def peers(http: httpx2.AsyncClient, expected: int) -> None:
    """Wait until the server has so many."""
    async with asyncio.timeout(WAIT):
        while (await status(http))["sessions"]["webrtc"] != expected:
            await asyncio.sleep(0.05)


async def status(http: httpx2.AsyncClient) -> dict[str, Any]:
    body: dict[str, Any] = (await http.get("/pipeline/status")).json()
    return body


async def test_a_peer_sees_and_hears_the_session(http: httpx2.AsyncClient) -> None:
    session = await create(http)
    async with visiting(http, session) as visitor:
        pictures = [await visitor.picture() for _ in range(5)]
        assert {(frame.width, frame.height) for frame in pictures} == {SIZE}
        steps = np.diff([frame.time for frame in pictures if frame.time is not None])
        assert np.allclose(steps * 25, np.round(steps * 25), atol=0.01)
        assert pictures[-1].to_ndarray(format="gray").std() > 10, "a face is no even surface"
        assert await visitor.hear(10) == 0
        await http.post(f"/sessions/{session}/text", json={"text": "Hello"})
        await visitor.hear_reply()
        # The murmur of 1.5 s, and silence again.
        assert 30 < await visitor.hear(100) < 80
        assert await visitor.hear(10) == 0
    await peers(http, 0)
    await http.delete(f"/sessions/{session}")


async def test_the_microphone_is_answered(http: httpx2.AsyncClient) -> None:
    session = await create(http)
    async with visiting(http, session) as visitor:
        assert await visitor.hear(50) == 0, "nobody has said anything"
        visitor.microphone.say()
        await visitor.hear_reply()
    transcript = (await http.get(f"/sessions/{session}")).json()["transcript"]
    assert transcript[0]["role"] == "user"
    await http.delete(f"/sessions/{session}")


async def test_a_peer_ends_and_the_session_goes_on(http: httpx2.AsyncClient) -> None:
    session = await create(http)
    async with visiting(http, session) as visitor:
        await visitor.picture()
        await peers(http, 1)
        assert visitor.location.startswith(f"/api/v1/sessions/{session}/webrtc/")
        path = visitor.location.removeprefix("/api/v1")
        assert (await http.delete(path)).status_code == 204
        await visitor.gone()
        await peers(http, 0)
        answer = await http.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_PEER")
    assert (await http.delete(f"/sessions/{session}")).status_code == 204


async def test_a_session_ends_with_its_peer(http: httpx2.AsyncClient) -> None:
    session = await create(http)
    async with visiting(http, session) as visitor:
        await visitor.picture()
        await http.delete(f"/sessions/{session}")
        await visitor.gone()
        await peers(http, 0)


async def test_a_newcomer_takes_the_place_of_the_peer(http: httpx2.AsyncClient) -> None:
    session = await create(http)
    async with visiting(http, session) as first:
        await first.picture()
        async with visiting(http, session) as second:
            await first.gone()
            await second.picture()
            await peers(http, 1)
            missing = await http.delete(first.location.removeprefix("/api/v1"))
            assert missing.status_code == 404
    await http.delete(f"/sessions/{session}")


def offer(*sections: str, candidates: int = 0) -> str:
    """An offer that looks right, with these media."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    for number, kind in enumerate(sections):
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", f"a=mid:{number}", "a=rtcp-mux"]
        lines += ["a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx", "a=setup:actpass", "a=sendrecv"]
        lines += [f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}", "a=rtpmap:96 opus/48000/2"]
        lines += ["a=candidate:1 1 udp 1 192.0.2.1 9 typ host"] * candidates
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("", "application/sdp", (422, "BAD_OFFER")),
        ("v=0", "application/sdp", (422, "BAD_OFFER")),
        ("m=audio\r\n", "application/sdp", (422, "BAD_OFFER")),
        (offer("audio", "audio"), "application/sdp", (422, "BAD_OFFER")),
        (offer("audio", "application"), "application/sdp", (422, "BAD_OFFER")),
        (offer("audio").replace("a=sendrecv", "a=x"), "application/sdp", (422, "BAD_OFFER")),
        (offer("audio", candidates=101), "application/sdp", (422, "BAD_OFFER")),
        (offer("audio").replace("opus", "mine"), "application/sdp", (422, "BAD_OFFER")),
        (offer("audio").replace("a=ice-pwd", "a=x"), "application/sdp", (422, "BAD_OFFER")),
        ("x" * 70_000, "application/sdp", (413, "TOO_LARGE")),
        (offer("audio"), "text/plain", (415, "NOT_SDP")),
    ],
)
async def test_what_is_no_offer_is_refused(
    http: httpx2.AsyncClient, body: str, kind: str, expected: tuple[int, str]
) -> None:
    session = await create(http)
    answer = await http.post(f"/sessions/{session}/webrtc", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == expected
    assert answer.json()["message"]
    await peers(http, 0)
    await http.delete(f"/sessions/{session}")


async def test_there_must_be_a_session(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/sessions/nobody/webrtc", content=offer("audio"), headers=SDP)
    assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_SESSION")
