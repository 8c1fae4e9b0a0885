"""What holds for everybody holds for a WebRTC peer, too: a real one, of a server in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from fastapi import FastAPI
from tests.asgi import Answer, call
from tests.chaos.house import Guest, house
from tests.shell import Puppet

from visavis import events as ev
from visavis.audio import BYTES
from visavis.security.callers import Caller
from visavis.server.talks import Talk
from visavis.settings import Settings
from visavis.video import webrtc
from visavis.video.drawn import DrawnRenderer

WAIT = 60.0
RATE = 48_000
PACKET = 960
SIZE = (64, 64)


class Microphone(MediaStreamTrack):
    """`seconds` of silence at once, and then more as time goes by."""

    kind = "audio"

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self._sent, self._ahead = 0, seconds
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> av.AudioFrame:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE - self._ahead - now))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, PACKET), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._sent
        self._sent += PACKET
        return frame


class Place:
    """A server, and a session of somebody's."""

    def __init__(self, app: FastAPI, agent: Puppet) -> None:
        self.app, self.agent = app, agent
        self.token = app.state.auth.user("ann")

    async def call(
        self, method: str, path: str, body: str = "", *, kind: str = "", token: str = ""
    ) -> Answer:
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": kind}
        return await call(self.app, method, f"/api/v1/sessions{path}", headers, [body.encode()])

    async def begin(self) -> Talk:
        answer = await self.call("POST", "", '{"output":"weights"}', kind="application/json")
        talk: Talk = self.app.state.talks.get(json.loads(answer.body)["session_id"], Caller("user-ann"))
        return talk

    async def offer(self, talk: Talk, connection: RTCPeerConnection, token: str = "") -> Answer:
        await connection.setLocalDescription()
        sdp = connection.localDescription.sdp
        return await self.call("POST", f"/{talk.id}/webrtc", sdp, kind="application/sdp", token=token)

    @asynccontextmanager
    async def visiting(self, talk: Talk, seconds: float = 0) -> AsyncIterator[RTCPeerConnection]:
        """A peer that has connected."""
        async with client() as connection:
            connection.addTransceiver("video", "recvonly")
            connection.addTrack(Microphone(seconds))
            answer = await self.offer(talk, connection)
            assert answer.status == 201, answer.body
            await connection.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
            while not (is_over(connection) or connection.connectionState == "connected"):
                await asyncio.sleep(0.02)
            yield connection


@asynccontextmanager
async def client() -> AsyncIterator[RTCPeerConnection]:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def place(**limits: float) -> AsyncIterator[Place]:
    settings = {
        "agent": "scripted",
        "auth": {"enabled": True, "secret_key": "k" * 32},
        "face": {"engine": "energy"},
        "limits": {"requests_per_minute": 0, **limits},
        "video": {"width": SIZE[0], "height": SIZE[1]},
    }
    agent = Puppet()
    async with house(Settings.model_validate(settings), agent) as app:
        app.state.pictures.renderer = still
        async with asyncio.timeout(WAIT):
            yield Place(app, agent)


async def still(avatar: str) -> DrawnRenderer:
    """Pictures are not what is tried here."""
    return DrawnRenderer(lambda seconds: np.zeros((*SIZE, 3), np.uint8), SIZE)


async def gone(connection: RTCPeerConnection) -> None:
    """Wait until the server has ended the connection."""
    while not is_over(connection):
        await asyncio.sleep(0.02)


def is_over(connection: RTCPeerConnection) -> bool:
    return connection.connectionState in ("closed", "failed")


def test_so_much_sound_in_a_minute_however_fast_it_comes() -> None:
    async def main() -> None:
        async with place(audio_seconds_per_minute=2) as ours:
            began = asyncio.get_running_loop().time()
            talk = await ours.begin()
            told = Guest(ours.app, f"/api/v1/sessions/{talk.id}/ws?token={ours.token}")
            async with ours.visiting(talk, seconds=10):
                error = await told.until("error", code="RATE_LIMITED")
                assert error is not None
                while heard(ours.agent) < 1.9:
                    await asyncio.sleep(0.02)
                passed = asyncio.get_running_loop().time() - began
                assert heard(ours.agent) < 2.1 + passed / 30
            await told.leave()

    asyncio.run(main())


def heard(agent: Puppet) -> float:
    """Seconds."""
    pcm = sum(len(event.pcm) for event in agent.heard if isinstance(event, ev.UserAudio))
    return pcm / BYTES / agent.input_rate


def test_a_peer_that_sends_more_than_peers_do_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "PACKETS", 10)

    async def main() -> None:
        async with place() as ours:
            talk = await ours.begin()
            async with ours.visiting(talk, seconds=4) as connection:
                await gone(connection)
            while ours.app.state.talks.peers:
                await asyncio.sleep(0.02)
            assert not talk.seat.ended.is_set()

    asyncio.run(main())


def test_a_peer_ends_with_its_token_and_the_session_stays() -> None:
    async def main() -> None:
        async with place() as ours:
            talk = await ours.begin()
            async with ours.visiting(talk) as connection:
                auth, other = ours.app.state.auth, ours.app.state.auth.user("ann")
                await auth.revoke(auth.read(other))
                assert ours.app.state.talks.peers == 1
                await auth.revoke(auth.read(ours.token))
                await gone(connection)
            while ours.app.state.talks.peers:
                await asyncio.sleep(0.02)
            assert not talk.seat.ended.is_set()
            assert not auth._open, "nothing is remembered of it"

    asyncio.run(main())


def test_a_token_that_ends_meanwhile_leaves_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with place() as ours, client() as connection:
            talk = await ours.begin()
            auth, answer = ours.app.state.auth, webrtc.Peer.answer

            async def late(peer: webrtc.Peer, offer: str) -> str:
                found = await answer(peer, offer)
                await auth.revoke(auth.read(ours.token))
                return found

            monkeypatch.setattr(webrtc.Peer, "answer", late)
            connection.addTrack(Microphone())
            await ours.offer(talk, connection)
            while ours.app.state.talks.peers:
                await asyncio.sleep(0.02)

    asyncio.run(main())


def test_a_peer_ends_with_a_conversation_that_was_too_long() -> None:
    """`seat.end` is what is called when its time is up; see `test_session_limits.py`."""

    async def main() -> None:
        async with place(session_minutes=10) as ours:
            talk = await ours.begin()
            async with ours.visiting(talk) as connection:
                talk.seat.end(1008, "a conversation may take 10 minutes here")
                await gone(connection)
            assert talk.id not in [seat.session.id for seat in ours.app.state.sessions]

    asyncio.run(main())


def test_there_is_no_channel_for_anything_but_sound() -> None:
    async def main() -> None:
        async with place() as ours, client() as connection:
            talk = await ours.begin()
            connection.addTrack(Microphone())
            connection.createDataChannel("messages")
            answer = await ours.offer(talk, connection)
            assert (answer.status, answer.code) == (422, "BAD_OFFER")
            assert talk.peer is None

    asyncio.run(main())


def test_nobody_else_sees_or_ends_it() -> None:
    async def main() -> None:
        async with place() as ours, client() as other:
            talk = await ours.begin()
            other.addTransceiver("video", "recvonly")
            async with ours.visiting(talk):
                peer = talk.peer
                assert peer is not None
                for token, status in ((ours.app.state.auth.user("eve"), 404), ("nobody's", 401)):
                    tried = await ours.offer(talk, other, token)
                    ended = await ours.call("DELETE", f"/{talk.id}/webrtc/{peer.id}", token=token)
                    assert (tried.status, ended.status) == (status, status)
                assert talk.peer is peer

    asyncio.run(main())
