"""The sound in a live WebM stream, as a browser's MediaRecorder writes it, a piece at a time.

Matroska is a tree of elements; only its leaves matter here, so the elements that hold others are entered and
their sizes, which a live stream does not know, are not needed. Source: RFC 9559 (Matroska), RFC 7845 (Opus).
"""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
from av.packet import Packet

from visavis.audio import to_pcm

MAGIC = b"\x1a\x45\xdf\xa3"
"""What every WebM file and stream begins with."""
RATE = 48_000
"""Hz of the sound, whatever the browser's microphone has."""
LARGEST = 1 << 20
"""Bytes of one element; a block of sound has some hundreds."""
_SEGMENT, _CLUSTER, _TRACKS, _TRACK, _GROUP = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xA0
_ENTERED = frozenset((_SEGMENT, _CLUSTER, _TRACKS, _TRACK, _GROUP))
_NUMBER, _CODEC, _PRIVATE, _BLOCK, _SIMPLE_BLOCK = 0xD7, 0x86, 0x63A2, 0xA1, 0xA3
_PRE_SKIP = slice(10, 12)
"""Where Opus' header says how many samples at the beginning are not part of the sound."""


class NotWebM(ValueError):
    """What came is not a WebM stream with Opus sound."""


class WebMReader:
    """Takes a stream in pieces of any size, from its very beginning."""

    def __init__(self, may_decode: Callable[[], bool] = lambda: True) -> None:
        """`may_decode` is asked for each block: a few bytes of it can be a tenth of a second of silence."""
        self._may_decode = may_decode
        self._buffer = bytearray()
        self._track: int | None = None
        self._number, self._codec = 0, b""
        self._skip = 0
        self._decoder: av.AudioCodecContext | None = None

    def feed(self, piece: bytes) -> bytes:
        """PCM16 mono at `RATE` of what is complete. Raises `NotWebM`."""
        self._buffer += piece
        sound: list[bytes] = []
        while (element := self._element()) is not None:
            kind, body = element
            match kind:
                case _ if kind == _TRACK:
                    self._number, self._codec = 0, b""
                case _ if kind == _NUMBER:
                    self._number = int.from_bytes(body, "big")
                case _ if kind == _CODEC:
                    self._codec = body.rstrip(b"\0")
                    self._choose()
                case _ if kind == _PRIVATE and self._number == self._track and len(body) >= _PRE_SKIP.stop:
                    self._skip = int.from_bytes(body[_PRE_SKIP], "little")
                case _ if kind in (_BLOCK, _SIMPLE_BLOCK):
                    sound.append(self._block(body))
        return b"".join(sound)

    def _choose(self) -> None:
        if self._codec == b"A_OPUS" and self._track is None:
            self._track = self._number
            # Mono, whatever the stream says: the decoder mixes.
            self._decoder = av.AudioCodecContext.create("opus", "r")
            self._decoder.sample_rate = RATE
            self._decoder.layout = "mono"

    def _element(self) -> tuple[int, bytes] | None:
        """The next element: a leaf with its body, or the head of one that is entered; None when it is not
        complete."""
        head = _identifier(self._buffer)
        if head is None:
            return None
        kind, at = head
        sized = _size(self._buffer, at)
        if sized is None:
            return None
        size, at = sized
        if kind in _ENTERED:
            del self._buffer[:at]
            return kind, b""
        if size is None or size > LARGEST:
            raise NotWebM("an element has no size that can be right")
        if len(self._buffer) < at + size:
            return None
        body = bytes(self._buffer[at : at + size])
        del self._buffer[: at + size]
        return kind, body

    def _block(self, body: bytes) -> bytes:
        """A block: its track, 2 bytes of time, flags, then one packet (lacing is for files)."""
        read = _size(body, 0)
        if read is None:
            raise NotWebM("a block is cut short")
        track, at = read
        if self._decoder is None:
            raise NotWebM("there is no Opus sound in it")
        if track != self._track:
            return b""
        if not self._may_decode():
            raise NotWebM("there is more of it than anybody can have said meanwhile")
        try:
            frames = self._decoder.decode(Packet(body[at + 3 :]))
        except av.FFmpegError:
            return b""  # a damaged packet is 20 ms of nothing
        sound = [frame.to_ndarray().reshape(len(frame.layout.channels), -1).mean(0) for frame in frames]
        samples = np.concatenate([np.zeros(0, np.float32), *sound])
        skipped, self._skip = samples[self._skip :], max(0, self._skip - len(samples))
        return to_pcm(skipped)


def _identifier(data: bytes | bytearray) -> tuple[int, int] | None:
    """An element's identifier, with the bits that say its length, and where it ends."""
    if not data:
        return None
    length = 9 - data[0].bit_length()
    if length > 4:
        raise NotWebM("this is not WebM")
    return (int.from_bytes(data[:length], "big"), length) if len(data) >= length else None


def _size(data: bytes | bytearray, at: int) -> tuple[int | None, int] | None:
    """A size (None is unknown), and where it ends."""
    if len(data) <= at:
        return None
    length = 9 - data[at].bit_length()
    if length > 8:
        raise NotWebM("this is not WebM")
    if len(data) < at + length:
        return None
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), at + length
