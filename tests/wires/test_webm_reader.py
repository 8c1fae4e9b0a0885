"""The sound of a MediaRecorder, however its stream is cut, and what is no such stream."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.video.pictures import shift
from tests.wires import recorded
from tests.wires.recorded import (
    PACKET,
    PRE_SKIP,
    UNKNOWN,
    block,
    cluster,
    element,
    header,
    opus_head,
    track,
    webm,
)

from visavis.webm_reader import LARGEST, MAGIC, NotWebM, WebMReader

SECONDS = 0.5


def tone(hz: float, level: float = 8000) -> NDArray[np.int16]:
    """One that is never the same again."""
    t = np.arange(int(SECONDS * recorded.RATE)) / recorded.RATE
    return (level * np.sin(2 * np.pi * (hz * t + 300 * t**2))).astype(np.int16)


@cache
def stream() -> bytes:
    return webm(recorded.packets(tone(300)))


@cache
def heard() -> bytes:
    return WebMReader().feed(stream())


def samples(pcm: bytes) -> NDArray[np.int16]:
    return np.frombuffer(pcm, "<i2")


def test_what_was_recorded_is_heard_in_its_place() -> None:
    assert stream().startswith(MAGIC)
    pcm, said = samples(heard()), tone(300)
    assert len(pcm) % PACKET == -PRE_SKIP % PACKET
    assert len(pcm) >= len(said) - PRE_SKIP
    assert shift(pcm[: len(said) - PACKET].astype(float), said[: len(said) - PACKET].astype(float)) == 0
    middle = slice(4800, 19_200)
    assert np.corrcoef(pcm[middle], said[middle])[0, 1] > 0.99


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_a_stream_in_pieces_of_any_size_is_the_same_sound(size: int) -> None:
    reader = WebMReader()
    pieces = [stream()[at : at + size] for at in range(0, len(stream()), size)]
    assert b"".join(map(reader.feed, pieces)) == heard()


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_cut_anywhere_is_the_same_sound(cuts: list[int]) -> None:
    reader, data = WebMReader(), stream()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert b"".join(reader.feed(data[a:b]) for a, b in pairwise(edges)) == heard()


def test_nothing_is_heard_before_its_block_is_whole() -> None:
    packets = recorded.packets(tone(300))
    head, last = webm(packets[:2]), block(1, packets[2])
    reader = WebMReader()
    assert samples(reader.feed(head)).size == 2 * PACKET - PRE_SKIP
    assert reader.feed(last[:-1]) == b""
    assert samples(reader.feed(last[-1:])).size == PACKET


def test_stereo_is_mixed() -> None:
    left, right = tone(300), tone(700)
    pcm = samples(WebMReader().feed(webm(recorded.packets(np.stack([left, right], 1), 2), channels=2)))
    both = (left.astype(float) + right) / 2
    middle = slice(4800, 19_200)
    assert np.corrcoef(pcm[middle], both[middle])[0, 1] > 0.98
    assert np.std(pcm[middle]) == pytest.approx(np.std(both[middle]), rel=0.1)


@pytest.mark.parametrize("skip", [0, 312, 2000])
def test_the_head_of_opus_says_how_much_is_left_out(skip: int) -> None:
    blocks = [block(1, packet) for packet in recorded.packets(tone(300))[:3]]
    data = header(track(1, b"A_OPUS", opus_head(1, skip))) + cluster(*blocks)
    assert len(samples(WebMReader().feed(data))) == 3 * PACKET - skip


def test_other_tracks_are_not_heard() -> None:
    packets = recorded.packets(tone(300))
    tracks = track(1, b"V_VP8"), track(2, b"A_OPUS", opus_head()), track(3, b"A_OPUS", opus_head(1, 0))
    blocks = [block(number, packet) for packet in packets for number in (1, 2, 3)]
    assert WebMReader().feed(header(*tracks) + cluster(*blocks)) == heard()


def test_blocks_in_groups_and_sizes_of_every_length() -> None:
    packets = recorded.packets(tone(300))[:2]
    grouped = b"".join(element("a0", element("a1", b"\x81\0\0\0" + packet)) for packet in packets)
    short = b"".join(
        b"\xa3" + (0x4000 | len(body)).to_bytes(2, "big") + body
        for body in (b"\x81\0\0\0" + p for p in packets)
    )
    head = header(track(1, b"A_OPUS\0", opus_head()))
    expected = WebMReader().feed(webm(packets))
    assert WebMReader().feed(head + cluster(grouped)) == expected
    assert WebMReader().feed(head + cluster(short)) == expected


def test_a_damaged_packet_is_a_gap_and_not_the_end() -> None:
    packets = recorded.packets(tone(300))[:3]
    packets[1] = b"\xff" * 5
    pcm = samples(WebMReader().feed(webm(packets)))
    assert len(pcm) >= 2 * PACKET - PRE_SKIP


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00\x01", "not WebM"),
        (MAGIC + b"\x00", "not WebM"),
        (b"\x08\x00\x00\x00", "not WebM"),
        (element("a3", size=(1 << 56 | LARGEST + 1).to_bytes(8, "big")), "no size that can be right"),
        (element("a3", size=UNKNOWN), "no size that can be right"),
        (header() + cluster(block(1, b"x")), "no Opus sound"),
        (header(track(1, b"A_VORBIS")) + cluster(block(1, b"x")), "no Opus sound"),
        (header(track(1, b"A_OPUS", opus_head())) + cluster(element("a3")), "cut short"),
    ],
    ids=lambda value: value[:4].hex() if isinstance(value, bytes) else value,
)
def test_what_is_no_such_stream(data: bytes, why: str) -> None:
    with pytest.raises(NotWebM, match=why):
        WebMReader().feed(data)


def test_no_more_than_one_element_is_kept() -> None:
    reader = WebMReader()
    reader.feed(header(track(1, b"A_OPUS", opus_head())) + cluster())
    assert reader.feed(element("a3", size=(1 << 56 | LARGEST).to_bytes(8, "big"))) == b""
    piece = b"\x82" * (1 << 16)  # a block of another track
    for _ in range(LARGEST // len(piece)):
        assert len(reader._buffer) < LARGEST + 16
        reader.feed(piece)
    assert not reader._buffer


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_garbage_ends_in_sound_or_in_a_refusal(data: st.DataObject) -> None:
    given_stream = bytearray(stream()[:1500])
    for _ in range(data.draw(st.integers(1, 8))):
        given_stream[data.draw(st.integers(0, len(given_stream) - 1))] = data.draw(st.integers(0, 255))
    reader = WebMReader()
    try:
        pcm = b"".join(
            reader.feed(bytes(given_stream[at : at + 100])) for at in range(0, len(given_stream), 100)
        )
    except NotWebM:
        return
    assert len(pcm) % 2 == 0
