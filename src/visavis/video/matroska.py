"""Live WebM, byte by byte: a header that names one VP8 picture track and one Opus sound track, and clusters.

FFmpeg's own muxer cannot write it: it moves the sound's times by Opus' delay after it has sorted the blocks,
and MediaSource refuses blocks that go back in time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

PICTURES, SOUND = 1, 2
"""Track numbers."""
OPUS_RATE = 48_000
SETTLING_NS = 80_000_000
"""Nanoseconds of sound a decoder of Opus needs before what it gives is right."""
LONGEST_CLUSTER_MS = 32_767
"""A block's time is 16 bits, in milliseconds from the beginning of its cluster."""
UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
"""A live stream does not know how long it will be."""

BT601, SRGB_PRIMARIES, SRGB_TRANSFER, LIMITED_RANGE = 6, 1, 13, 1


@dataclass(frozen=True, slots=True)
class Block:
    """One encoded picture or packet of sound. `time` in milliseconds since the stream began; `lasts`
    milliseconds if not as usual; `excess_ns` nanoseconds of sound at its end are not to be heard."""

    time: int
    track: int
    data: bytes
    keyframe: bool = True
    lasts: int = 0
    excess_ns: int = 0


def header(width: int, height: int, fps: int, opus_head: bytes, delay: int) -> bytes:
    """What a stream begins with. `opus_head` is the Opus identification header and `delay` the samples at
    48 kHz that decoding begins with and nobody is to hear."""
    ebml = _element(
        "1A45DFA3",
        _unsigned("4286", 1),  # version of EBML
        _unsigned("42F7", 1),
        _unsigned("42F2", 4),  # longest identifier
        _unsigned("42F3", 8),  # longest size
        _element("4282", b"webm"),
        _unsigned("4287", 4),
        _unsigned("4285", 2),
    )
    info = _element(
        "1549A966",
        _unsigned("2AD7B1", 1_000_000),  # times are in milliseconds
        _element("4D80", b"Visavis"),
        _element("5741", b"Visavis"),
    )
    tracks = _element(
        "1654AE6B", _picture_track(width, height, fps), _sound_track(opus_head, delay * 10**9 // OPUS_RATE)
    )
    return ebml + bytes.fromhex("18538067") + UNKNOWN_SIZE + info + tracks


def cluster(blocks: Sequence[Block]) -> bytes:
    """`blocks` in the order of their times; the first gives the cluster its time."""
    start = blocks[0].time
    return _element("1F43B675", _unsigned("E7", start), *(_block(block, start) for block in blocks))


def _picture_track(width: int, height: int, fps: int) -> bytes:
    colour = _element(
        "55B0",
        _unsigned("55B1", BT601),
        _unsigned("55B9", LIMITED_RANGE),
        _unsigned("55BA", SRGB_TRANSFER),
        _unsigned("55BB", SRGB_PRIMARIES),
    )
    return _element(
        "AE",
        *_track(PICTURES, kind=1, codec=b"V_VP8"),
        _unsigned("23E383", 10**9 // fps),  # nanoseconds a picture lasts
        _element("E0", _unsigned("B0", width), _unsigned("BA", height), colour),
    )


def _sound_track(opus_head: bytes, delay_ns: int) -> bytes:
    return _element(
        "AE",
        *_track(SOUND, kind=2, codec=b"A_OPUS"),
        _element("63A2", opus_head),
        _unsigned("56AA", delay_ns),
        _unsigned("56BB", SETTLING_NS),
        _element("E1", _element("B5", struct.pack(">d", OPUS_RATE)), _unsigned("9F", 1)),
    )


def _track(number: int, kind: int, codec: bytes) -> list[bytes]:
    return [
        _unsigned("D7", number),
        _unsigned("73C5", number),  # its unique number
        _unsigned("83", kind),
        _unsigned("9C", 0),  # one frame a block
        _element("86", codec),
    ]


def _block(block: Block, start: int) -> bytes:
    place = _size(block.track) + struct.pack(">h", block.time - start)
    if not block.excess_ns and not block.lasts:
        return _element("A3", place, b"\x80" if block.keyframe else b"\0", block.data)
    # Only the longer form can say how long it lasts, and where in its last packet the sound ends.
    more = [_element("A1", place, b"\0", block.data)]
    if block.lasts:
        more.append(_unsigned("9B", block.lasts))
    if not block.keyframe:
        more.append(_element("FB", b"\xff"))  # it is drawn upon one before it
    if block.excess_ns:
        more.append(
            _element(
                "75A2", block.excess_ns.to_bytes(block.excess_ns.bit_length() // 8 + 1, "big", signed=True)
            )
        )
    return _element("A0", *more)


def _element(identifier: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return bytes.fromhex(identifier) + _size(len(body)) + body


def _unsigned(identifier: str, number: int) -> bytes:
    return _element(identifier, number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))


def _size(number: int) -> bytes:
    """A number as long as it needs: the zeros before the first one tell how many bytes follow."""
    # All ones are reserved for what is unknown.
    length = next(length for length in range(1, 9) if number < (1 << (7 * length)) - 1)
    return (number | 1 << (7 * length)).to_bytes(length, "big")
