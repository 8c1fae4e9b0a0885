"""A peer by itself, with aiortc as the other side: what it sends, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import av
import numpy as np
import pytest
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from structlog.testing import capture_logs

from visavis import events as ev
from visavis import video
from visavis.audio import Media
from visavis.errors import VisavisError
from visavis.server import signalling
from visavis.server.api_errors import STATUS
from visavis.settings import IceServerSettings
from visavis.video import webrtc

MEDIA, SIZE = Media(fps=25), (64, 48)
WAIT = 20.0


def alive() -> tuple[set[asyncio.Task[object]], set[threading.Thread]]:
    """What runs besides: the decoders of a peer have threads of their own, the encoders share workers."""
    threads = {thread for thread in threading.enumerate() if thread.name.endswith("-decoder")}
    return {task for task in asyncio.all_tasks() if not task.done()}, threads


def peer(servers: tuple[IceServerSettings, ...] = ()) -> tuple[webrtc.Peer, list[ev.MicOn | ev.UserAudio]]:
    heard: list[ev.MicOn | ev.UserAudio] = []
    return webrtc.Peer(MEDIA, SIZE, servers, heard.append), heard


@asynccontextmanager
async def client() -> AsyncIterator[RTCPeerConnection]:
    """With a microphone, and an offer that can be answered."""
    made = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        made.addTransceiver("video", "recvonly")
        made.addTrack(AudioStreamTrack())
        await made.setLocalDescription()
        yield made
    finally:
        await made.close()


def test_what_waits_too_long_is_left_out() -> None:
    async def script() -> list[int]:
        waiting: webrtc.Waiting[int] = webrtc.Waiting(2)
        for number in range(5):
            waiting.put(number)
        return [await waiting.get(), await waiting.get()]

    assert asyncio.run(script()) == [3, 4]


def test_sound_becomes_packets_of_20_ms() -> None:
    async def script() -> list[tuple[int | None, int, int]]:
        track = webrtc.SoundTrack(24_000)
        for length in (100, 860, 1000):
            track.put(np.full(length, 7, "<i2").tobytes())
        frames = [await track.recv() for _ in range(4)]
        return [(frame.pts, frame.samples, int(frame.to_ndarray().min())) for frame in frames]

    assert asyncio.run(script()) == [(0, 480, 7), (480, 480, 7), (960, 480, 7), (1440, 480, 7)]


def test_a_stereo_microphone_is_mixed() -> None:
    frame = av.AudioFrame.from_ndarray(np.array([[100, 300, -5, -7]], "<i2"), format="s16", layout="stereo")
    assert np.frombuffer(webrtc.mono(frame), "<i2").tolist() == [200, -6]


@pytest.mark.parametrize("who", ["the client", "the server", "the shutdown"])
def test_nothing_is_left_of_a_peer(who: str) -> None:
    async def script() -> None:
        before = alive()
        made, heard = peer()
        async with client() as other, anyio.create_task_group() as tasks:
            answer = await made.answer(other.localDescription.sdp)
            tasks.start_soon(made.run)
            await other.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            picture = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
            async with asyncio.timeout(WAIT):
                while len(heard) < 3 or other.connectionState != "connected":
                    made.give(picture, bytes(MEDIA.edge(1) * 2))
                    await asyncio.sleep(0.01)
            assert heard[0] == ev.MicOn(48_000)
            assert all(isinstance(event, ev.UserAudio) and len(event.pcm) == 1920 for event in heard[1:])
            assert alive()[1] > before[1]
            match who:
                case "the client":
                    await other.close()
                case "the server":
                    made.close()
                case _:
                    tasks.cancel_scope.cancel()
        async with asyncio.timeout(WAIT):
            while alive() != before:  # a cancelled task has its last step still to go
                await asyncio.sleep(0.01)

    asyncio.run(script())


def test_who_never_connects_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "CONNECT_SECONDS", 0.05)

    async def script() -> None:
        before = alive()
        made, heard = peer()
        async with client() as other:
            await made.answer(other.localDescription.sdp)
            async with asyncio.timeout(WAIT):
                await made.run()
        async with asyncio.timeout(WAIT):
            while alive() != before:
                await asyncio.sleep(0.01)
        assert not heard

    asyncio.run(script())


@pytest.mark.parametrize(
    ("part", "wrong"),
    [("BUNDLE 0 1", "BUNDLE 7 0 1"), ("a=mid:1", "a=mid:0"), ("a=setup:actpass", "a=setup:me")],
)
def test_nothing_is_left_of_an_offer_that_cannot_be_answered(part: str, wrong: str) -> None:
    async def script() -> None:
        before = alive()
        async with client() as other:
            made, _ = peer()
            assert part in other.localDescription.sdp
            with pytest.raises(VisavisError, match="cannot be answered") as problem:
                await made.answer(other.localDescription.sdp.replace(part, wrong))
            assert problem.value.code == "BAD_OFFER"
        async with asyncio.timeout(WAIT):
            while alive() != before:
                await asyncio.sleep(0.01)

    asyncio.run(script())


def test_a_server_without_a_network_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script() -> None:
        async with client() as other:
            monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: [])
            made, _ = peer()
            with pytest.raises(VisavisError, match="no address") as problem:
                await made.answer(other.localDescription.sdp)
        assert STATUS[problem.value.code] == 502

    asyncio.run(script())


def test_a_turn_server_that_does_not_answer_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(**_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("aioice.ice.relayed_candidate", refuse)

    async def script() -> None:
        made, _ = peer((IceServerSettings(url="turn:127.0.0.1:9"),))
        async with client() as other:
            with capture_logs() as logs:
                assert " typ host" in await made.answer(other.localDescription.sdp)
        assert [line["expected"] for line in logs] == ["relay"]
        made.close()
        await made.run()

    asyncio.run(script())


def test_only_the_servers_of_the_settings_are_asked() -> None:
    async def script() -> list[object]:
        made, _ = peer()
        with_turn, _ = peer(
            (
                IceServerSettings(url="stun:stun.example:3478"),
                IceServerSettings(url="turn:turn.example?transport=tcp", username="u", credential="c"),
            )
        )
        asked: list[object] = []
        for one in (made, with_turn):
            transceiver = one._connection.addTransceiver("audio")
            ice = transceiver.receiver.transport.transport._connection
            asked += [ice.stun_server, ice.turn_server, ice.turn_username, ice.turn_password]
            one.close()
            await one.run()
        return asked

    nobody = [None, None, None, None]
    assert asyncio.run(script()) == [*nobody, ("stun.example", 3478), ("turn.example", 3478), "u", "c"]


def test_without_the_extra_the_call_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "visavis.video.webrtc")
    monkeypatch.delattr(video, "webrtc")
    monkeypatch.setitem(sys.modules, "aiortc", None)
    with pytest.raises(VisavisError, match=r"pip install 'visavis\[webrtc\]'") as problem:
        signalling._extra()
    assert (problem.value.code, STATUS[problem.value.code]) == ("MISSING_EXTRA", 501)
