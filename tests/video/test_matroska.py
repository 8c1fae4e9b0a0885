"""The muxer, read back by a reader of its own and by FFmpeg."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.video import ebml

from visavis.video import matroska
from visavis.video.matroska import PICTURES, SOUND, Block

HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 24_000, 0, 0)

blocks = st.builds(
    Block,
    time=st.integers(0, 200),
    track=st.sampled_from([PICTURES, SOUND]),
    data=st.binary(max_size=300),
    keyframe=st.booleans(),
)


def test_the_header_says_what_the_tracks_are() -> None:
    header = matroska.header(640, 480, 25, HEAD, 312)
    parts = list(ebml.elements(header))
    assert [part.identifier for part in parts if not part.path] == [0x1A45DFA3, ebml.SEGMENT]
    assert [part.size for part in parts if part.identifier == ebml.SEGMENT] == [None]
    assert [part.body for part in parts if part.identifier == 0x86] == [b"V_VP8", b"A_OPUS"]
    assert [part.body for part in parts if part.identifier == 0xD7] == [b"\1", b"\2"]
    value = ebml.values(header)
    assert value[0x4282] == b"webm"
    assert int.from_bytes(value[0xB0], "big") == 640
    assert int.from_bytes(value[0xBA], "big") == 480
    assert int.from_bytes(value[0x23E383], "big") == 40_000_000
    assert int.from_bytes(value[0x2AD7B1], "big") == 1_000_000
    assert [part.body for part in parts if part.identifier == 0x9C] == [b"\0", b"\0"], "no lacing"
    assert [value[part][0] for part in (0x55B1, 0x55B9, 0x55BA, 0x55BB)] == [6, 1, 13, 1], "BT.601, sRGB"
    assert value[0x63A2] == HEAD
    assert int.from_bytes(value[0x56AA], "big") == 6_500_000
    assert struct.unpack(">d", value[0xB5]) == (48_000.0,)


@given(start=st.integers(0, 10**9), several=st.lists(blocks, min_size=1, max_size=20))
def test_what_goes_into_a_cluster_is_in_it(start: int, several: list[Block]) -> None:
    ordered = sorted(several, key=lambda block: block.time)
    put = [Block(start + block.time, block.track, block.data, block.keyframe) for block in ordered]
    cluster = matroska.cluster(put)
    tops = [part for part in ebml.elements(cluster) if not part.path]
    assert [part.identifier for part in tops] == [ebml.CLUSTER]
    assert tops[0].size is not None and cluster.endswith(tops[0].body)
    assert [
        Block(frame.time, frame.track, frame.data, frame.keyframe) for frame in ebml.frames(cluster)
    ] == put


@given(excess=st.integers(1, 10**10))
def test_sound_may_end_within_a_packet(excess: int) -> None:
    (frame,) = ebml.frames(matroska.cluster([Block(40, SOUND, b"packet", excess_ns=excess)]))
    assert frame == ebml.Frame(SOUND, 40, True, b"packet", excess)


@pytest.mark.parametrize("length", [0, 1, 122, 123, 126, 127, 128, 16_378, 16_379, 16_382, 16_383, 2_097_147])
def test_sizes_at_which_a_number_becomes_longer(length: int) -> None:
    """A block has 4 bytes more than its data."""
    data = bytes(length)
    (frame,) = ebml.frames(matroska.cluster([Block(7, PICTURES, data)]))
    assert frame.data == data


def test_a_block_too_late_for_its_cluster_is_refused() -> None:
    with pytest.raises(struct.error):
        matroska.cluster([Block(0, SOUND, b"a"), Block(32_768, SOUND, b"b")])
