"""Sound as Opus packets, counted in samples."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from visavis.audio import BYTES, Resampler

RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What Opus takes as it is, in Hz."""
DECODED_RATE = 48_000
"""What Opus becomes again, whatever it was."""
PACKET_MS = 20
BIT_RATE = 32_000
"""Bits a second: speech at which nobody hears a difference."""
COMPLEXITY = 5
"""Half the processor time of 10, and no difference for one voice."""


class OpusStream:
    """Mono PCM16 at `rate` Hz -> packets of 20 ms; packet n begins 20 n ms into the stream, less `delay`.

    `head` is the identification header; `delay` the samples at 48 kHz that a decoder gives first and drops.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate if rate in RATES else DECODED_RATE
        self._resample = Resampler(rate, self._rate)
        self._size = self._rate * PACKET_MS // 1000
        encoder = av.CodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.layout, encoder.format = self._rate, "mono", "s16"
        encoder.bit_rate, encoder.time_base = BIT_RATE, Fraction(1, self._rate)
        encoder.options = {"frame_duration": str(PACKET_MS), "compression_level": str(COMPLEXITY)}
        encoder.open()
        self._encoder = encoder
        self.head = bytes(encoder.extradata or b"")
        self.delay = int.from_bytes(self.head[10:12], "little")
        self._waiting = b""
        self._samples = self._encoded = 0

    def feed(self, pcm: bytes) -> list[bytes]:
        """The packets that `pcm` completes."""
        return self._feed(self._resample(pcm))

    def close(self) -> tuple[list[bytes], int]:
        """The last packets, and how many samples at 48 kHz at their end are not part of the sound."""
        packets = self._feed(self._resample(b"", last=True))
        # What a decoder drops at the beginning is missing at the end.
        needed = self._samples + self.delay * self._rate // DECODED_RATE if self._samples else 0
        missing = -(-(needed - self._encoded) // self._size) * self._size
        if missing > 0:
            self._waiting = self._waiting.ljust(missing * BYTES, b"\0")
            packets += self._encode()
        return packets, (self._encoded - needed) * DECODED_RATE // self._rate

    def _feed(self, pcm: bytes) -> list[bytes]:
        self._waiting += pcm
        self._samples += len(pcm) // BYTES
        return self._encode()

    def _encode(self) -> list[bytes]:
        packets = []
        while len(self._waiting) >= self._size * BYTES:
            piece, self._waiting = self._waiting[: self._size * BYTES], self._waiting[self._size * BYTES :]
            frame = av.AudioFrame.from_ndarray(np.frombuffer(piece, "<i2")[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._encoded, Fraction(1, self._rate)
            packets += [bytes(packet) for packet in self._encoder.encode(frame)]
            self._encoded += self._size
        return packets
