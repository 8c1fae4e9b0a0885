"""LiteAvatar without PyTorch: its files, its sound, its pictures. With it: `make test-liteavatar`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.contract import liteavatar_files as files
from tests.contract.test_faces import MEDIA, play, voice

from visavis.arkit import COUNT
from visavis.audio import Media
from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.faces import DrawnStream, FaceEngine, PictureEngine
from visavis.faces.context import NATIVE
from visavis.faces.liteavatar import LiteAvatar, find
from visavis.faces.liteavatar_data import cut, read_avatar
from visavis.faces.liteavatar_sound import (
    FAST,
    USUAL,
    Listener,
    Normalisation,
    ParameterStream,
    Plan,
    features,
    tidied,
)
from visavis.faces.speech_face import Faces
from visavis.plugins import load
from visavis.settings import FaceSettings, LiteAvatarSettings, Settings

SIZE = (files.WIDTH, files.HEIGHT)
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.avatar(tmp_path_factory.mktemp("lite") / "anna")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.weights(tmp_path_factory.mktemp("weights") / "lite_avatar_weights")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """An avatar to be spoilt."""
    return Path(shutil.copytree(folder, tmp_path / "anna"))


def listener(weights: Path) -> Listener:
    return Listener(find(weights, "model_1.onnx"), Normalisation(find(weights, "am.mvn")), files.hear)


@cache
def lips() -> FaceEngine:
    loaded: FaceEngine = load("faces", "net", Settings())
    return loaded


def engine(folder: Path, weights: Path, plan: Plan = USUAL) -> LiteAvatar:
    return LiteAvatar(read_avatar(folder, SIZE), files.Flat(), listener(weights), lips(), plan)


# -- sound ---------------------------------------------------------------------------------------------------
def test_features_are_those_of_kaldi() -> None:
    """Computed step by step for one frame: Kaldi's filter bank with a Hamming window."""
    second = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
    found = features(second)
    assert found.shape == (17, 560)
    frame = second[160 * 12 : 160 * 12 + 400].astype(np.float64) * 32_768
    frame -= frame.mean()
    frame = np.array([value - 0.97 * frame[max(k - 1, 0)] for k, value in enumerate(frame)])
    frame *= 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    spectrum = (
        np.abs([np.sum(frame * np.exp(-2j * np.pi * k * np.arange(400) / 512)) for k in range(256)]) ** 2
    )
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700), 82)
    for band in (10, 11, 12, 40):
        mel = 1127 * np.log(1 + 31.25 * np.arange(256) / 700)
        up = (mel - edges[band]) / (edges[band + 1] - edges[band])
        down = (edges[band + 2] - mel) / (edges[band + 2] - edges[band + 1])
        energy = np.sum(np.clip(np.minimum(up, down), 0, None) * spectrum)
        # The third of the seven frames of the third input is frame 2 * 6 + 3 - 3 = 12 of 10 ms.
        assert found[2, 3 * 80 + band] == pytest.approx(np.log(energy), abs=0.05)


def test_features_at_the_edges_repeat_the_first_and_the_last_frame() -> None:
    found = features(np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32))
    np.testing.assert_array_equal(found[0, :80], found[0, 3 * 80 : 4 * 80])
    np.testing.assert_array_equal(found[16, 4 * 80 : 5 * 80], found[16, 6 * 80 :])
    assert np.isfinite(features(np.zeros(16_000, np.float32))).all()


def test_the_model_hears_one_second_interpolated_to_thirty_frames(weights: Path) -> None:
    ramp = np.linspace(0.001, 0.5, 16_000, dtype=np.float32)
    noise = ramp * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    found = listener(weights)(noise)
    assert found.shape == (30, 32)
    heard = ((features(noise) - 8) * 0.1).mean(axis=1)
    np.testing.assert_allclose(
        found[:, 5], np.interp(np.linspace(0, 16, 30), np.arange(17), heard), atol=1e-4
    )


def test_windows_fade_into_each_other_as_published() -> None:
    """Against the published loop: 1 s windows every 12 frames, of which frames 6 to 24 are used."""
    total, calls = 30 + 12 * 3, iter(range(100))
    window = np.random.default_rng(3).normal(0, 1, (100, 30, 32)).astype(np.float32)
    loud = np.random.default_rng(4).normal(0, 0.3, NATIVE.edge(total)).astype(np.float32)
    found = ParameterStream(lambda _: window[next(calls)], files.REST, USUAL)(loud, False)
    expected: list[Floats] = []
    for number in range(4):
        start = 12 * number
        frames = tidied(window[number], np.ones(16_000, np.float32), files.REST)
        for k in range(0 if number == 0 else 6, 24):
            if start + k < len(expected):
                share = min((len(expected) - start - k) / 6, 1.0)
                expected[start + k] = (1 - share) * frames[k] + share * expected[start + k]
            else:
                expected.append(frames[k])
    assert len(found) == total - 12
    np.testing.assert_allclose(found, np.array(expected)[: len(found)], atol=1e-4)


@pytest.mark.parametrize(("plan", "first"), [(USUAL, 30), (FAST, 12)], ids=["usual", "fast"])
def test_how_much_sound_the_first_pictures_need(plan: Plan, first: int) -> None:
    stream = ParameterStream(lambda _: np.zeros((30, 32), np.float32), files.REST, plan)
    assert len(stream(np.ones(NATIVE.edge(first) - 1, np.float32), False)) == 0
    assert len(stream(np.ones(1, np.float32), False)) > 0


@pytest.mark.parametrize("plan", [USUAL, FAST], ids=["usual", "fast"])
@given(pieces=st.lists(st.integers(0, 20_000), max_size=12), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_pieces_give_the_same_frames_and_all_of_them(plan: Plan, pieces: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).normal(0, 0.2, sum(pieces)).astype(np.float32)

    def listen(heard: Floats) -> Floats:
        assert heard.shape == (16_000,)
        edges = [NATIVE.edge(k) for k in range(30)]
        return np.repeat(np.add.reduceat(heard, edges)[:, None], 32, 1).astype(np.float32)

    stream, begin, parts = ParameterStream(listen, files.REST, plan), 0, []
    for size in pieces:
        parts.append(stream(sound[begin : begin + size], False))
        begin += size
        assert len(stream._sound) <= 4 * 16_000 + size
    parts.append(stream(sound[begin:], True))
    found = np.concatenate(parts)
    assert found.shape == (NATIVE.covering(len(sound)), 32)
    whole = ParameterStream(listen, files.REST, plan)(sound, True)
    np.testing.assert_allclose(found, whole, atol=1e-4)


def test_the_mouth_rests_in_pauses_and_at_the_end() -> None:
    rest = np.full(32, 0.5, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.2, 16_000).astype(np.float32)
    quiet = noise.copy()
    quiet[NATIVE.edge(5) : NATIVE.edge(25)] = 0
    frames = tidied(np.full((30, 32), -1.0, np.float32), quiet, rest)
    np.testing.assert_allclose(frames[8:22], 0.5, atol=1e-6)
    np.testing.assert_allclose(frames[[0, 29]], -1, atol=1e-3)
    short = noise.copy()
    short[NATIVE.edge(5) : NATIVE.edge(15)] = 0
    np.testing.assert_allclose(tidied(np.full((30, 32), -1.0, np.float32), short, rest), -1, atol=1e-3)
    spoken = ParameterStream(lambda _: np.full((30, 32), -1.0, np.float32), rest, USUAL)
    ended = spoken(noise, True)
    np.testing.assert_allclose(ended[-6:, 0], [-1, -0.7, -0.4, -0.1, 0.2, 0.5], atol=1e-3)


# -- the engine --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("media", MEDIA, ids=str)
@pytest.mark.parametrize("plan", [USUAL, FAST], ids=["usual", "fast"])
def test_a_drawing_for_each_frame_of_sound(folder: Path, weights: Path, media: Media, plan: Plan) -> None:
    made = engine(folder, weights, plan)
    assert isinstance(made, PictureEngine)
    for samples in (0, 1, 700, round(1.7 * media.rate)):
        pcm = voice(2.0, media.rate)[: 2 * samples]
        stream = made.open(media, 0)
        assert isinstance(stream, DrawnStream)
        count = 0
        for last, piece in ((False, pcm[: len(pcm) // 4 * 2]), (True, pcm[len(pcm) // 4 * 2 :])):
            frames = stream.feed(piece, None, last)
            assert frames.shape == (len(stream.drawings()), COUNT)
            count += len(frames)
        assert count == media.covering(samples)


def test_the_face_is_in_its_place_on_the_video(folder: Path, weights: Path) -> None:
    made, media = engine(folder, weights), Media(16_000, 25)
    stream = made.open(media, 0)
    stream.feed(voice(2.0, 16_000), None, True)
    drawing = stream.drawings()[10]
    top, bottom, left, right = files.BOX
    for seconds, number in ((0.0, 0), (0.08, 2), (0.20, 4), (0.24, 3), (0.40, 0), (0.44, 1)):
        idle, picture = made.idle(seconds), drawing(seconds)
        assert idle.shape == picture.shape == (files.HEIGHT, files.WIDTH, 3)
        assert abs(int(idle[60, 80, 1]) - files.shade(number)) <= 3, "to its end and back"
        outside = np.ones(picture.shape[:2], bool)
        outside[top:bottom, left:right] = False
        np.testing.assert_array_equal(picture[outside], idle[outside])
        mouth = picture[57:59, 75:85]
        parameters = drawing.args[0]  # type: ignore[attr-defined]
        share = float(made.avatar.mask[58 - top, 30, 0])
        expected = (np.clip(parameters.mean(), -1, 1) / 2 + 0.5) * 255 * (1 - share) + files.shade(
            number
        ) * share
        np.testing.assert_allclose(mouth[..., 0], expected, atol=6)
        np.testing.assert_allclose(mouth[..., 1], files.shade(number), atol=6)
    assert made.avatar.with_face(0, np.full((64, 64, 3), np.nan, np.float32)).shape == (120, 160, 3)
    made.idle(0.0)[:] = 0
    assert made.idle(0.0).any(), "a picture is the caller's own"


def test_nothing_is_painted_until_somebody_looks(folder: Path, weights: Path) -> None:
    painter = files.Flat()
    made = LiteAvatar(read_avatar(folder, SIZE), painter, listener(weights), lips(), USUAL)
    warm = painter.painted
    stream = made.open(Media(), 0)
    stream.feed(voice(2.0, 24_000), None, True)
    assert painter.painted == warm
    stream.drawings()[0](0.0)
    assert painter.painted == warm + 1


def test_clients_that_draw_themselves_get_the_weights_of_the_net(folder: Path, weights: Path) -> None:
    media, pcm = Media(), voice(2.0, 24_000)
    found = np.concatenate(play(engine(folder, weights).open(media, 0), media, pcm, [5] * 20))
    np.testing.assert_allclose(found, lips().open(media, 0).feed(pcm, None, True), atol=1e-5)


# -- files ---------------------------------------------------------------------------------------------------
def test_as_many_frames_as_the_video_and_the_references_have(folder: Path, tmp_path: Path) -> None:
    assert len(read_avatar(folder, SIZE).frames) == 5
    few = files.avatar(tmp_path / "few", frames=5, references=2)
    assert len(read_avatar(few, SIZE).frames) == len(list(read_avatar(few, SIZE).references())) == 2


def test_the_video_is_cut_around_the_face() -> None:
    assert cut(160, 120, files.BOX, (640, 480)) == (0, 0, 160, 120)
    assert cut(720, 1280, (200, 500, 240, 480), (640, 480)) == (0, 107, 720, 540)
    assert cut(1280, 720, (100, 300, 1000, 1200), (480, 480)) == (560, 0, 720, 720)
    assert cut(720, 1280, (100, 900, 100, 620), (640, 480)) == (0, 0, 720, 1280), (
        "all of it, or no whole face"
    )


def test_a_large_video_is_scaled_down_with_its_face(copy: Path) -> None:
    half = read_avatar(copy, (80, 60))
    assert half.frames.shape == (5, 60, 80, 3)
    assert half.box == (15, 40, 25, 55)
    assert half.mask.shape == (25, 30, 1)
    assert read_avatar(copy, (640, 480)).frames.shape == (5, 120, 160, 3), "never up"


def broken(name: str, content: bytes | None) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return spoil


def pose(count: int) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "neutral_pose.npy", np.zeros(count, np.float32))


def pickled(folder: Path) -> None:
    np.save(folder / "neutral_pose.npy", np.array([{}] * 32, object), allow_pickle=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (broken("face_box.txt", None), r"face_box\.txt: expected are four whole numbers"),
        (broken("face_box.txt", b"1 2 3"), r"face_box\.txt: expected are four whole numbers"),
        (broken("face_box.txt", b"10 12 10 200"), r"face_box\.txt: a face from 10,10 to 200,12 is none"),
        (broken("face_box.txt", b"10 90 10 900"), r"bg_video\.mp4: it has 160 by 120 pixels, and face_box"),
        (broken("neutral_pose.npy", None), r"neutral_pose\.npy: it cannot be read"),
        (pose(31), r"neutral_pose\.npy: it has 31 numbers, expected 32"),
        (pickled, r"neutral_pose\.npy: it cannot be read as an array of numbers"),
        (broken("bg_video.mp4", None), r"bg_video\.mp4: there is no such file"),
        (broken("bg_video.mp4", b"no video"), r"bg_video\.mp4: it cannot be read as a video"),
        (broken("ref_frames/ref_00000.jpg", None), r"ref_00000\.jpg: there is no such file"),
    ],
)
def test_what_is_wrong_with_an_avatar_is_said_with_its_file(
    copy: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(copy)
    with pytest.raises(ConfigurationError, match=said):
        read_avatar(copy, SIZE)


def test_a_reference_that_is_no_picture(copy: Path, weights: Path) -> None:
    (copy / "ref_frames" / "ref_00002.jpg").write_bytes(b"no picture")
    with pytest.raises(ConfigurationError, match=r"ref_00002\.jpg"):
        engine(copy, weights)


def test_an_avatar_that_is_still_packed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"anna: there is no such folder"):
        read_avatar(tmp_path / "anna", SIZE)
    (tmp_path / "anna.zip").write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match=r"it is not unpacked; anna\.zip is beside it"):
        read_avatar(tmp_path / "anna", SIZE)


def test_statistics_and_models_of_something_else(weights: Path, tmp_path: Path) -> None:
    normalise = Normalisation(find(weights, "am.mvn"))
    assert (normalise.shift[0], normalise.scale[559]) == (np.float32(-8), np.float32(0.1))
    other = tmp_path / "am.mvn"
    other.write_text("<AddShift> 2 2 <LearnRateCoef> 0 [ 1 2 ] <Rescale> 2 2 <LearnRateCoef> 0 [ 1 2 ]")
    with pytest.raises(ConfigurationError, match=r"statistics of 560 features .*AddShift> has 2 numbers"):
        Normalisation(other)
    onnx.save(files.model(parameters=31), tmp_path / "a.onnx")
    with pytest.raises(ConfigurationError, match=r"a\.onnx: its output has shape \[1, 30, 31\], expected"):
        Listener(tmp_path / "a.onnx", normalise, files.hear)
    onnx.save(files.model(width=256), tmp_path / "b.onnx")
    with pytest.raises(
        ConfigurationError, match=r"b\.onnx: it cannot be run with input_au float32 \[1, 30, 50"
    ):
        Listener(tmp_path / "b.onnx", normalise, files.hear)
    with pytest.raises(ConfigurationError, match="no finite numbers"):
        Listener(find(weights, "model_1.onnx"), normalise, lambda x: np.full((len(x), 50, 512), np.nan, "f4"))
    with pytest.raises(ConfigurationError, match=r"c\.onnx: there is no such file"):
        Listener(tmp_path / "c.onnx", normalise, files.hear)
    with pytest.raises(ConfigurationError, match=r"model\.pb: there is no such file"):
        find(weights, "model.pb")
    with pytest.raises(ConfigurationError, match=r"no such folder; set liteavatar\.weights"):
        find(tmp_path / "none", "model.pb")


# -- settings ------------------------------------------------------------------------------------------------
def test_without_an_avatar_it_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"set liteavatar\.data to the folder"):
        load("faces", "liteavatar", Settings())


def test_without_pytorch_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, folder: Path, weights: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "visavis.faces.liteavatar_torch", raising=False)
    all_of_them = Path(shutil.copytree(weights, tmp_path / "weights"))
    (all_of_them / "model.pb").write_bytes(b"")
    options = LiteAvatarSettings(data=folder, weights=all_of_them)
    with pytest.raises(ConfigurationError, match=r"pip install 'visavis\[liteavatar\]'"):
        load("faces", "liteavatar", Settings(liteavatar=options, face=FaceSettings(engine="liteavatar")))


def test_a_pipeline_of_the_original_names_the_avatar(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text(
        "models: {root_path: models}\n"
        "pipeline:\n  avatar:\n    handler: liteavatar\n    avatar_name: 20250408/anna\n    fps: 20\n"
        "    enable_fast_mode: true\n    use_gpu: false\n"
    )
    (tmp_path / "models" / "20250408" / "anna").mkdir(parents=True)
    read = load_settings({}, config, {}, tmp_path)
    assert (read.face.engine, read.video.fps) == ("liteavatar", 20)
    assert (read.liteavatar.fast, read.liteavatar.gpu) == (True, False)
    assert read.liteavatar.data == Path("20250408/anna")


def test_its_speech_is_heard_and_never_drawn_from_phonemes(folder: Path, weights: Path) -> None:
    made = engine(folder, weights)
    faces = Faces(made, made)
    assert faces.reads is False
    assert faces.idle == made.idle
    assert Faces(lips(), lips()).idle is None
    face = faces.open(Media(), 0, timed=False)
    assert len(face.feed(voice(1.5, 24_000), None, True)) == len(face.drawings()) == 45
