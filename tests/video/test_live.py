"""The endless stream of a session: what is shown when, how long it sounds, and who is given up."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import vtime
from tests.video.sitting import MEDIA, Artist, spoken

from visavis import events as ev
from visavis.arkit import COUNT
from visavis.audio import Media
from visavis.faces.life import Life
from visavis.turn import START_FRAMES
from visavis.video.images import read_image
from visavis.video.live import BEHIND, LATEST, LONGEST_LAG, LiveStream, Moment, Timeline, Viewer
from visavis.video.studio import Portrait, Shown

FRAME = 1 / MEDIA.fps


# -- the timeline --------------------------------------------------------------------------------------------
def moment(turn: int, number: int = 0) -> Moment:
    return Moment(turn, bytes([turn, number]), np.zeros(COUNT, np.float32))


def taken(timeline: Timeline, count: int) -> list[bytes | None]:
    return [found.pcm if (found := timeline.next()) is not None else None for _ in range(count)]


def test_a_turn_begins_when_there_is_enough_of_it() -> None:
    timeline = Timeline()
    for number in range(START_FRAMES - 1):
        timeline.add(moment(1, number))
        assert timeline.next() is None
    timeline.add(moment(1, START_FRAMES - 1))
    assert taken(timeline, START_FRAMES) == [bytes([1, number]) for number in range(START_FRAMES)]
    assert timeline.next() is None


def test_a_turn_that_is_short_begins_when_it_is_whole() -> None:
    timeline = Timeline()
    timeline.add(moment(1))
    assert timeline.next() is None
    timeline.ended()
    assert taken(timeline, 2) == [b"\1\0", None]


def test_one_that_runs_dry_waits_for_as_many_again() -> None:
    timeline = Timeline()
    for number in range(3):
        timeline.add(moment(1, number))
    assert taken(timeline, 4)[-1] is None
    timeline.add(moment(1, 3))
    timeline.add(moment(1, 4))
    assert timeline.next() is None
    timeline.add(moment(1, 5))
    assert taken(timeline, 4) == [b"\1\3", b"\1\4", b"\1\5", None]


def test_the_end_of_a_turn_is_not_that_of_the_next() -> None:
    timeline = Timeline()
    timeline.add(moment(1))
    timeline.ended()
    assert taken(timeline, 2) == [b"\1\0", None]
    timeline.add(moment(2))
    assert timeline.next() is None


def test_what_is_dropped_is_not_shown_and_the_rest_is() -> None:
    timeline = Timeline()
    for turn in (1, 1, 1, 2, 2, 2):
        timeline.add(moment(turn))
    assert timeline.next() is not None
    timeline.drop(1)
    assert taken(timeline, 4) == [b"\2\0", b"\2\0", b"\2\0", None]


@given(st.lists(st.sampled_from(["add", "end", "next"]), max_size=60))
def test_everything_is_shown_once_and_in_order(steps: list[str]) -> None:
    timeline, count, shown = Timeline(), 0, []
    for step in [*steps, "end"]:
        if step == "add":
            timeline.add(moment(1, count))
            count += 1
        elif step == "end":
            timeline.ended()
        elif (found := timeline.next()) is not None:
            shown.append(found.pcm[1])
    shown += [found.pcm[1] for _ in range(count) if (found := timeline.next()) is not None]
    assert shown == list(range(count))


# -- viewers -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "kept"), [("webm", False), ("mjpeg", True)])
def test_a_viewer_who_does_not_take_what_comes(kind: Literal["webm", "mjpeg"], kept: bool) -> None:
    async def main() -> list[bytes]:
        viewer = Viewer(kind)
        for number in range(BEHIND + 5):
            viewer.give(bytes([number]))
        pieces: list[bytes] = []
        async for piece in viewer.pieces():
            pieces.append(piece)
            if len(pieces) == BEHIND:
                viewer.give(b"later")
                viewer.close()
        viewer.give(b"too late")
        return pieces

    expected = [bytes([number]) for number in range(BEHIND)]
    assert vtime.run(main()) == [*expected, *([b"later"] if kept else [])]


# -- the stream ----------------------------------------------------------------------------------------------
@dataclass(eq=False)
class Frames:
    """Takes pictures and sound as they are."""

    kind: Literal["frames"] = "frames"
    got: list[tuple[Any, bytes]] = field(default_factory=list)
    closed: bool = False

    def give(self, picture: Any, pcm: bytes) -> None:
        self.got.append((picture, pcm))

    def close(self) -> None:
        self.closed = True

    @property
    def pictures(self) -> list[Any]:
        return [picture for picture, _ in self.got]

    @property
    def sound(self) -> list[int]:
        """Of each frame: how loud it is at its beginning."""
        return [int(np.frombuffer(pcm, "<i2")[0]) for _, pcm in self.got]


class Eager:
    """Wants pictures of frames as they come."""

    wants_jpeg = True

    def put(self, event: ev.ToClient) -> None: ...
    def show(self, shown: Shown) -> None: ...
    def drop(self, turn: int) -> None: ...


@dataclass
class Show:
    artist: Artist
    portrait: Portrait
    stream: LiveStream


def watch(
    test: Callable[[Show], Awaitable[None]], media: Media = MEDIA, size: tuple[int, int] = (64, 48)
) -> None:
    async def main() -> None:
        artist: Any = Artist()
        async with anyio.create_task_group() as tasks:
            portrait = Portrait(artist, media, tasks, lambda _: None, lambda _: None)
            await test(Show(artist, portrait, LiveStream(portrait, size, 0, tasks)))
            tasks.cancel_scope.cancel()

    vtime.run(main())


async def frames(count: float) -> None:
    """Until so many more are over, and half a one."""
    await anyio.sleep(count * FRAME)


def test_an_idle_face_is_shown_in_time_and_in_silence() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        await frames(49.5)
        assert len(viewer.got) == 50
        assert {pcm for _, pcm in viewer.got} == {bytes(1920)}
        life = Life(0, MEDIA.fps)
        assert np.array_equal(np.concatenate(show.artist.drawn[:9]), life.frames("idle", 0, 9))

    watch(test)


def test_a_turn_is_shown_with_its_sound_between_idle_faces() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        await frames(4.5)
        show.portrait.put(ev.StateChanged("speaking"))
        show.portrait.put(spoken(1, 0, 2))
        await frames(2)
        assert not any(viewer.sound), "there is not enough of it yet"
        show.portrait.put(spoken(1, 2, 8))
        show.portrait.put(ev.AudioEnded(1))
        await frames(20)
        begin = viewer.sound.index(100)
        assert viewer.sound[begin:] == [100] * 10 + [0] * (len(viewer.got) - begin - 10)
        assert viewer.pictures[begin : begin + 10] == [f"mia {k}" for k in range(1, 11)]
        assert sum(np.frombuffer(pcm, "<i2").astype(int).sum() for _, pcm in viewer.got) == 10 * 960 * 100

    watch(test)


def test_a_word_too_short_to_wait_for_is_heard_when_it_is_whole() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 0))
        await frames(4.5)
        assert not any(viewer.sound)
        show.portrait.put(ev.AudioEnded(1))
        await frames(4)
        assert viewer.sound.count(100) == 1

    watch(test)


def test_every_frame_is_as_long_as_its_place_in_the_stream() -> None:
    media = Media(44_100, 32)  # 1378.125 samples a frame

    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 0, 40, media))
        show.portrait.put(ev.AudioEnded(1))
        await anyio.sleep(2)
        lengths = [len(pcm) // 2 for _, pcm in viewer.got]
        assert lengths == [media.edge(k + 1) - media.edge(k) for k in range(len(lengths))]
        heard = np.frombuffer(b"".join(pcm for _, pcm in viewer.got), "<i2")
        loud = np.flatnonzero(heard)
        assert len(loud) == media.edge(40)
        assert loud[-1] - loud[0] <= len(loud), (
            "with a sample of silence at most, where the two shares differ"
        )

    watch(test, media)


def test_one_that_is_interrupted_stops_at_once() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 0, 20))
        await frames(6.5)
        show.portrait.drop(1)
        so_far = len(viewer.got)
        await frames(5)
        assert 100 in viewer.sound
        assert not any(viewer.sound[so_far:])

    watch(test)


def test_the_last_picture_stays_where_none_could_be_drawn() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 0, 10))
        await frames(5.5)
        show.artist.fails = True
        await frames(4)
        begin = viewer.sound.index(100)
        assert viewer.pictures[begin + 5 : begin + 10] == ["mia 6", *[None] * 4]
        assert viewer.sound[begin : begin + 10] == [100] * 10

    watch(test)


def test_the_face_of_speech_eases_into_the_idle_one() -> None:
    async def test(show: Show) -> None:
        show.stream.join(Frames())
        frames_of_speech = spoken(1, 0, 5)
        frames_of_speech.weights[:, 17] = 1.0
        show.portrait.put(frames_of_speech)
        show.portrait.put(ev.AudioEnded(1))
        await frames(4.5)
        before = len(show.artist.drawn)
        await frames(20)
        idle = np.concatenate(show.artist.drawn[before:])[:, 17]
        assert 0.4 < idle[0] < 0.8, "it has begun to"
        assert (np.diff(idle[:10]) < 0).all()
        assert idle[-1] < 0.1

    watch(test)


def test_a_stream_that_is_far_behind_gives_up_what_it_has_missed() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        await frames(9.5)
        show.artist.seconds = 3.0
        await frames(1)
        show.artist.seconds = 0.0
        await anyio.sleep(3 - FRAME)
        late = len(viewer.got)
        await frames(10)
        assert len(viewer.got) - late == pytest.approx(10, abs=1), "no burst"

    watch(test)


def test_one_that_is_a_little_late_catches_up() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        await frames(9.5)
        show.artist.seconds = LONGEST_LAG / 2
        await frames(1)
        show.artist.seconds = 0.0
        await frames(89)
        assert len(viewer.got) == 100

    watch(test)


def test_it_runs_while_anybody_watches_and_ends_with_its_session() -> None:
    async def test(show: Show) -> None:
        one, other = Frames(), Frames()
        show.stream.join(one)
        show.stream.join(other)
        await frames(4.5)
        show.stream.leave(one)
        await frames(5)
        assert (len(one.got), len(other.got)) == (5, 10)
        assert (one.closed, other.closed, show.portrait.watched) == (True, False, True)
        show.stream.close()
        await frames(5)
        assert (len(other.got), other.closed, show.stream.watched, show.portrait.watched) == (
            10,
            True,
            False,
            False,
        )
        show.stream.join(again := Frames())
        await frames(4.5)
        assert len(again.got) == 5

    watch(test)


def test_who_watches_is_told_that_drawing_has_failed() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        await frames(2.5)
        show.artist.fails = True
        await frames(2)
        assert viewer.closed

    watch(test)


def test_one_that_is_late_has_sound_and_no_picture() -> None:
    async def test(show: Show) -> None:
        viewer = Frames()
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 0, 20))
        await frames(4.5)
        show.artist.seconds = LATEST - FRAME / 2
        await frames(1)
        show.artist.seconds = LATEST + FRAME / 2
        await frames(5)
        show.artist.seconds = 0.0
        await frames(20)
        begin = viewer.sound.index(100)
        assert viewer.sound[begin:][:20] == [100] * 20
        left_out = [number for number, picture in enumerate(viewer.pictures) if picture is None]
        assert left_out and viewer.pictures[:5].count(None) == 0
        assert viewer.pictures[-5:].count(None) == 0, "in time again"

    watch(test)


def test_jpegs_are_for_those_who_want_them() -> None:
    async def test(show: Show) -> None:
        show.artist.picture_of = lambda row: np.full((48, 64, 3), round(float(row[0]) * 1000), np.uint8)
        show.stream.join(Frames())
        await frames(2.5)
        viewer = Viewer("mjpeg")
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 9, 3))
        await frames(3)
        show.stream.leave(viewer)
        pieces = [piece async for piece in viewer.pieces()]
        shades = [read_image(piece, "")[..., 0].mean() for piece in pieces[-3:]]
        assert shades == pytest.approx([100, 110, 120], abs=1)

    watch(test)


def test_what_somebody_else_has_had_drawn_is_not_drawn_again() -> None:
    async def test(show: Show) -> None:
        viewer, other = Frames(), Eager()
        show.portrait.join(other)
        show.stream.join(viewer)
        show.portrait.put(spoken(1, 0, 5))
        show.portrait.put(ev.AudioEnded(1))
        await frames(10.5)
        begin = viewer.sound.index(100)
        assert sorted(len(rows) for rows in show.artist.drawn) == [*[1] * (len(viewer.got) - 5), 5]
        assert viewer.pictures[begin : begin + 5] == [f"mia {k}" for k in range(1, 6)]

    watch(test)


def test_who_comes_later_begins_with_the_header_and_a_whole_picture() -> None:
    async def test(show: Show) -> None:
        picture = np.full((48, 64, 3), 90, np.uint8)

        show.artist.picture_of = lambda _: picture
        first, second = Viewer("webm"), Viewer("webm")
        show.stream.join(first)
        await frames(30.5)
        show.stream.join(second)
        await frames(30)
        show.stream.close()
        lengths = []
        for viewer in (first, second):
            data = b"".join([piece async for piece in viewer.pieces()])
            with av.open(io.BytesIO(data), "r") as container:
                assert container.streams.video[0].codec_context.width == 64
                decoded = [frame.key_frame for frame in container.decode(video=0)]
            assert decoded[0]
            lengths.append(len(decoded))
        assert lengths[0] > lengths[1] > 20

    watch(test)
