"""GGUF files whose weights get other blocks: on a small file with one tensor of each kind."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from visavis.stages.gguf_blocks import ALIGNMENT, Q4_1, Q8_0, q8_0, unpack, weights

SCALE, LEAST = 0.5, -3.0
NIBBLES = [*range(16), *range(15, -1, -1)]
BLOCK = np.frombuffer(
    struct.pack("<2e", SCALE, LEAST)
    + bytes(low | high << 4 for low, high in zip(NIBBLES[:16], NIBBLES[16:], strict=True)),
    np.uint8,
)[np.newaxis]
VALUES = np.array([nibble * SCALE + LEAST for nibble in NIBBLES])
PLAIN = np.arange(5, dtype="<f4").tobytes()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(kind: int, blocks: bytes, *more: bytes) -> bytes:
    """A file of five plain numbers, 64 weights of `kind`, and a bit of metadata."""
    entries = [
        text("general.name") + struct.pack("<I", 8) + text("Tiny"),
        text("tiny.depth") + struct.pack("<II", 4, 2),
        text("tiny.words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
        *more,
    ]
    infos = text("plain") + struct.pack("<IQIQ", 1, 5, 0, 0)
    infos += text("packed") + struct.pack("<IQQIQ", 2, 32, 2, kind, ALIGNMENT)
    head = struct.pack("<4sIQQ", b"GGUF", 3, 2, len(entries)) + b"".join(entries) + infos
    return b"".join(
        part.ljust(-(-len(part) // ALIGNMENT) * ALIGNMENT, b"\0") for part in (head, PLAIN, blocks)
    )


def test_blocks_keep_their_values() -> None:
    assert weights(BLOCK)[0] == pytest.approx(VALUES)
    (block,) = q8_0(weights(BLOCK))
    (scale,) = block[:2].view(np.float16)
    assert block[2:].view(np.int8) * float(scale) == pytest.approx(VALUES, abs=np.abs(VALUES).max() / 250)


def test_weights_that_are_all_nothing_stay_so() -> None:
    assert not q8_0(np.zeros((2, 32), np.float32)).any()


def test_only_the_packed_tensors_of_a_file_change(tmp_path: Path) -> None:
    source, target = tmp_path / "small.gguf", tmp_path / "large.gguf"
    source.write_bytes(gguf(Q4_1, BLOCK.tobytes() * 2))
    unpack(source, target)
    assert target.read_bytes() == gguf(Q8_0, q8_0(weights(BLOCK)).tobytes() * 2)


def test_a_file_with_an_alignment_of_its_own_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "small.gguf"
    alignment = text("general.alignment") + struct.pack("<II", 4, 64)
    source.write_bytes(gguf(Q4_1, BLOCK.tobytes() * 2, alignment))
    with pytest.raises(ValueError, match="alignment"):
        unpack(source, tmp_path / "large.gguf")
