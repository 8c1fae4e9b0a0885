"""Pictures of engines that draw themselves: their size, their failures, and who is asked when."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from examples.picture_face import WIDTH, BarEngine
from tests import shell, vtime

from visavis import events as ev
from visavis.arkit import Weights, neutral
from visavis.audio import Media
from visavis.events import Drawing
from visavis.faces.speech_face import Faces
from visavis.pacing import Policy
from visavis.settings import FaceSettings, Settings
from visavis.track import Track
from visavis.video import Picture
from visavis.video.degrade import Degrade, Quality
from visavis.video.drawn import DrawnRenderer, fitted
from visavis.video.film import write_film
from visavis.video.studio import Artist

SIZE = (64, 48)


def plain(bright: int, width: int = 64, height: int = 48) -> Picture:
    return np.full((height, width, 3), bright, np.uint8)


def idle(seconds: float) -> Picture:
    return plain(200)


def shown(bright: int, seconds: float) -> Picture:
    return plain(bright)


def artist(degrade: Degrade, executor: ThreadPoolExecutor) -> Artist:
    return Artist(DrawnRenderer(idle, SIZE), 0, executor, degrade)


def draw(degrade: Degrade, given: tuple[Drawing | None, ...], count: int) -> list[int]:
    """How bright the pictures of `count` frames are, in the middle."""

    async def main() -> list[int]:
        with ThreadPoolExecutor(1) as executor:
            pictures, jpegs = await artist(degrade, executor).draw(neutral(count), 25, given)
        assert len(pictures) == len(jpegs) == count
        assert all(picture.shape == (48, 64, 3) for picture in pictures)
        return [int(picture[24, 32, 0]) for picture in pictures]

    return asyncio.run(main())


def test_a_frame_shows_its_drawing_and_without_one_the_idle_picture() -> None:
    given = (partial(shown, 10), None, partial(shown, 30))
    assert draw(Degrade(), given, 3) == [10, 200, 30]
    assert draw(Degrade(), (), 2) == [200, 200]


@pytest.mark.parametrize(
    ("quality", "expected"), [(Quality.PLAIN, [10, 20, 30, 40]), (Quality.HALF, [10, 20, 20, 40])]
)
def test_under_load_drawings_are_left_out(quality: Quality, expected: list[int]) -> None:
    degrade = Degrade()
    degrade.quality = quality
    found = draw(degrade, tuple(partial(shown, bright) for bright in (10, 20, 30, 40)), 4)
    assert found == expected


def test_what_is_left_out_on_its_way_to_viewers() -> None:
    """By rule, or for being late; never the first, nor one that somebody needs."""
    degrade = Degrade()
    with ThreadPoolExecutor(1) as executor:
        drawn = artist(degrade, executor)

        def found(late: bool = False, needed: bool = False) -> int | None:
            picture = drawn.picture(neutral(1)[0], partial(shown, 10), 0.0, late=late, needed=needed)
            return None if picture is None else int(picture[0, 0, 0])

        assert [found(late=True), found(), found(late=True), found(late=True, needed=True)] == [
            10,
            10,
            None,
            10,
        ]
        assert degrade.left_out == 1
        degrade.quality = Quality.HALF
        assert [found() for _ in range(6)].count(None) == 3
        assert [found(needed=True) for _ in range(2)] == [10, 10]
        degrade.quality = Quality.STILL
        stills = [found() for _ in range(20)]
        assert stills.count(200) == 4 and stills.count(None) == 16
        assert found(needed=True) == 200
        assert degrade.left_out == 1, "what the rule leaves out is no failure to be in time"
        degrade.quality = Quality.FULL
        assert found() == 10


def test_a_still_is_the_idle_picture() -> None:
    degrade = Degrade()
    degrade.quality = Quality.STILL
    assert draw(degrade, (partial(shown, 10),) * 3, 3) == [200, 200, 200]


def failing(seconds: float) -> Picture:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    "bad", [failing, lambda _: np.zeros((4, 4), np.uint8), lambda _: np.zeros((4, 4, 3))]
)
def test_an_engine_that_fails_to_draw_leaves_the_last_picture(
    bad: Drawing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw(Degrade(), (partial(shown, 10), bad, partial(shown, 30)), 3) == [10, 10, 30]
    assert "failed to draw" in capsys.readouterr().out
    assert DrawnRenderer(bad, SIZE).open().render(neutral(1)[0], 0.0).max() == 0


def test_pictures_of_another_shape_are_fitted_whole() -> None:
    wide = fitted(plain(100, 200, 50), SIZE)
    assert wide.shape == (48, 64, 3)
    assert (wide[16:32] == 100).all() and not wide[:16].any() and not wide[32:].any()
    tall = fitted(plain(100, 24, 48), SIZE)
    assert (tall[:, 20:44] == 100).all() and not tall[:, :20].any() and not tall[:, 44:].any()
    same = plain(1)
    assert fitted(same, SIZE) is same


def test_a_film_shows_the_drawings(tmp_path: Path) -> None:
    seen: list[float] = []

    def noted(seconds: float) -> Picture:
        seen.append(seconds)
        return plain(100)

    track, path = Track(25, neutral(4)), tmp_path / "film.webm"
    given = (noted, noted, None, noted)
    write_film(path, track, [bytes(4 * 1920)], 24_000, DrawnRenderer(idle, SIZE), drawings=given)
    assert seen == [0.0, 0.04, 0.12] and path.stat().st_size > 0


def test_the_example_draws_what_it_hears_at_any_rate() -> None:
    for media in (Media(16_000, 25), Media(24_000, 30), Media(48_000, 60)):
        loud = np.repeat([0.05, 0.2], media.rate)
        sign = np.tile([1, -1], media.rate)
        pcm = (loud * sign * 32_767).astype("<i2").tobytes()[: media.rate * 4 - 100]
        if media.rate != 16_000:  # a tone that resampling keeps
            times = np.arange(2 * media.rate) / media.rate
            pcm = (loud * np.sqrt(2) * np.sin(2 * np.pi * 500 * times) * 32_767).astype("<i2").tobytes()
        stream, drawn, step = BarEngine().open(media, 0), list[Picture](), media.edge(7) * 2
        for begin in range(0, len(pcm), step):
            weights = stream.feed(pcm[begin : begin + step], None, begin + step >= len(pcm))
            assert len(weights) == len(stream.drawings())
            drawn += [drawing(0.0) for drawing in stream.drawings()]
            assert len(stream._pictures) <= 20
        assert len(drawn) == media.covering(len(pcm) // 2)
        lengths = [int((picture[120, :, 0] == 255).sum()) for picture in drawn]
        quiet, louder = lengths[media.fps // 2], lengths[media.fps * 3 // 2]
        assert quiet == pytest.approx(WIDTH * 0.2, abs=3) and louder == pytest.approx(WIDTH * 0.8, abs=3)


class Drawing20:
    """Draws frames of 20, 21, ...; from the second piece on it does what it must not."""

    name = "drawing"

    def __init__(self, failure: str = "") -> None:
        self.failure, self.frames, self.calls = failure, 0, 0
        self.given: tuple[Drawing, ...] = ()

    def open(self, media: Media, seed: int) -> Drawing20:
        return Drawing20(self.failure)

    def idle(self, seconds: float) -> Picture:
        return idle(seconds)

    def feed(self, pcm: bytes, phonemes: object, last: bool) -> Weights:
        count = Media().whole(len(pcm) // 2)
        bright = range(20 + self.frames, 20 + self.frames + count)
        self.given = tuple(partial(shown, value) for value in bright)
        self.frames, self.calls = self.frames + count, self.calls + 1
        return neutral(count)

    def drawings(self) -> tuple[Drawing, ...]:
        if self.calls == 2 and self.failure == "raise":
            raise RuntimeError("out of memory")
        return self.given[:-1] if self.calls == 2 and self.failure == "few" else self.given


def test_drawings_come_with_their_frames() -> None:
    face = Faces(Drawing20(), Drawing20()).open(Media(), 0, timed=False)
    found = []
    for _ in range(2):
        face.feed(bytes(2 * Media().edge(3)), None, False)
        found += [int(drawing(0.0)[0, 0, 0]) for drawing in face.drawings()]
    assert found == [20, 21, 22, 23, 24, 25]


@pytest.mark.parametrize("failure", ["raise", "few"])
def test_an_engine_that_draws_nonsense_shows_its_idle_picture(
    failure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    face = Faces(Drawing20(failure), Drawing20()).open(Media(), 0, timed=False)
    piece, lengths = bytes(2 * Media().edge(3)), []
    for last in (False, False, True):
        assert len(face.feed(piece, None, last)) == 3
        lengths.append(len(face.drawings()))
    assert lengths == [3, 0, 0]
    assert capsys.readouterr().out.count("face engine failed") == 1


def test_an_engine_that_draws_hears_all_speech() -> None:
    faces = Faces.load(Settings(face=FaceSettings(engine="examples.picture_face:load")))
    assert (faces.status()["engine"], faces.status()["timed"], faces.reads) == ("bar", "bar", False)
    usual = Faces.load(Settings(face=FaceSettings(engine="energy")))
    assert (usual.status()["timed"], usual.reads, usual.idle) == ("phonemes", True, None)


def test_phonemes_are_kept_from_an_engine_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for its frames a few at a time, in order of time, as for speech without phonemes."""
    asked: list[tuple[bool, int]] = []

    class Noted(shell.Still):
        def feed(self, pcm: bytes, phonemes: object, last: bool) -> Weights:
            weights = super().feed(pcm, phonemes, last)
            asked.append((phonemes is not None, len(weights)))
            return weights

        def drawings(self) -> tuple[Drawing, ...]:
            return tuple(partial(shown, 9) for _ in range(asked[-1][1]))

    def opened(self: shell.Faces, media: Media, seed: int, *, timed: bool) -> Noted:
        assert timed is self.reads
        return Noted(media)

    async def main(reads: bool) -> list[ev.Frames]:
        monkeypatch.setattr(shell.Faces, "reads", reads)
        monkeypatch.setattr(shell.Faces, "open", opened)
        puppet = shell.Puppet()
        async with shell.session(puppet) as (_, ear):
            puppet.say.send_nowait(ev.ReplyStarted("r"))
            puppet.say.send_nowait(ev.ReplyAudio("r", bytes(2 * 24_000 * 3), phonemes=()))
            puppet.say.send_nowait(ev.ReplyDone("r"))
            await asyncio.sleep(10)
        return ear.of(ev.Frames)

    frames = vtime.run(main(reads=False))
    assert sum(len(group.weights) for group in frames) == 90
    assert all(len(group.drawings) == len(group.weights) for group in frames)
    assert not any(timed for timed, _ in asked) and max(count for _, count in asked) <= Policy().chunk
    asked.clear()
    vtime.run(main(reads=True))
    assert asked[0][0] and max(count for _, count in asked) == 90
