"""The live stream: everything that goes in comes out, in step, in clusters that MediaSource takes."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.video import ebml
from tests.video.pictures import decode, number, numbered, shift, voice

from visavis.video.matroska import PICTURES, SOUND
from visavis.video.webm import LiveWebM, Segment

WIDTH, HEIGHT = 192, 96


def stream(
    pcm: NDArray[np.int16], count: int, fps: int, rate: int, cuts: list[int] | None = None, keyframe: int = -1
) -> tuple[bytes, list[Segment]]:
    """`count` numbered pictures and their sound, fed up to each of the pictures `cuts`, or one by one."""
    live = LiveWebM(fps, WIDTH, HEIGHT, rate)
    segments: list[Segment] = []
    first = 0
    for end in sorted({*(range(1, count) if cuts is None else cuts), count}):
        piece = pcm[first * rate // fps : end * rate // fps]
        if end == count:
            piece = pcm[first * rate // fps :]
        shown = [numbered(k) for k in range(first, end)]
        segments += live.feed(piece.tobytes(), shown, keyframe=first == keyframe)
        first = end
    return live.header, segments + live.close()


def whole(header: bytes, segments: list[Segment]) -> bytes:
    return header + b"".join(segment.data for segment in segments)


@pytest.mark.parametrize("fps", [25, 30])
@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_every_picture_and_every_sample_comes_out_in_its_place(fps: int, rate: int) -> None:
    count = 2 * fps + 7
    said = voice(count * rate // fps, rate)
    pictures, times, heard, heard_rate = decode(whole(*stream(said, count, fps, rate)))
    assert [number(picture) for _, picture in pictures] == list(range(count))
    assert [time for time, _ in pictures] == pytest.approx([k / fps for k in range(count)], abs=0.0006)
    assert heard_rate == 48_000
    assert len(heard) == pytest.approx(len(said) * 48_000 / rate, abs=1)
    assert times[0] == 0
    reference = soxr.resample(said.astype(np.float64), rate, 48_000)
    assert shift(heard, reference) == 0
    # Also at the very end: nothing was lost or added on the way.
    assert abs(shift(heard[-24_000:], reference[-24_000:])) <= 1


def test_colours_are_kept() -> None:
    live = LiveWebM(25, WIDTH, HEIGHT, 24_000)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = 200, 120, 60
    segments = live.feed(bytes(1920), [picture]) + live.close()
    ((_, seen),) = decode(whole(live.header, segments))[0]
    assert seen.reshape(-1, 3).mean(0) == pytest.approx([200, 120, 60], abs=3)


@settings(max_examples=12)
@given(cuts=st.lists(st.integers(1, 39), max_size=12), fps=st.sampled_from([12, 25, 30]))
def test_however_it_is_fed_the_same_stream_comes_out(cuts: list[int], fps: int) -> None:
    said = voice(40 * 24_000 // fps, 24_000)
    _, one_by_one = stream(said, 40, fps, 24_000)
    _, in_pieces = stream(said, 40, fps, 24_000, cuts)
    assert blocks(in_pieces) == blocks(one_by_one)


def blocks(segments: list[Segment]) -> list[ebml.Frame]:
    return [frame for segment in segments for frame in ebml.frames(segment.data)]


@settings(max_examples=12)
@given(
    cuts=st.lists(st.integers(1, 59), max_size=20),
    fps=st.sampled_from([1, 12, 25, 30, 60]),
    keyframe=st.integers(0, 59),
)
def test_segments_are_what_mediasource_takes(cuts: list[int], fps: int, keyframe: int) -> None:
    """One cluster each, at most 200 ms, times that never go back, no gap between them, keyframes first."""
    count = min(60, 4 * fps)
    keyframe = min(keyframe, count - 1)
    cuts = [*cuts, keyframe] if keyframe else cuts
    _, segments = stream(
        voice(count * 24_000 // fps, 24_000), count, fps, 24_000, [c for c in cuts if c < count], keyframe
    )
    end = 0.0
    for segment in segments:
        tops = [part for part in ebml.elements(segment.data) if not part.path]
        assert [part.identifier for part in tops] == [ebml.CLUSTER]
        frames = ebml.frames(segment.data)
        assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)
        whole_pictures = [k for k, frame in enumerate(frames) if frame.track == PICTURES and frame.keyframe]
        assert whole_pictures == ([0] if segment.keyframe else [])
        assert segment.start == pytest.approx(end)
        assert 0 < segment.seconds <= 0.2
        assert all(
            segment.start * 1000 <= frame.time + 0.5 < 1001 * (segment.start + segment.seconds)
            for frame in frames
        )
        end = segment.start + segment.seconds
    frames = blocks(segments)
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)
    assert [frame.time for frame in frames if frame.track == SOUND] == [
        20 * k for k in range(sum(frame.track == SOUND for frame in frames))
    ]
    assert sum(frame.track == PICTURES for frame in frames) == count
    asked = round(keyframe * 1000 / fps)
    assert asked in [frame.time for frame in frames if frame.track == PICTURES and frame.keyframe]
    assert segments[0].keyframe


def test_a_viewer_who_comes_later_sees_and_hears_the_same_from_a_keyframe_on() -> None:
    said = voice(100 * 960, 24_000)
    header, segments = stream(said, 100, 25, 24_000, keyframe=33)
    entries = [k for k, segment in enumerate(segments) if segment.keyframe]
    assert [segments[k].start for k in entries] == pytest.approx([0, 1.32, 3.32])
    pictures, _, heard, _ = decode(header + b"".join(segment.data for segment in segments[entries[1] :]))
    assert [number(picture) for _, picture in pictures] == list(range(33, 100))
    assert pictures[0][0] == pytest.approx(1.32)
    assert shift(heard, soxr.resample(said[33 * 960 :].astype(np.float64), 24_000, 48_000)) in range(
        -700, 700
    )


def test_a_picture_is_sent_as_soon_as_its_sound_is_there() -> None:
    for fps in (25, 30):
        live = LiveWebM(fps, WIDTH, HEIGHT, 24_000)
        sent = 0
        for k in range(30):
            size = (k + 1) * 24_000 // fps - k * 24_000 // fps
            segments = live.feed(bytes(size * 2), [numbered(k)])
            sent += sum(frame.track == PICTURES for frame in blocks(segments))
            assert sent == k + 1


def test_pictures_that_are_left_out_keep_nobody_waiting() -> None:
    """Sound goes on without them, the others keep their times, and a keyframe waits for the next that is."""
    there = [k for k in range(60) if k % 3 == 0 and k not in range(20, 30)]
    live, said = LiveWebM(25, WIDTH, HEIGHT, 24_000), voice(60 * 960, 24_000)
    segments = []
    for k in range(60):
        picture = numbered(k) if k in there else None
        given = live.feed(said[k * 960 : (k + 1) * 960].tobytes(), [picture], keyframe=k == 22)
        if k > 1:
            assert sum(segment.seconds for segment in given) == pytest.approx(0.04, abs=0.021)
        segments += given
    segments += live.close()
    assert [round(segment.start * 25) for segment in segments if segment.keyframe][1] == 30
    pictures, _, heard, _ = decode(whole(live.header, segments))
    assert [number(picture) for _, picture in pictures] == there
    assert [time for time, _ in pictures] == pytest.approx([k / 25 for k in there], abs=0.0006)
    assert len(heard) == pytest.approx(60 * 1920, abs=1)


def test_an_hour_does_not_drift() -> None:
    """Times are counted, not added up: 30 pictures a second do not last a whole number of milliseconds."""
    live = LiveWebM(30, 16, 16, 24_000)
    picture = np.zeros((16, 16, 3), np.uint8)
    hour = 3600
    live._pictures, live._samples, live._packets, live._end = hour * 30, hour * 24_000, hour * 50, hour * 1000
    segments = [segment for _ in range(30) for segment in live.feed(bytes(1600), [picture])]
    frames = blocks(segments)
    assert [frame.time for frame in frames if frame.track == PICTURES] == [
        3_600_000 + round(k * 1000 / 30) for k in range(30)
    ]
    assert [frame.time for frame in frames if frame.track == SOUND] == [3_600_000 + 20 * k for k in range(50)]


@pytest.mark.parametrize(
    ("fps", "width", "height", "rate"),
    [
        (0, 64, 64, 24_000),
        (61, 64, 64, 24_000),
        (25, 63, 64, 24_000),
        (25, 64, 0, 24_000),
        (25, 4098, 64, 24_000),
        (25, 64, 64, 7_999),
        (25, 64, 64, 10**9),
    ],
)
def test_a_stream_that_cannot_be_is_refused(fps: int, width: int, height: int, rate: int) -> None:
    with pytest.raises(ValueError):
        LiveWebM(fps, width, height, rate)


def test_what_does_not_belong_into_the_stream_is_refused_and_changes_nothing() -> None:
    live, untouched = (LiveWebM(25, WIDTH, HEIGHT, 24_000) for _ in range(2))
    with pytest.raises(ValueError, match="half a sample"):
        live.feed(b"\0", [])
    with pytest.raises(ValueError, match="uint8"):
        live.feed(bytes(3840), [numbered(0), numbered(1, 320)])
    with pytest.raises(ValueError, match="float"):
        live.feed(bytes(1920), [np.zeros((HEIGHT, WIDTH, 3))])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="pictures end at"):
        live.feed(b"", [numbered(k) for k in range(26)])
    with pytest.raises(ValueError, match="the sound at"):
        live.feed(bytes(2 * 24_001), [])
    assert live.feed(bytes(1920), [numbered(0)]) == untouched.feed(bytes(1920), [numbered(0)])
    assert live.close() == untouched.close()
    assert live.close() == []
    with pytest.raises(ValueError, match="closed"):
        live.feed(bytes(1920), [numbered(1)])


@pytest.mark.parametrize(("fps", "size"), [(1, 16), (60, 16), (25, 256)])
def test_no_picture_is_given_up_however_hard_it_is(fps: int, size: int) -> None:
    live = LiveWebM(fps, size, size, 24_000)
    noise = np.random.default_rng(0).integers(0, 255, (40, size, size, 3)).astype(np.uint8)
    segments = [s for picture in noise for s in live.feed(bytes(24_000 // fps * 2), [picture])]
    assert sum(frame.track == PICTURES for frame in blocks(segments)) == 40


def test_a_stream_may_end_before_it_began() -> None:
    live = LiveWebM(25, WIDTH, HEIGHT, 24_000)
    assert live.close() == []


def test_a_tail_of_sound_alone_is_heard_to_its_end() -> None:
    said = voice(24_000 + 777, 24_000)
    _, _, heard, _ = decode(whole(*stream(said, 25, 25, 24_000)))
    assert len(heard) == 2 * len(said)
    last = slice(-700, -100)  # within the last packet, which is only begun
    reference = soxr.resample(said.astype(np.float64), 24_000, 48_000)
    assert np.corrcoef(heard[last], reference[last])[0, 1] > 0.8
