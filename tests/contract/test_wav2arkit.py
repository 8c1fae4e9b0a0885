"""The wav2arkit engine on generated graphs of exactly its interface, and on what else it may be given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.contract.test_faces import play, voice
from tests.contract.window_models import NAME, expected, model, save

from visavis.arkit import COUNT, INDEX, NAMES, Weights
from visavis.audio import Media, to_float, to_pcm
from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.faces import FaceEngine
from visavis.faces.context import CONTEXT, POLISHED, REFERENCE, ContextStream, Plan
from visavis.faces.polish import polish
from visavis.faces.speech_face import Faces
from visavis.plugins import load
from visavis.settings import FaceSettings, Settings

Sound = NDArray[np.float32]
JAW = INDEX["jawOpen"]
NATIVE = Media(16_000, 30)
MEDIA = [Media(24_000, 30), NATIVE, Media(22_050, 25), Media(48_000, 60)]
chunkings = st.lists(st.integers(1, 20), max_size=60)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(model(), tmp_path_factory.mktemp("wav2arkit"))


def engine(file: Path, mode: str = "context", polished: bool = False) -> FaceEngine:
    face = FaceSettings.model_validate({"model_path": file, "mode": mode, "polish": polished})
    loaded: FaceEngine = load("faces", "wav2arkit", Settings(face=face))
    return loaded


def moved(engine: FaceEngine, pcm: bytes, media: Media = NATIVE, chunks: list[int] | None = None) -> Weights:
    return np.concatenate(play(engine.open(media, 0), media, pcm, chunks or []))


# -- context ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("polished", [False, True])
def test_a_rolling_window_equals_hearing_everything_at_once(file: Path, polished: bool) -> None:
    pcm = voice(7.3, NATIVE.rate)
    sound = to_float(pcm)
    offline = expected(sound)
    if polished:
        offline = polish(offline, np.pad(sound, (0, NATIVE.edge(219) - len(sound))), 16_000, 30)
    streamed = moved(engine(file, polished=polished), pcm, chunks=[2] * 200)
    # A window may begin one sample off the frame it stands for: 1 in 533.
    np.testing.assert_allclose(streamed, offline, atol=4e-3)
    assert np.ptp(offline[:, JAW]) > 0.2


def test_reference_mode_hears_half_seconds_alone_and_has_seams(file: Path) -> None:
    pcm = voice(4.25, NATIVE.rate)
    sound = np.pad(to_float(pcm), (0, NATIVE.edge(128) - 68_000))
    pieces = [expected(sound[start : start + 8000]) for start in range(0, len(sound), 8000)]
    result = moved(engine(file, "reference"), pcm, chunks=[7] * 30)
    np.testing.assert_allclose(result, np.concatenate(pieces), atol=4e-3)
    whole, in_context = expected(sound), moved(engine(file), pcm)
    seams = np.arange(15, 120, 15)
    assert np.abs(result - whole)[seams, JAW].max() > 0.05
    assert np.abs(in_context - whole)[seams, JAW].max() < 0.005


@pytest.mark.parametrize("media", MEDIA, ids=str)
@pytest.mark.parametrize("mode", ["context", "reference"])
@examples(max_examples=10, deadline=None, derandomize=True)
@given(chunks=chunkings, samples=st.integers(0, 120_000))
def test_any_pieces_of_any_media_give_one_frame_per_frame(
    file: Path, mode: str, media: Media, chunks: list[int], samples: int
) -> None:
    chosen = engine(file, mode, polished=True)
    pcm = voice(samples / media.rate, media.rate)[: 2 * samples]
    result = moved(chosen, pcm, media, chunks)
    assert result.shape == (media.covering(len(pcm) // 2), COUNT) and result.dtype == np.float32
    assert result.min(initial=0) >= 0 and result.max(initial=0) <= 1
    np.testing.assert_allclose(result, moved(chosen, pcm, media), atol=1e-5)


@pytest.mark.parametrize("media", MEDIA, ids=str)
@pytest.mark.parametrize("seconds", [0.5, 2.35, 5.1])
def test_a_knock_shows_when_it_is_heard(file: Path, media: Media, seconds: float) -> None:
    sound = np.zeros(6 * media.rate, np.float32)
    knock = slice(round(seconds * media.rate), round((seconds + 1 / 30) * media.rate))
    sound[knock] = 0.5 * np.sin(np.arange(knock.stop - knock.start) * 0.2)
    shown = int(moved(engine(file), to_pcm(sound), media, [4] * 200)[:, JAW].argmax())
    assert abs((shown + 0.5) / media.fps - (seconds + 1 / 60)) <= 1 / media.fps


class Watched:
    """A model that answers zeros and remembers how much it heard."""

    def __init__(self) -> None:
        self.windows: list[int] = []

    def __call__(self, samples: Sound) -> Weights:
        self.windows.append(len(samples))
        return np.zeros((NATIVE.covering(len(samples)), COUNT), np.float32)


@pytest.mark.parametrize("plan", [CONTEXT, POLISHED, REFERENCE])
def test_windows_are_bounded_and_frames_come_soon(plan: Plan) -> None:
    watched = Watched()
    stream = ContextStream(watched, NATIVE, plan)
    out, first = 0, 0
    for heard in range(1, 1001):
        pcm = bytes(2 * (NATIVE.edge(heard) - NATIVE.edge(heard - 1)))
        out += len(stream.feed(pcm, None, last=False))
        first = first or heard * (out > 0)
        assert heard - out < plan.most + plan.ahead
    out += len(stream.feed(b"", None, last=True))
    assert out == 1000 and first == plan.first + plan.ahead
    assert max(watched.windows) == NATIVE.edge(plan.window or plan.most)
    # 4 times the sound in all: each frame is heard in its own window and those that it is the context of.
    assert sum(watched.windows) <= (4.4 if plan.window else 1) * NATIVE.edge(1000)


def test_each_window_hears_only_sound_of_its_own_time() -> None:
    heard: list[Sound] = []

    def remember(samples: Sound) -> Weights:
        heard.append(samples.copy())
        return np.zeros((NATIVE.covering(len(samples)), COUNT), np.float32)

    ramp = np.arange(100_000, dtype=np.float32) / 100_000
    stream = ContextStream(remember, NATIVE, CONTEXT)
    play(stream, NATIVE, to_pcm(ramp), [5] * 100)
    for window in heard[:-1]:
        begin, end = window[0] * 100_000, window[-1] * 100_000
        assert abs(begin * 30 / 16_000 - round(begin * 30 / 16_000)) < 0.01  # a frame's edge
        assert end - begin == pytest.approx(len(window) - 1, abs=8)


# -- polish ----------------------------------------------------------------------------------------------
def test_polish_rests_in_silence_and_leaves_the_eyes() -> None:
    sound = np.zeros(NATIVE.edge(60), np.float32)
    sound[: NATIVE.edge(30)] = voice_at_16_khz(1.0)[: NATIVE.edge(30)] + 0.01
    result = polish(np.full((60, COUNT), 0.5, np.float32), sound, 16_000, 30)
    mouth = [INDEX[name] for name in NAMES if name.startswith(("jaw", "mouth"))]
    np.testing.assert_allclose(result[:27, mouth], 0.5, atol=1e-6)
    assert result[34:, mouth].max() < 1e-6  # 133 ms after the last sounding frame
    np.testing.assert_allclose(result[:, INDEX["eyeBlinkLeft"]], 0.5, atol=1e-6)


def test_polish_is_symmetric_except_for_gaze_and_smooths_jitter_away() -> None:
    weights = np.random.default_rng(0).uniform(0.2, 0.8, (50, COUNT)).astype(np.float32)
    result = polish(weights, np.ones(NATIVE.edge(50), np.float32), 16_000, 30)
    left, right = INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]
    np.testing.assert_array_equal(result[:, left], result[:, right])
    gaze = result[:, INDEX["eyeLookInLeft"]] - result[:, INDEX["eyeLookInRight"]]
    assert np.abs(gaze).max() > 0.1
    assert np.diff(result[:, JAW]).std() < np.diff(weights[:, JAW]).std()
    line = np.linspace(0, 1, 50, dtype=np.float32)[:, None].repeat(COUNT, 1)
    straight = polish(line, np.ones(NATIVE.edge(50), np.float32), 16_000, 30)
    np.testing.assert_allclose(straight[2:-2], line[2:-2], atol=1e-6)  # speech is not flattened


def voice_at_16_khz(seconds: float) -> Sound:
    return to_float(voice(seconds, 16_000))


# -- in the server's hands ---------------------------------------------------------------------------------
def test_the_variable_of_the_original_server_is_enough(file: Path, tmp_path: Path) -> None:
    settings = load_settings({}, None, {"ONNX_MODEL_PATH": str(file)}, tmp_path)
    assert settings.face.engine == "wav2arkit" and settings.face.model_path == file
    faces = Faces.load(settings)
    assert faces.status()["engine"] == "wav2arkit"
    face = faces.open(Media(), 0, timed=False)
    result = np.concatenate(play(face, Media(), voice(2.0, 24_000), [3] * 20))
    assert len(result) == 60 and np.ptp(result[:, JAW]) > 0.2


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({"MODEL_PATH": "a/lam_audio2exp_streaming.tar"}, "lam"),
        ({"MODEL_PATH": "a.onnx"}, "wav2arkit"),
        ({"MODEL_PATH": "a.tar", "ONNX_MODEL_PATH": "b.onnx"}, "wav2arkit"),
        ({"ONNX_MODEL_PATH": "b.onnx", "VISAVIS_FACE": "energy"}, "energy"),
        ({"ONNX_MODEL_PATH": ""}, "net"),
        ({}, "net"),
    ],
)
def test_which_engine_a_model_path_chooses(environ: dict[str, str], chosen: str, tmp_path: Path) -> None:
    assert load_settings({}, None, environ, tmp_path).face.engine == chosen


# -- broken ones -------------------------------------------------------------------------------------------
def refusal(file: Path | None) -> str:
    with pytest.raises(ConfigurationError) as error:
        load("faces", "wav2arkit", Settings(face=FaceSettings(engine="wav2arkit", model_path=file)))
    return str(error.value)


def with_extra_input() -> onnx.ModelProto:
    made = model()
    made.graph.input.append(helper.make_tensor_value_info("identity", TensorProto.INT64, ["batch"]))
    return made


def with_other_names() -> onnx.ModelProto:
    made = model()
    made.graph.node[0].input[0] = made.graph.input[0].name = "wave"
    return made


def with_two_outputs() -> onnx.ModelProto:
    made = model()
    made.graph.output.append(helper.make_tensor_value_info("loud", TensorProto.FLOAT, ["batch", "frames"]))
    return made


def with_failing_sizes() -> onnx.ModelProto:
    """Fits by its declaration, but cannot take every number of samples."""
    made = model()
    made.graph.node.insert(0, helper.make_node("Reshape", ["audio_waveform", "pairs"], ["reshaped"]))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 8000], np.int64), "pairs"))
    made.graph.node[1].input[0] = "reshaped"
    return made


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: model(shapes=51), "its outputs are blendshapes float [1, 'frames', 51]"),
        (with_extra_input, "its inputs are audio_waveform float ['batch', 'samples'], identity int64"),
        (lambda: model(kind=TensorProto.INT16), "its inputs are audio_waveform int16"),
        (lambda: model(samples=8000), "its inputs are audio_waveform float ['batch', 8000]"),
        (with_other_names, "its inputs are wave float"),
        (with_two_outputs, "its outputs are blendshapes float [1, 'frames', 52], loud float"),
        (lambda: model(round_up=0), "shape [1, 63, 52] instead of [1, 64, 52] (30 frames a second)"),
        (lambda: model(scale=float("nan")), "its weights are between nan and nan instead of 0 and 1"),
        (lambda: model(scale=30.0), "instead of 0 and 1"),
        (with_failing_sizes, "it fails on 34133 samples"),
    ],
)
def test_a_graph_with_another_interface(
    make: Callable[[], onnx.ModelProto], found: str, tmp_path: Path
) -> None:
    file = save(make(), tmp_path)
    message = refusal(file)
    assert found in message and str(file) in message
    assert "audio_waveform float32 [batch, samples]" in message and "float32 [batch, frames, 52]" in message


def test_missing_weights_beside_the_graph(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / NAME
    copy.write_bytes(file.read_bytes())
    message = refusal(copy)
    assert f"its weights are in {NAME}.data, which is not beside it" in message
    assert f"Put {NAME}.data into {tmp_path}." in message


def test_weights_that_are_cut_short(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / NAME
    copy.write_bytes(file.read_bytes())
    (tmp_path / f"{NAME}.data").write_bytes((file.parent / f"{NAME}.data").read_bytes()[:100])
    assert f"{NAME}.data beside it has 100 bytes, but gains ends at byte 208" in refusal(copy)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "onnxruntime cannot load it"),
        (b"<!DOCTYPE html><title>404</title>", "the first of which are b'<!DOCTYP', not a whole ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
    ],
)
def test_files_that_are_no_graph(content: bytes, found: str, tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_bytes(content)
    message = refusal(file)
    assert found in message and "download it again" in message


def test_a_graph_that_is_cut_short(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    (tmp_path / f"{NAME}.data").write_bytes((file.parent / f"{NAME}.data").read_bytes())
    for part in (0.3, 0.6, 0.99):
        (tmp_path / NAME).write_bytes(whole[: int(len(whole) * part)])
        assert str(tmp_path / NAME) in refusal(tmp_path / NAME)


def test_no_file_at_all(tmp_path: Path) -> None:
    assert "there is nothing. Set face.model_path (ONNX_MODEL_PATH)" in refusal(tmp_path / "none.onnx")
    assert "there is a folder" in refusal(tmp_path)
    assert "set face.model_path (ONNX_MODEL_PATH) to your wav2arkit_cpu.onnx" in refusal(None)
