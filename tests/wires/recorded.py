"""What a browser's MediaRecorder writes: WebM with Opus alone, its sizes unknown, a SimpleBlock a packet."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
PACKET = 960
"""Samples of a packet: 20 ms."""
PRE_SKIP = 312
UNKNOWN = b"\x01" + b"\xff" * 7


def element(identifier: str, *bodies: bytes, size: bytes | None = None) -> bytes:
    """One that says how long it is, unless its `size` is given."""
    body = b"".join(bodies)
    return (
        bytes.fromhex(identifier)
        + ((1 << 56 | len(body)).to_bytes(8, "big") if size is None else size)
        + body
    )


def packets(pcm: NDArray[np.int16], channels: int = 1) -> list[bytes]:
    """Opus packets of `pcm`, int16[samples, channels] at 48 kHz, after `PRE_SKIP` samples of nothing."""
    layout = "mono" if channels == 1 else "stereo"
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, layout, "s16"
    encoder.bit_rate, encoder.time_base = 96_000, Fraction(1, RATE)
    encoder.open()
    encoded: list[bytes] = []
    rest = -len(pcm) % PACKET
    padded = np.concatenate([pcm.reshape(-1, channels), np.zeros((rest, channels), np.int16)])
    for begin in range(0, len(padded), PACKET):
        piece = np.ascontiguousarray(padded[begin : begin + PACKET]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=layout)
        frame.sample_rate, frame.pts = RATE, begin
        encoded += [bytes(packet) for packet in encoder.encode(frame)]
    return encoded + [bytes(packet) for packet in encoder.encode(None)]


def track(number: int, codec: bytes, private: bytes = b"") -> bytes:
    fields = [element("d7", bytes([number])), element("86", codec)]
    return element("ae", *fields, *([element("63a2", private)] if private else []))


def opus_head(channels: int = 1, pre_skip: int = PRE_SKIP) -> bytes:
    return (
        b"OpusHead\x01"
        + bytes([channels])
        + pre_skip.to_bytes(2, "little")
        + RATE.to_bytes(4, "little")
        + bytes(3)
    )


def block(number: int, packet: bytes) -> bytes:
    return element("a3", bytes([0x80 | number]) + b"\0\0\x80" + packet)


def header(*tracks: bytes) -> bytes:
    return (
        element("1a45dfa3", element("4282", b"webm"))
        + element("18538067", size=UNKNOWN)
        + element("1549a966", element("2ad7b1", (1_000_000).to_bytes(4, "big")), element("4d80", b"Chrome"))
        + element("1654ae6b", *tracks)
    )


def cluster(*blocks: bytes) -> bytes:
    return element("1f43b675", size=UNKNOWN) + element("e7", b"\0") + b"".join(blocks)


def webm(sound: Sequence[bytes], channels: int = 1, of_each: int = 12) -> bytes:
    """A whole stream, a cluster for `of_each` packets."""
    clusters = [
        cluster(*(block(1, packet) for packet in sound[at : at + of_each]))
        for at in range(0, len(sound), of_each)
    ]
    return header(track(1, b"A_OPUS", opus_head(channels))) + b"".join(clusters)
