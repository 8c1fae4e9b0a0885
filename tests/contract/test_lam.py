"""The LAM engine without PyTorch: what is expected of a checkpoint, and what people are told.

With PyTorch: `make test-lam` runs test_lam_torch.py.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.errors import ConfigurationError
from visavis.faces.lam import layout, select, unpacked
from visavis.plugins import load
from visavis.settings import FaceSettings, Settings

FILE = Path("lam_audio2exp_streaming.tar")
UNUSED = {
    "audio_encoder.masked_spec_embed": (768,),
    "audio_encoder.lm_head.weight": (32, 1024),
    "identity_encoder.grus.weight_ih_l0": (1536, 512),
}
"""Weights of the published checkpoint that nothing uses."""


def checkpoint(prefix: str) -> dict[str, NDArray[np.float32]]:
    """Weights of exactly the published layout; all of one byte's memory."""
    shapes = layout() | UNUSED
    return {prefix + name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def test_the_layout_is_the_published_network() -> None:
    shapes = layout()
    # 102,113,044 parameters, less those that are never used.
    unused = 768 + 32 * 1024 + 32 + 2 * 1536 * 512 + 2 * 1536
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 102_113_044 - unused
    assert shapes["identity_encoder.id_mlp.weight"] == (64, 12, 1)
    assert shapes["output_proj.weight"] == (52, 512)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
def test_a_checkpoint_is_found_by_its_bare_names(prefix: str) -> None:
    selected = select(checkpoint(prefix), FILE)
    assert {name: weight.shape for name, weight in selected.items()} == layout()


def test_newer_names_of_normalised_weights_are_the_same_weights() -> None:
    weights = checkpoint("backbone.")
    conv = "backbone.audio_encoder.encoder.pos_conv_embed.conv"
    weights[f"{conv}.parametrizations.weight.original0"] = weights.pop(f"{conv}.weight_g")
    weights[f"{conv}.parametrizations.weight.original1"] = weights.pop(f"{conv}.weight_v")
    assert set(select(weights, FILE)) == set(layout())


def test_the_first_weights_that_do_not_fit_are_named() -> None:
    weights = checkpoint("module.backbone.")
    weights["module.backbone.output_proj.weight"] = np.zeros((51, 512), np.float32)
    for layer in range(3):
        del weights[f"module.backbone.decoder.0.{layer}.conv.bias"]
    with pytest.raises(ConfigurationError) as error:
        select(weights, FILE)
    message = str(error.value)
    assert f"The LAM checkpoint {FILE}: 4 of {len(layout())} weights do not fit: " in message
    assert "decoder.0.0.conv.bias is missing, expected [512]" in message
    assert message.count("expected [") == 3 and "; and 1 more" in message
    with pytest.raises(
        ConfigurationError, match=r"output_proj\.weight has shape \[51, 512\], expected \[52,"
    ):
        select(checkpoint("") | {"output_proj.weight": np.zeros((51, 512), np.float32)}, FILE)


# -- files ---------------------------------------------------------------------------------------------------
def archive(file: Path, mode: str, name: str, content: bytes) -> Path:
    with tarfile.open(file, mode) as packed:  # type: ignore[call-overload]
        member = tarfile.TarInfo(name)
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return file


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_the_archive_as_downloaded_is_opened(mode: str, tmp_path: Path) -> None:
    file = archive(tmp_path / FILE, mode, f"pretrained_models/{FILE}", b"the checkpoint")
    found = unpacked(file)
    assert isinstance(found, io.BytesIO) and found.read() == b"the checkpoint"


def test_a_checkpoint_itself_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_bytes(b"PK\x03\x04 and so on")
    assert unpacked(file) == file


def test_archives_without_a_checkpoint(tmp_path: Path) -> None:
    other = archive(tmp_path / FILE, "w", "readme.txt", b"hello")
    with pytest.raises(ConfigurationError, match="the archive holds no checkpoint"):
        unpacked(other)
    whole = archive(tmp_path / FILE, "w:gz", "a/b.tar", np.random.default_rng(0).bytes(100_000))
    whole.write_bytes(whole.read_bytes()[:50_000])
    with pytest.raises(ConfigurationError, match="the archive is damaged"):
        unpacked(whole)
    with pytest.raises(ConfigurationError, match=r"there is no such file\. Set face\.model_path"):
        unpacked(tmp_path / "none.tar")


# -- the engine ------------------------------------------------------------------------------------------
def test_without_a_path_it_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"set face\.model_path \(MODEL_PATH\)"):
        load("faces", "lam", Settings())


def test_without_pytorch_it_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match=r"pip install 'visavis\[lam\]'"):
        load("faces", "lam", Settings(face=FaceSettings(model_path=tmp_path / FILE)))
