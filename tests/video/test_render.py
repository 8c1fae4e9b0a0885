"""Pictures of faces: what must move moves, nothing else does, and the same face is the same picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.video.render_heads import mask
from tools.renderer_kernel import OUT, fingerprint

from visavis import plugins
from visavis.arkit import INDEX, Weights, neutral
from visavis.cast import built_in
from visavis.errors import ConfigurationError, VisavisError
from visavis.settings import Settings
from visavis.video import Picture, RenderEngine
from visavis.video.background import Gradient, Image, parse
from visavis.video.head import Subject, load_head
from visavis.video.head_motion import LARGEST, Pose, Sway, keep_looking
from visavis.video.images import read_image
from visavis.video.raster import Kernel, Memory
from visavis.video.raster_stage import Stage, framed, seen
from visavis.video.renderer import Software, SoftwareRenderer, drawable

SIZE = (320, 240)
GREY = Gradient((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
EYES = (slice(80, 100), slice(118, 202))
MOUTH = (slice(125, 155), slice(130, 190))
"""Where they are in a picture of Mia of this size."""


@pytest.fixture(scope="module")
def software() -> Software:
    return Software()


@pytest.fixture(scope="module")
def mia(software: Software) -> SoftwareRenderer:
    return software.renderer("mia", SIZE, GREY)


def face(**shapes: float) -> Weights:
    weights: Weights = neutral(1)[0]
    for name, value in shapes.items():
        for end in ("",) if name in INDEX else ("Left", "Right"):
            weights[INDEX[name + end]] = value
    return weights


def changed(a: Picture, b: Picture) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = np.abs(a.astype(int) - b.astype(int)).max(2) > 8
    return different


# -- what is seen -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, (160, 120)) for name in ("mia", "daniel", "amara", "kenji", "elena", "pip")),
        ("amara", (128, 128)),
        ("kenji", (101, 75)),
    ],
)
def test_every_avatar_fills_the_middle_and_leaves_the_corners(
    software: Software, name: str, size: tuple[int, int]
) -> None:
    picture = software.renderer(name, size, GREY).open().render(face(), 0.0)
    width, height = size
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    person = (picture != 128).any(2)
    assert 0.3 < person.mean() < 0.75
    assert person[height // 2, width // 2]
    assert not person[0, 0]
    assert not person[0, -1]
    middle = picture[height * 3 // 10 : height * 6 // 10, width * 4 // 10 : width * 6 // 10].astype(int)
    assert (middle[..., 0] > middle[..., 2]).mean() > 0.8, "skin is redder than blue"


def test_jaw_open_darkens_the_mouth_and_leaves_the_eyes(mia: SoftwareRenderer) -> None:
    closed, opened = mia.draw(face(), Pose()), mia.draw(face(jawOpen=0.7), Pose())
    dark = [(picture[MOUTH].sum(2) < 200).sum() for picture in (closed, opened)]
    assert dark[1] > dark[0] + 50
    assert changed(closed, opened)[MOUTH].mean() > 0.15
    assert changed(closed, opened)[EYES].mean() < 0.03


def test_a_blink_covers_the_eyes_and_leaves_the_mouth(mia: SoftwareRenderer) -> None:
    """Mia's eyes are green and white; her lids are neither."""
    open_, shut = mia.draw(face(), Pose()), mia.draw(face(eyeBlink=1.0), Pose())

    def iris(picture: Picture) -> int:
        pixels = picture[EYES].astype(int)
        return int((pixels[..., 1] > pixels[..., 0]).sum())

    assert iris(open_) > 15
    assert iris(shut) == 0
    assert not changed(open_, shut)[MOUTH].any()


def test_every_shape_moves_something(mia: SoftwareRenderer) -> None:
    rest, jaw = mia.draw(face(), Pose()), mia.draw(face(jawOpen=0.5), Pose())
    for name, index in INDEX.items():
        weights = face(jawOpen=0.5) if name == "mouthClose" else face()
        weights[index] = max(1.0 - 0.5 * (name == "mouthClose"), weights[index])
        before = jaw if name == "mouthClose" else rest
        assert changed(before, mia.draw(weights, Pose())).sum() > 3, name


def test_lips_close_no_further_than_the_jaw_is_open() -> None:
    assert drawable(face(jawOpen=0.2, mouthClose=0.9))[INDEX["mouthClose"]] == pytest.approx(0.2)
    wild = drawable(np.array([np.nan, np.inf, -1.0, 2.0, *[0.5] * 48], np.float32))
    assert wild[:4].tolist() == [0.0, 1.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="52"):
        drawable(np.zeros(51, np.float32))


def test_without_anti_aliasing_the_picture_is_the_same_but_softer(mia: SoftwareRenderer) -> None:
    smooth, rough = mia.draw(face(), Pose()), mia.draw(face(), Pose(), antialias=False)
    assert 0.5 < np.abs(smooth.astype(int) - rough.astype(int)).mean() < 3
    smooth_steps, rough_steps = (
        np.abs(np.diff(picture[EYES].astype(int), axis=1)).mean() for picture in (smooth, rough)
    )
    assert 0.6 * smooth_steps < rough_steps < smooth_steps


@pytest.mark.parametrize("size", [(16, 16), (17, 19), (101, 75), (102, 78), (103, 64), (512, 512)])
def test_without_anti_aliasing_pictures_of_any_size_are_in_place(
    software: Software, size: tuple[int, int]
) -> None:
    """Moved by a pixel anywhere it would resemble the smooth one less; what is behind is as it was."""
    background = Gradient((0.8, 0.4, 0.2), (0.2, 0.4, 0.8))
    renderer = software.renderer("kenji", size, background)
    smooth, rough = (renderer.draw(face(), Pose(), antialias).astype(int) for antialias in (True, False))
    assert smooth.shape == rough.shape
    apart = {
        (down, across): np.abs(smooth - np.roll(rough, (down, across), (0, 1)))[2:-2, 2:-2].mean()
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    }
    assert min(apart, key=lambda moved: apart[moved]) == (0, 0)
    beside = slice(size[1] // 3), [*range(size[0] // 8), *range(-(size[0] // 8), 0)]
    assert np.abs(rough - background.paint(*size))[beside].max() <= 4


def test_what_is_left_out_would_not_have_been_seen() -> None:
    kernel, random = Kernel(), np.random.default_rng(1)
    head = load_head(built_in("mia"), kernel)
    less = seen(kernel, head, SIZE)
    count, kept = (sum(len(part.triangles) for part in whose.parts) for whose in (head, less))
    assert kept < 0.7 * count
    stages = [Stage(kernel, whose, SIZE, GREY) for whose in (head, less)]
    memories = [Memory.of(stage.image) for stage in stages]
    for _ in range(4):
        weights = random.random(52, np.float32) * 0.5
        pitch, yaw, roll = random.uniform(-LARGEST, LARGEST, 3)
        pictures = []
        for stage, memory in zip(stages, memories, strict=True):
            stage.set(memory, drawable(weights), Pose(pitch, yaw, roll, 0.5))
            memory("draw", stage.at, 1)
            pictures.append(stage.out(memory, 320 * 240 * 3).reshape(240, 320, 3))
        assert changed(*pictures).mean() < 0.002


def test_somebodys_head_talks(software: Software, tmp_path: Path) -> None:
    path = tmp_path / "mine.glb"
    path.write_bytes(mask().glb())
    renderer = software.renderer(path, SIZE, GREY)
    closed, opened = renderer.draw(face(), Pose()), renderer.draw(face(jawOpen=1.0), Pose())
    assert (closed != 128).any(2).mean() > 0.1
    where = np.flatnonzero(changed(closed, opened).any(1))
    assert where.min() > 120, "only what is below the middle falls"


def test_our_avatar_as_if_it_were_somebodys(software: Software, tmp_path: Path) -> None:
    """Without what it says of itself it is drawn like any other head, in its own colours."""
    path = tmp_path / "mia.glb"
    path.write_bytes(built_in("mia").read_bytes().replace(b'"extras":{"avatar"', b'"extras":{"another'))
    with pytest.raises(VisavisError, match="damaged"):
        software.renderer(path, SIZE, GREY)
    path.write_bytes(built_in("mia").read_bytes().replace(b'{"avatar":', b'{"others":'))
    renderer = software.renderer(path, SIZE, GREY)
    rest = renderer.draw(face(), Pose())
    assert 0.2 < (rest != 128).any(2).mean() < 0.9
    assert changed(rest, renderer.draw(face(jawOpen=0.7), Pose())).sum() > 300


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e4])
def test_any_shape_can_be_drawn(software: Software, tmp_path: Path, size: float) -> None:
    """Triangles of no size, of huge size, behind the camera: no picture, but no crash either."""
    maker = mask()
    random = np.random.default_rng(int(np.log10(size)) % 100)
    points = (random.normal(size=(21 * 31, 3)) * size).astype(np.float32)
    points[::7] = points[0]
    maker.data[: points.nbytes] = points.tobytes()
    path = tmp_path / "wild.glb"
    path.write_bytes(maker.glb())
    try:
        renderer = software.renderer(path, (64, 48), GREY)
    except VisavisError as error:
        assert "no size" in str(error)
        return
    view = renderer.open()
    for k in range(3):
        assert view.render(random.random(52, np.float32), float(k), antialias=k > 1).shape == (48, 64, 3)


# -- the same and not the same -----------------------------------------------------------------------------
def test_equal_faces_are_equal_bytes_in_any_thread(mia: SoftwareRenderer, software: Software) -> None:
    weights = face(jawOpen=0.3, mouthSmile=0.4)
    first = mia.open(seed=3).render(weights, 12.5)
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: mia.open(seed=3).render(weights, 12.5), range(8)))
    assert all(np.array_equal(first, picture) for picture in again)
    other = Software().renderer("mia", SIZE, GREY).open(seed=3)
    other.render(face(jawOpen=1.0), 3.0)
    assert np.array_equal(first, other.render(weights, 12.5)), "what was drawn before leaves no trace"
    assert not np.array_equal(first, mia.open(seed=4).render(weights, 12.5)), "another seed sways otherwise"
    assert not np.array_equal(first, mia.open(seed=3).render(weights, 14.5)), "time moves the head"
    assert software.renderer("mia", SIZE, GREY) is mia


def test_pictures_are_the_callers_own(mia: SoftwareRenderer) -> None:
    view = mia.open()
    picture = view.render(face(), 0.0)
    before = picture.copy()
    view.render(face(jawOpen=1.0), 5.0)
    assert np.array_equal(picture, before)


def test_with_and_without_anti_aliasing_in_turn(mia: SoftwareRenderer) -> None:
    view = mia.open()
    rough = view.render(face(), 0.0, antialias=False)
    view.render(face(), 0.0)
    assert np.array_equal(rough, view.render(face(), 0.0, antialias=False))


def test_the_head_sways_a_little_and_without_jumps() -> None:
    sway = Sway(seed=5)
    poses = [sway(k / 25) for k in range(2000)]
    for name in ("pitch", "yaw", "roll"):
        angles = np.array([getattr(pose, name) for pose in poses])
        assert np.ptp(angles) > 0.005
        assert np.abs(angles).max() < LARGEST
        assert np.abs(np.diff(angles)).max() < 0.002
    breaths = np.array([pose.breath for pose in poses])
    assert (breaths.min(), breaths.max()) == pytest.approx((0, 1), abs=0.01)


def test_the_eyes_stay_on_the_viewer_while_the_head_turns() -> None:
    turned = keep_looking(face(), Pose(pitch=0.05, yaw=0.05))
    for name in ("eyeLookInLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"):
        assert turned[INDEX[name]] == pytest.approx(0.05 / np.radians(30), rel=1e-3), name
    rotation = Pose(0.3, -0.2, 0.1).rotation()
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert Pose(yaw=0.1).rotation()[0, 2] > 0, "the face turns to the person's left"
    assert Pose(pitch=0.1).rotation()[1, 2] < 0, "the face looks down"
    assert Pose(roll=0.1).rotation()[0, 1] > 0, "the top goes to the person's left"


# -- around the face ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("aspect", [0.3, 0.46, 0.75, 1, 1.33, 1.78, 2.4])
def test_the_hair_has_air_and_the_cut_of_the_bust_is_never_seen(aspect: float) -> None:
    subject = Subject((0, 0.65, 0), 0.77, 0.43, 0.108)
    height, centre = framed(subject, aspect)
    assert centre + height / 2 > subject.top
    assert centre - height / 2 >= subject.bottom - 1e-9
    assert height * aspect >= 2 * subject.half_width - 1e-9


def test_backgrounds(tmp_path: Path) -> None:
    assert parse("  ") is None
    assert parse("#ff0000") == Gradient((1, 0, 0), (1, 0, 0))
    assert (GREY.paint(8, 8) == 128).all()
    gradient = parse("#ffffff #000000")
    assert gradient is not None
    painted = gradient.paint(64, 48)
    assert painted[19, 32].min() > 250
    assert painted[-1, 0].max() < 60
    photograph = parse(str(built_in("mia").with_name("poster.webp")))
    assert isinstance(photograph, Image)
    assert photograph.paint(64, 48).shape == (48, 64, 3)
    assert photograph.paint(48, 64).std() > 10
    with pytest.raises(ConfigurationError, match="neither a colour"):
        parse("#12345 nowhere")
    wrong = tmp_path / "notes.png"
    wrong.write_text("no image")
    with pytest.raises(VisavisError, match=r"notes\.png is not an image"):
        Image(wrong).paint(8, 8)


def test_the_background_shows_where_nobody_is(software: Software) -> None:
    red = software.renderer("mia", (128, 96), Gradient((1, 0, 0), (1, 0, 0)))
    assert red.draw(face(), Pose())[0, 0].tolist() == [255, 0, 0]


def test_an_image_with_too_many_pixels_is_refused() -> None:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    with pytest.raises(VisavisError, match="image"):
        read_image(header + bytes(100), "huge.png")


# -- the engine --------------------------------------------------------------------------------------------
def test_the_engine_is_a_plug_in() -> None:
    engine: RenderEngine = plugins.load("renderers", "software", Settings())
    assert engine.renderer("pip", (64, 48)).open().render(face(), 0.0).shape == (48, 64, 3)


def test_unknown_avatars_and_sizes_say_what_is_possible(software: Software) -> None:
    with pytest.raises(VisavisError, match="no avatar 'nobody'"):
        software.renderer("nobody", SIZE)
    with pytest.raises(VisavisError, match=r"no avatar '\.\./mia/mia'"):
        software.renderer("../mia/mia", SIZE)
    with pytest.raises(VisavisError, match="sides from 16"):
        software.renderer("mia", (640, 10_000))


def test_the_compiled_loops_are_those_of_the_sources() -> None:
    assert OUT.read_bytes().endswith(fingerprint()), "run tools/renderer_kernel.py"
