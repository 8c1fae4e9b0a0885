"""A face and its voice as a live WebM stream (VP8 and Opus), for MediaSource and for `<video>`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.frame import PictureType

from visavis.audio import BYTES
from visavis.video import Picture, matroska
from visavis.video.matroska import PICTURES, SOUND, Block
from visavis.video.opus import DECODED_RATE, PACKET_MS, OpusStream
from visavis.video.yuv import Yuv

HIGHEST_FPS = 60
LOWEST_RATE, HIGHEST_RATE = 8_000, 96_000
"""Hz."""
BITS_PER_PIXEL = 0.1
"""Of each picture, on average: 770 kbit/s at 640x480 and 25 pictures a second."""
LOWEST_BIT_RATE = 50_000
"""Bits a second; with less than a thousand the encoder would give up pictures."""
LONGEST_SEGMENT_MS = 200
KEYFRAME_SECONDS = 2
"""A viewer who comes later waits at most so long, unless a keyframe is asked for."""
LONGEST_GAP = 5
"""Frames from one picture to the next. A player sees a hole where that is more than twice as long as a
picture is said to last; they are said to last longer while some are left out and for `GAPS_SECONDS` more."""
GAPS_SECONDS = 2
APART_SECONDS = 1.0
"""Sound and pictures are fed together; so far one of them may be ahead."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the stream that MediaSource takes as it is: one cluster, complete, of at most 200 ms.

    `start` and `seconds` are where it begins in the stream and how long it lasts. With `keyframe` it begins
    with a whole picture: a viewer who has the header may join there.
    """

    data: bytes
    keyframe: bool
    start: float
    seconds: float


class LiveWebM:
    """One endless stream. `header` comes first for every viewer, then segments from any keyframe on.

    `fps` 1 to 60; `width` and `height` even, 16 to 4096; `rate` in Hz, of mono PCM16. Picture k is seen from
    k / fps seconds, sample n heard at n / rate: both are counted, so they cannot drift apart. Encoding blocks
    for milliseconds, outside Python's lock: it belongs into a worker thread, one call at a time.
    Raises `ValueError` for arguments outside these ranges.
    """

    def __init__(self, fps: int, width: int, height: int, rate: int) -> None:
        if not 1 <= fps <= HIGHEST_FPS:
            raise ValueError(f"live video has 1 to {HIGHEST_FPS} pictures a second, not {fps}")
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"sound has {LOWEST_RATE} to {HIGHEST_RATE} samples a second, not {rate}")
        self._fps, self._rate = fps, rate
        self._yuv, self._opus = Yuv(width, height), OpusStream(rate)
        self._vp8 = _encoder(fps, width, height)
        self.header = matroska.header(width, height, fps, self._opus.head, self._opus.delay)
        self._waiting: list[Block] = []
        self._pictures = self._samples = self._packets = 0
        self.gap = 2
        """Frames that may pass from the last picture to the next."""
        self._keyframe_due = 0
        self._left_out: int | None = None
        self._end = 0
        self._closed = False

    def feed(
        self, pcm: bytes, pictures: Sequence[Picture | None], *, keyframe: bool = False
    ) -> list[Segment]:
        """The segments that are now complete: everything up to the end of what both tracks have.

        `pcm` and `pictures` last equally long, up to a picture's length, so that viewers wait for neither;
        a picture that is None is left out, and the last one stays, for `gap` frames at most. `keyframe` makes
        the first picture that is there a whole one: somebody has come. Raises `ValueError` after `close`,
        for pictures of another size, half a sample, and sound and pictures more than a second apart; nothing
        has happened then.
        """
        self._check(pcm, pictures)
        frames = [None if picture is None else self._yuv(picture) for picture in pictures]
        if keyframe:
            self._keyframe_due = self._pictures
        for frame in frames:
            if frame is not None:
                self._encode(frame)
            else:
                self._left_out = self._pictures
            self._pictures += 1
        self._samples += len(pcm) // BYTES
        self._hear(self._opus.feed(pcm))
        return self._segments(min(self._due(self._pictures), self._packets * PACKET_MS))

    def close(self) -> list[Segment]:
        """The rest of the stream, to the last sample; the stream takes nothing more."""
        if self._closed:
            return []
        self._closed = True
        packets, excess = self._opus.close()
        self._hear(packets[:-1])
        self._hear(packets[-1:], excess * 10**9 // DECODED_RATE)
        return self._segments(max(self._due(self._pictures), self._packets * PACKET_MS))

    def _check(self, pcm: bytes, pictures: Sequence[Picture | None]) -> None:
        if self._closed:
            raise ValueError("the stream is closed")
        if len(pcm) % BYTES:
            raise ValueError(f"PCM16 has {BYTES} bytes a sample; {len(pcm)} bytes have half a sample")
        seen = (self._pictures + len(pictures)) / self._fps
        heard = (self._samples + len(pcm) // BYTES) / self._rate
        if abs(seen - heard) > APART_SECONDS:
            raise ValueError(f"the pictures end at {seen:.2f} s and the sound at {heard:.2f} s")

    def _due(self, picture: int) -> int:
        """The millisecond at which a picture is shown."""
        return round(picture * 1000 / self._fps)

    def _encode(self, frame: av.VideoFrame) -> None:
        keyframe = self._pictures >= self._keyframe_due
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        frame.pts, frame.time_base = self._pictures, Fraction(1, self._fps)
        # Without looking ahead, every picture is one packet at once.
        (packet,) = self._vp8.encode(frame)
        gaps = self._left_out is not None and self._pictures - self._left_out < GAPS_SECONDS * self._fps
        lasts = -(-LONGEST_GAP * 500 // self._fps) if gaps else 0
        self.gap = LONGEST_GAP if gaps else 2
        due = self._due(self._pictures)
        self._waiting.append(Block(due, PICTURES, bytes(packet), packet.is_keyframe, lasts))
        if packet.is_keyframe:
            self._keyframe_due = self._pictures + KEYFRAME_SECONDS * self._fps

    def _hear(self, packets: list[bytes], excess_ns: int = 0) -> None:
        for packet in packets:
            self._waiting.append(Block(self._packets * PACKET_MS, SOUND, packet, excess_ns=excess_ns))
            self._packets += 1

    def _segments(self, end: int) -> list[Segment]:
        """Everything before millisecond `end`, in the order of time, cut into clusters."""
        waiting = sorted(self._waiting, key=lambda block: (block.time, block.track))
        ready = [block for block in waiting if block.time < end]
        self._waiting = waiting[len(ready) :]
        clusters: list[list[Block]] = []
        for block in ready:
            whole = block.track == PICTURES and block.keyframe
            if not clusters or whole or block.time - clusters[-1][0].time > LONGEST_SEGMENT_MS - PACKET_MS:
                clusters.append([])
            clusters[-1].append(block)
        edges = [blocks[0].time for blocks in clusters[1:]] + [end]
        return [self._segment(blocks, edge) for blocks, edge in zip(clusters, edges, strict=False)]

    def _segment(self, blocks: list[Block], end: int) -> Segment:
        start, self._end = self._end, end
        keyframe = blocks[0].track == PICTURES and blocks[0].keyframe
        return Segment(matroska.cluster(blocks), keyframe, start / 1000, (end - start) / 1000)


def _encoder(fps: int, width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
    encoder.bit_rate = max(LOWEST_BIT_RATE, round(BITS_PER_PIXEL * width * height * fps))
    encoder.thread_count = 1
    encoder.gop_size = 100 * KEYFRAME_SECONDS * fps  # keyframes are asked for
    # A fixed speed: the one that adapts itself looks at the clock. What hardly moves is not encoded again,
    # and a picture that stands still does not become better and better, which would cost twice the bytes.
    encoder.options = {
        "deadline": "realtime",
        "cpu-used": "-12",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
        "static-thresh": "500",
        "qmin": "10",
    }
    return encoder
