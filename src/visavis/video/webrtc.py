"""A session over WebRTC: its pictures and its sound to a peer, and the peer's microphone to it.

Needs the extra `webrtc`. Pictures are VP8, sound is Opus; the connection adapts to the network by itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Generic, Literal, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread
import av
import numpy as np
import structlog
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcconfiguration import RTCBundlePolicy
from numpy.typing import NDArray

from visavis import events as ev
from visavis.audio import BYTES, Media
from visavis.errors import VisavisError
from visavis.security.limits import Bucket
from visavis.settings import IceServerSettings
from visavis.video import Picture, Size
from visavis.video.yuv import Yuv

ANSWER_SECONDS = 10.0
"""The longest that an answer may take: STUN and TURN servers are asked meanwhile."""
CONNECT_SECONDS = 20.0
"""A peer that has not connected by then is given up; one that is lost later is noticed in half a minute."""
CLOSE_SECONDS = 5.0
PACKETS = 300
"""A second that a peer may send, on average over `BURST_SECONDS`; a microphone and its reports have 60."""
BURST_SECONDS = 10
PICTURES_WAIT, SOUND_WAIT = 2, 25
"""Pictures, and packets of sound, that may wait to be sent; then the oldest are left out."""
PACKET_MS = 20
MOST_CANDIDATES = 100
"""Addresses that an offer may name."""
CODECS = {"audio": "audio/opus", "video": "video/VP8"}
KINDS = {"stun": "srflx", "turn": "relay"}
"""What candidates a server gives."""
_log = structlog.get_logger()
_SECTION = re.compile(r"^m=(\w+)", re.MULTILINE)
T = TypeVar("T")


class Waiting(Generic[T]):
    """What comes last is what counts: with `most` in it, the oldest makes room."""

    def __init__(self, most: int) -> None:
        self._items: deque[T] = deque(maxlen=most)
        self._more = anyio.Event()

    def put(self, item: T) -> None:
        self._items.append(item)
        self._more.set()

    async def get(self) -> T:
        while not self._items:
            self._more = anyio.Event()
            await self._more.wait()
        return self._items.popleft()


class PictureTrack(MediaStreamTrack):
    kind = "video"

    def __init__(self, fps: int, size: Size) -> None:
        super().__init__()
        self._yuv, self._time_base = Yuv(*size), Fraction(1, fps)
        self._coming: Waiting[tuple[int, Picture]] = Waiting(PICTURES_WAIT)

    def put(self, number: int, picture: Picture) -> None:
        """Picture `number` of the stream."""
        self._coming.put((number, picture))

    async def recv(self) -> av.VideoFrame:
        number, picture = await self._coming.get()
        frame = await anyio.to_thread.run_sync(self._yuv, picture)
        frame.pts, frame.time_base = number, self._time_base
        return frame


class SoundTrack(MediaStreamTrack):
    kind = "audio"

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate, self._size = rate, rate * PACKET_MS // 1000
        self._rest, self._samples = b"", 0
        self._coming: Waiting[av.AudioFrame] = Waiting(SOUND_WAIT)

    def put(self, pcm: bytes) -> None:
        """The next sound of the stream: PCM16."""
        self._rest += pcm
        while len(self._rest) >= self._size * BYTES:
            piece, self._rest = self._rest[: self._size * BYTES], self._rest[self._size * BYTES :]
            frame = av.AudioFrame.from_ndarray(np.frombuffer(piece, "<i2")[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            frame.pts = self._samples
            self._samples += self._size
            self._coming.put(frame)

    async def recv(self) -> av.AudioFrame:
        return await self._coming.get()


class Peer:
    """One connection, a viewer of the session's stream; `hear` is given what its microphone sends."""

    kind: Literal["frames"] = "frames"

    def __init__(
        self,
        media: Media,
        size: Size,
        servers: Sequence[IceServerSettings],
        hear: Callable[[ev.MicOn | ev.UserAudio], None],
    ) -> None:
        self.id = uuid4().hex
        # An empty list, not None: nobody is asked that the settings do not name.
        asked = [
            RTCIceServer(server.url, server.username or None, server.credential.get_secret_value() or None)
            for server in servers
        ]
        self._expected = [KINDS[server.url.partition(":")[0].rstrip("s")] for server in servers]
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=asked, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._connection.on("connectionstatechange", self._changed)
        self._pictures, self._sound = PictureTrack(media.fps, size), SoundTrack(media.rate)
        self._given = 0
        self._microphone: MediaStreamTrack | None = None
        self._hear = hear
        self._decided, self._over = anyio.Event(), anyio.Event()

    # -- a viewer of the stream ------------------------------------------------------------------------------
    def give(self, picture: Picture | None, pcm: bytes) -> None:
        """The next frame; None: the last picture stays."""
        if picture is not None:
            self._pictures.put(self._given, picture)
        self._sound.put(pcm)
        self._given += 1

    def close(self) -> None:
        """End the connection."""
        self._decided.set()
        self._over.set()

    # -- the connection --------------------------------------------------------------------------------------
    async def answer(self, offer: str) -> str:
        """The answer to an offer, both SDP with all candidates in it; `run` is to follow.

        Raises `VisavisError`: BAD_OFFER, or ICE_FAILED when the server has no address to offer.
        """
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await self._take(offer)
            answer: str = self._connection.localDescription.sdp
            if "a=candidate:" not in answer:
                raise VisavisError("ICE_FAILED", "The server is in no network: it has no address to offer.")
        except BaseException as error:
            await self._release()
            if isinstance(error, TimeoutError):
                raise VisavisError("ICE_FAILED", "The server's addresses were not found in time.") from None
            raise
        for kind in self._expected:
            if f" typ {kind}" not in answer:
                _log.warning("a server of webrtc.ice_servers gives no address", expected=kind)
        return answer

    async def run(self) -> None:
        """Serve the peer until it leaves, is lost, or is to `close`."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                if self._microphone is not None:
                    tasks.start_soon(self._listen, self._microphone)
                with anyio.move_on_after(CONNECT_SECONDS):
                    await self._decided.wait()
                if self._connection.connectionState == "connected":
                    await self._over.wait()
                tasks.cancel_scope.cancel()
        finally:
            await self._release()

    async def _take(self, offer: str) -> None:
        kinds = _SECTION.findall(offer)
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(CODECS):
            raise _bad_offer("it must have one section of audio, one of video, or both, and nothing else")
        if offer.count("a=candidate:") > MOST_CANDIDATES:
            raise _bad_offer(f"it names more than {MOST_CANDIDATES} candidates")
        try:
            for kind in kinds:
                self._offer_track(kind)
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await self._connection.setLocalDescription()
            tracks = [receiver.track for receiver in self._connection.getReceivers()]
        except Exception as error:  # of every kind: what comes from outside is parsed there
            raise _bad_offer(str(error) or type(error).__name__) from error
        self._microphone = next((track for track in tracks if track and track.kind == "audio"), None)

    def _offer_track(self, kind: str) -> None:
        if kind == "video":
            transceiver = self._connection.addTransceiver(self._pictures, "sendonly")
        else:
            transceiver = self._connection.addTransceiver(self._sound, "sendrecv")
        known = RTCRtpSender.getCapabilities(kind).codecs
        wanted = [codec for codec in known if codec.mimeType in (CODECS[kind], f"{kind}/rtx")]
        transceiver.setCodecPreferences(wanted)

    def _changed(self) -> None:
        match self._connection.connectionState:
            case "connected":
                self._decided.set()
            case "failed" | "closed":
                self.close()

    async def _watch(self) -> None:
        """Hang up on who sends more than peers do: each packet takes time, whether it is sound or not."""
        allowed, counted = Bucket(PACKETS, PACKETS * BURST_SECONDS, anyio.current_time()), 0
        while True:
            await anyio.sleep(1)
            report = await self._connection.getStats()
            packets = sum(each.packetsReceived for each in report.values() if each.type == "transport")
            if not allowed.take(packets - counted, anyio.current_time()):
                _log.warning("a peer was disconnected that sends too much", packets=packets)
                self.close()
                return
            counted = packets

    async def _listen(self, microphone: MediaStreamTrack) -> None:
        rate = 0
        try:
            while True:
                frame = await microphone.recv()
                if not isinstance(frame, av.AudioFrame):
                    return
                if frame.sample_rate != rate:
                    rate = frame.sample_rate
                    self._hear(ev.MicOn(rate))
                self._hear(ev.UserAudio(mono(frame)))
        except MediaStreamError:
            return

    async def _release(self) -> None:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._connection.close()
            except Exception as error:  # what a wrong offer has left half made
                _log.warning("a connection could not be closed", error=repr(error))


def mono(frame: av.AudioFrame) -> bytes:
    """A decoded frame of interleaved 16-bit samples as PCM16 of one channel."""
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    mixed: NDArray[np.int16] = samples.mean(axis=1).round().astype("<i2")
    return mixed.tobytes()


def _bad_offer(why: str) -> VisavisError:
    return VisavisError("BAD_OFFER", f"The offer cannot be answered: {why[:200]}.")
