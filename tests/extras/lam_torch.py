"""The LAM engine with PyTorch, on random weights of the published layout. Run with `make test-lam`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from tests.contract.test_faces import play, voice

from visavis.arkit import COUNT, INDEX
from visavis.audio import Media
from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.faces.lam import Lam, layout
from visavis.faces.speech_face import Faces
from visavis.plugins import load
from visavis.settings import FaceSettings, Settings

SHOWN = ["browDownLeft", "jawOpen", "mouthClose", "mouthPucker", "tongueOut"]


def weights() -> dict[str, torch.Tensor]:
    """Random weights of a size that keeps signals of the same size; the same ones every time."""
    random = np.random.default_rng(7)
    made = {}
    for name, shape in layout().items():
        value = random.standard_normal(shape, np.float32)
        value *= 1.4 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.1
        made[name] = torch.from_numpy(value + np.float32(name.endswith("norm.weight")))
    return made


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Checkpoints are large: this folder is gone when the tests are."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """A checkpoint as training writes it: prefixes, unused weights, a score as a NumPy number."""
    state = {f"module.backbone.{name}": weight for name, weight in weights().items()}
    state["module.backbone.audio_encoder.masked_spec_embed"] = torch.zeros(768)
    path = folder / "lam_audio2exp_streaming.tar"
    best = np.float64(-0.25)
    torch.save({"epoch": 100, "state_dict": state, "optimizer": {}, "best_metric_value": best}, path)
    return path


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (
            0,
            [
                [0.57313, 0.44101, 0.21086, 0.30484, 0.28960],
                [0.61900, 0.57755, 0.54236, 0.35651, 0.19229],
                [0.61902, 0.57755, 0.54238, 0.35649, 0.19231],
                [0.31811, 0.56218, 0.52680, 0.23930, 0.26472],
            ],
        ),
        (
            10,
            [
                [0.56812, 0.46770, 0.22473, 0.32528, 0.29741],
                [0.59621, 0.58591, 0.55030, 0.35820, 0.19021],
                [0.59623, 0.58592, 0.55032, 0.35819, 0.19023],
                [0.31420, 0.59006, 0.50983, 0.23130, 0.25393],
            ],
        ),
    ],
)
def test_the_same_numbers_as_the_published_network(
    file: Path, identity: int, expected: list[list[float]]
) -> None:
    # The published code (aigc3d/LAM_Audio2Expression with transformers 4.57), run once with these weights.
    sound = (0.1 * np.sin(np.arange(16_000) ** 1.3 / 50)).astype(np.float32)
    result = Lam(file, identity, gpu=False)(sound)
    assert result.shape == (30, COUNT)
    shown = result[[0, 7, 15, 29]][:, [INDEX[name] for name in SHOWN]]
    np.testing.assert_allclose(shown, expected, atol=2e-4)


@pytest.mark.parametrize("mode", ["context", "reference"])
@pytest.mark.parametrize("media", [Media(), Media(16_000, 25)], ids=str)
def test_it_streams_like_every_face(file: Path, mode: str, media: Media) -> None:
    face = FaceSettings.model_validate({"model_path": file, "mode": mode, "gpu": False})
    engine = load("faces", "lam", Settings(face=face))
    pcm = voice(2.5, media.rate)
    pieces = np.concatenate(play(engine.open(media, 0), media, pcm, [4] * 30))
    whole = np.concatenate(play(engine.open(media, 0), media, pcm, []))
    assert pieces.shape == (media.covering(len(pcm) // 2), COUNT)
    assert pieces.min() >= 0 and pieces.max() <= 1
    np.testing.assert_allclose(pieces, whole, atol=1e-4)


def test_the_variables_of_the_original_server_are_enough(file: Path, tmp_path: Path) -> None:
    environ = {"MODEL_PATH": str(file), "IDENTITY_IDX": "3", "USE_GPU": "false"}
    settings = load_settings({}, None, environ, tmp_path)
    faces = Faces.load(settings)
    assert faces.status()["engine"] == "lam" and settings.face.identity == 3
    media = Media()
    frames = np.concatenate(play(faces.open(media, 0, timed=False), media, voice(1.0, 24_000), [6] * 5))
    assert len(frames) == 30


class Danger:
    """What a stranger's checkpoint may hold: a call that unpickling makes."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("it-ran",)


def test_a_checkpoint_cannot_run_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    file = folder / "danger.tar"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": Danger()}, file)
    with pytest.raises(ConfigurationError, match="PyTorch cannot read it as plain weights"):
        Lam(file, 0, gpu=False)
    assert not (folder / "it-ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_files_that_are_no_checkpoint(folder: Path, content: bytes) -> None:
    file = folder / "none.tar"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"none\.tar: PyTorch cannot read it"):
        Lam(file, 0, gpu=False)


def test_weights_of_another_network(folder: Path) -> None:
    file = folder / "other.tar"
    torch.save({"state_dict": {"output_proj.weight": torch.zeros(52, 256)}}, file)
    with pytest.raises(ConfigurationError, match=f"{len(layout())} of {len(layout())} weights do not fit"):
        Lam(file, 0, gpu=False)


def test_weights_that_are_not_numbers(folder: Path) -> None:
    file = folder / "nan.tar"
    torch.save({name: torch.full(shape, torch.nan) for name, shape in layout().items()}, file)
    with pytest.raises(ConfigurationError, match="its weights are not finite numbers"):
        Lam(file, 0, gpu=False)
