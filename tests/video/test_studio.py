"""A session's portrait: what is drawn for whom, in which order, and what is not shown any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from tests import vtime
from tests.video.sitting import MEDIA, Artist, spoken

from visavis import events as ev
from visavis.audio import Media
from visavis.video.studio import Portrait, Shown, sounds

HELLO = ev.WordSpoken(1, ev.Word("Hello", 0.0, 0.3))


@dataclass(eq=False)
class Watcher:
    """Keeps what it gets, frames as the pictures that it is shown."""

    wants_jpeg: bool = True
    got: list[Any] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)

    def put(self, event: ev.ToClient) -> None:
        self.got.append(event)

    def show(self, shown: Shown) -> None:
        self.shown.append(shown)
        self.got.append(shown.pictures)

    def drop(self, turn: int) -> None:
        self.got.append(f"drop {turn}")


@dataclass
class Sitting:
    artist: Artist
    portrait: Portrait
    followed: list[str]


@asynccontextmanager
async def sitting() -> AsyncIterator[Sitting]:
    followed: list[str] = []
    artist = Artist()
    async with anyio.create_task_group() as tasks:
        made: Any = artist
        yield Sitting(
            artist,
            Portrait(made, MEDIA, tasks, lambda _: followed.append("in"), lambda _: followed.append("out")),
            followed,
        )
        tasks.cancel_scope.cancel()


def sit(test: Callable[[Sitting], Awaitable[None]]) -> None:
    async def main() -> None:
        async with sitting() as given:
            await test(given)

    vtime.run(main())


def test_what_comes_is_passed_on_in_order_however_long_drawing_takes() -> None:
    async def test(given: Sitting) -> None:
        watcher = Watcher()
        given.portrait.join(watcher)
        given.artist.seconds = 0.5
        events: list[ev.ToClient] = [HELLO, spoken(1, 0, 2), HELLO, ev.AudioEnded(1), spoken(2, 0), HELLO]
        for event in events:
            given.portrait.put(event)
        assert watcher.got == [HELLO], "nothing is being drawn yet"
        await anyio.sleep(0.6)
        assert watcher.got == [HELLO, ("mia 1", "mia 2"), HELLO, ev.AudioEnded(1)]
        given.portrait.put(ev.AudioEnded(2))
        await anyio.sleep(1)
        assert watcher.got[4:] == [("mia 1",), HELLO, ev.AudioEnded(2)]

    sit(test)


def test_nothing_overtakes_the_picture_that_is_being_drawn() -> None:
    async def test(given: Sitting) -> None:
        watcher = Watcher()
        given.portrait.join(watcher)
        given.artist.seconds = 0.5
        given.portrait.put(spoken(1, 0))
        await anyio.sleep(0.1)
        given.portrait.put(HELLO)
        assert watcher.got == []
        await anyio.sleep(1)
        assert watcher.got == [("mia 1",), HELLO]

    sit(test)


def test_one_drawing_is_for_everybody_who_watches() -> None:
    async def test(given: Sitting) -> None:
        watchers = [Watcher(wants_jpeg=False), Watcher(), Watcher(wants_jpeg=False)]
        for watcher in watchers:
            given.portrait.join(watcher)
        given.portrait.put(spoken(1, 0, 3))
        await anyio.sleep(0.1)
        given.portrait.leave(watchers[1])
        given.portrait.put(spoken(1, 3))
        await anyio.sleep(0.1)
        assert len(given.artist.drawn) == 1, "nobody is left who wants pictures as frames come"
        for watcher in watchers[::2]:
            assert [shown.pictures for shown in watcher.shown] == [("mia 1", "mia 2", "mia 3"), ()]
        assert watchers[1].shown[0] is watchers[0].shown[0]
        assert watchers[1].shown[0].jpegs == (b"mia 1", b"mia 2", b"mia 3")
        assert len(watchers[1].shown) == 1

    sit(test)


def test_frames_that_nobody_wants_drawn_keep_their_place() -> None:
    async def test(given: Sitting) -> None:
        painted, watcher = Watcher(), Watcher(wants_jpeg=False)
        given.portrait.join(painted)
        given.portrait.join(watcher)
        given.artist.seconds = 0.5
        given.portrait.put(spoken(1, 0))
        await anyio.sleep(0.1)
        given.portrait.leave(painted)
        given.portrait.put(spoken(1, 1))
        assert watcher.got == [], "what came before is still being drawn"
        await anyio.sleep(1)
        given.portrait.put(spoken(1, 2))
        assert watcher.got == [("mia 1",), (), ()], "at once"
        assert [shown.frames.first for shown in watcher.shown] == [0, 1, 2]

    sit(test)


def test_it_follows_its_session_while_anybody_watches() -> None:
    async def test(given: Sitting) -> None:
        one, other, portrait = Watcher(), Watcher(), given.portrait
        portrait.join(one)
        portrait.join(other)
        portrait.leave(one)
        portrait.leave(one)
        assert (given.followed, portrait.watched) == (["in"], True)
        given.artist.free = anyio.Event()
        portrait.put(spoken(1, 0))
        portrait.put(spoken(1, 1))
        await anyio.sleep(0.1)
        portrait.leave(other)
        assert (given.followed, portrait.watched) == (["in", "out"], False)
        given.artist.free.set()
        await anyio.sleep(0.1)
        assert len(given.artist.drawn) == 1, "what waited is not drawn for nobody"
        assert not other.got

        portrait.join(one)
        portrait.put(spoken(2, 0))
        await anyio.sleep(0.1)
        assert (given.followed, one.got) == (["in", "out", "in"], [("mia 1",)])

    sit(test)


def test_a_turn_that_is_dropped_is_not_shown_neither_what_waits_nor_what_is_being_drawn() -> None:
    async def test(given: Sitting) -> None:
        watcher, portrait = Watcher(), given.portrait
        portrait.join(watcher)
        given.artist.seconds = 0.5
        for event in (spoken(1, 0), HELLO, spoken(1, 1), spoken(2, 0)):
            portrait.put(event)
        await anyio.sleep(0.1)
        portrait.drop(1)
        portrait.put(ev.TurnEnded(1, "", True, 0.0))
        await anyio.sleep(3)
        assert watcher.got == ["drop 1", HELLO, ("mia 1",), ev.TurnEnded(1, "", True, 0.0)]
        assert [len(rows) for rows in given.artist.drawn] == [1, 1]

    sit(test)


def test_a_drop_of_another_turn_costs_nothing() -> None:
    async def test(given: Sitting) -> None:
        watcher, portrait = Watcher(), given.portrait
        portrait.join(watcher)
        given.artist.seconds = 0.5
        portrait.put(spoken(2, 0))
        await anyio.sleep(0.1)
        portrait.drop(1)
        await anyio.sleep(1)
        assert watcher.got == ["drop 1", ("mia 1",)]

    sit(test)


def test_sound_goes_on_without_pictures_when_there_are_none() -> None:
    async def test(given: Sitting) -> None:
        watcher = Watcher()
        given.portrait.join(watcher)
        given.artist.fails = True
        given.portrait.put(spoken(1, 0))
        await anyio.sleep(0.1)
        given.artist.fails = False
        given.portrait.put(spoken(1, 1))
        await anyio.sleep(0.1)
        assert watcher.got == [(), ("mia 2",)]
        assert watcher.shown[0].frames.pcm == spoken(1, 0).pcm

    sit(test)


def test_another_artist_draws_from_the_next_picture_on() -> None:
    async def test(given: Sitting) -> None:
        watcher, pip = Watcher(), Artist("pip")
        given.portrait.join(watcher)
        given.artist.seconds = 0.5
        given.portrait.put(spoken(1, 0))
        await anyio.sleep(0.1)
        made: Any = pip
        given.portrait.artist = made
        given.portrait.put(spoken(1, 1))
        await anyio.sleep(1)
        assert watcher.got == [("mia 1",), ("pip 2",)]

    sit(test)


@pytest.mark.parametrize(("rate", "fps"), [(24_000, 25), (16_000, 30), (44_100, 30)])
def test_the_sound_of_each_frame_is_exactly_its_share(rate: int, fps: int) -> None:
    media = Media(rate, fps)
    frames = spoken(1, 7, 5, media)
    parts = sounds(frames, media)
    assert b"".join(parts) == frames.pcm
    assert [len(part) // 2 for part in parts] == [media.edge(k + 1) - media.edge(k) for k in range(7, 12)]
