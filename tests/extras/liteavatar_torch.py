"""LiteAvatar with PyTorch: networks of the published shapes, made on the spot. `make test-liteavatar`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from tests.contract import liteavatar_files as files
from tests.contract.test_faces import voice
from torch import nn

from visavis.audio import Media
from visavis.errors import ConfigurationError
from visavis.faces.liteavatar import LiteAvatar
from visavis.faces.liteavatar_torch import Encoder, TorchPainter, encoded, layers, layout
from visavis.faces.speech_face import Faces
from visavis.plugins import load
from visavis.settings import FaceSettings, LiteAvatarSettings, Settings, VideoSettings

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning"
)


class Encode(nn.Module):  # type: ignore[misc]
    """float32[1, 3, 384, 384] -> float32[1, 3, 24, 24]."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(picture, 16)


class Decode(nn.Module):  # type: ignore[misc]
    """That and float32[1, 32] -> float32[1, 3, 96, 96], as red as the first parameter says."""

    def forward(self, seen: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        face = torch.nn.functional.interpolate(seen, scale_factor=4.0)
        red = torch.ones_like(face[:, :1]) * parameters[:, :1, None, None]
        return torch.cat([red, face[:, 1:]], 1)


class Wrong(nn.Module):  # type: ignore[misc]
    def forward(self, seen: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        return seen.mean(dim=1) + parameters.mean()


def checkpoint() -> dict[str, torch.Tensor]:
    """Every weight of the encoder, and one of the rest; each repeats one number, so the file is small."""
    random = torch.Generator().manual_seed(0)
    state = {"predictor.cif_output.bias": torch.zeros(1)}
    for name, shape in layout().items():
        scale = 1.0 if "norm" in name and "weight" in name else 0.01
        state[name] = (torch.randn(1, generator=random) * 0.01 + scale).expand(shape)
    return state


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    avatar, weights = files.avatar(folder / "anna"), files.weights(folder / "lite_avatar_weights")
    torch.jit.script(Encode()).save(str(avatar / "net_encode.pt"))
    torch.jit.script(Decode()).save(str(avatar / "net_decode.pt"))
    torch.save(checkpoint(), weights / files.PARAFORMER / "model.pb")
    return Settings(
        face=FaceSettings(engine="liteavatar"),
        liteavatar=LiteAvatarSettings(data=avatar, weights=weights, gpu=False),
        video=VideoSettings(width=files.WIDTH, height=files.HEIGHT),
    )


def test_a_folder_as_published_draws_speech(settings: Settings) -> None:
    faces, media = Faces.load(settings), Media(16_000, 25)
    assert faces.status()["engine"] == "liteavatar" and not faces.reads and faces.idle is not None
    face = faces.open(media, 0, timed=False)
    count, drawings = 0, list[Any]()
    pcm = voice(2.2, 16_000)
    for begin in range(0, len(pcm), 12_800):
        count += len(face.feed(pcm[begin : begin + 12_800], None, begin + 12_800 >= len(pcm)))
        drawings += face.drawings()
    assert count == len(drawings) == 55
    picture, idle = drawings[20](0.04), faces.idle(0.04)
    assert picture.shape == (files.HEIGHT, files.WIDTH, 3) and picture.dtype == np.uint8
    first = drawings[20].args[0][0]
    assert abs(int(picture[55, 80, 0]) - (np.clip(first, -1, 1) / 2 + 0.5) * 255) <= 4, (
        "red as the network says"
    )
    assert abs(int(picture[55, 80, 1]) - files.shade(1)) <= 4, "the face that was seen"
    np.testing.assert_array_equal(picture[:20], idle[:20])


def test_the_encoder_is_the_published_network() -> None:
    """Of 158 million parameters; its layers against modules of PyTorch."""
    names, random = layers()[:3], torch.Generator().manual_seed(1)
    assert sum(int(np.prod(shape)) for shape in layout().values()) == 157_974_624
    net = {
        name: torch.randn(shape, generator=random) * 0.05
        for name, shape in layout().items()
        if name.rpartition(".self_attn")[0] in names or name.startswith(tuple(f"{n}." for n in names))
    }
    x = torch.randn((1, 17, 560), generator=random)
    with torch.inference_mode():
        found = encoded(net, x, names)
        time = torch.arange(1, 18)[:, None] * 10_000 ** (-torch.arange(280) / 279)
        y = x * 512**0.5 + torch.cat([torch.sin(time), torch.cos(time)], 1)
        for number, name in enumerate(names):
            y = layer(net, name, y)
            torch.testing.assert_close(found[number], y, rtol=1e-3, atol=1e-3)


def layer(net: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    """As FunASR describes it, written with masks and sums instead."""
    weight = {key.removeprefix(f"{name}."): value for key, value in net.items() if key.startswith(f"{name}.")}

    def norm(which: str, value: torch.Tensor) -> torch.Tensor:
        mean, spread = value.mean(-1, keepdim=True), value.var(-1, keepdim=True, unbiased=False)
        return (value - mean) / (spread + 1e-12).sqrt() * weight[f"{which}.weight"] + weight[f"{which}.bias"]

    def affine(which: str, value: torch.Tensor) -> torch.Tensor:
        return value @ weight[f"{which}.weight"].T + weight[f"{which}.bias"]

    q, k, v = affine("self_attn.linear_q_k_v", norm("norm1", x)).split(512, -1)
    memory = v.clone()
    for reach in range(-5, 6):
        shifted = torch.zeros_like(v)
        for at in range(v.shape[1]):
            if 0 <= at + reach < v.shape[1]:
                shifted[:, at] = v[:, at + reach]
        memory += shifted * weight["self_attn.fsmn_block.weight"][:, 0, reach + 5]
    heads = []
    for head in range(4):
        part = slice(128 * head, 128 * head + 128)
        share = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / 128**0.5, -1)
        heads.append(share @ v[..., part])
    heard = affine("self_attn.linear_out", torch.cat(heads, -1)) + memory
    x = heard if x.shape[-1] != 512 else x + heard
    return x + affine("feed_forward.w_2", torch.relu(affine("feed_forward.w_1", norm("norm2", x))))


class Danger:
    """What a stranger's checkpoint may hold: a call that unpickling makes."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("it-ran",)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1), "more": Danger()}, tmp_path / "model.pb")
    with pytest.raises(ConfigurationError, match=r"model\.pb: PyTorch cannot read it as plain weights"):
        Encoder(tmp_path / "model.pb", gpu=False, threads=1)
    assert not (tmp_path / "it-ran").exists()


def test_weights_of_another_network(tmp_path: Path) -> None:
    state = checkpoint()
    del state["encoder.encoders.48.norm2.bias"]
    state["encoder.encoders0.0.norm1.weight"] = torch.zeros(80)
    torch.save(state, tmp_path / "model.pb")
    with pytest.raises(ConfigurationError) as error:
        Encoder(tmp_path / "model.pb", gpu=False, threads=1)
    assert "encoder.encoders0.0.norm1.weight has shape [80], expected [560]" in str(error.value)
    assert "encoder.encoders.48.norm2.bias is missing, expected [512]" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net_encode.pt", None, r"net_encode\.pt: there is no such file"),
        ("net_decode.pt", b"nothing", r"net_decode\.pt: PyTorch cannot read it as TorchScript"),
        (
            "net_decode.pt",
            Wrong(),
            r"net_decode\.pt: it gives \[1, 24, 24\], expected \[1, 3, height, width\]",
        ),
        ("net_encode.pt", Decode(), r"net_encode\.pt: it fails on float32 \[1, 3, 384, 384\]"),
        (
            "net_decode.pt",
            Encode(),
            r"net_decode\.pt: it fails on what net_encode\.pt gives and float32 \[1, 32\]",
        ),
    ],
)
def test_networks_that_are_something_else(
    settings: Settings, tmp_path: Path, name: str, content: Any, said: str
) -> None:
    assert settings.liteavatar.data is not None
    avatar = Path(shutil.copytree(settings.liteavatar.data, tmp_path / "anna"))
    if content is None:
        (avatar / name).unlink()
    elif isinstance(content, bytes):
        (avatar / name).write_bytes(content)
    else:
        torch.jit.script(content).save(str(avatar / name))
    with pytest.raises(ConfigurationError, match=said):
        paint(avatar)


def paint(avatar: Path) -> None:
    painter = TorchPainter(avatar, gpu=False)
    painter.paint(painter.see(np.zeros((384, 384, 3), np.uint8)), files.REST)


def test_the_plug_in_is_found_by_its_name(settings: Settings) -> None:
    assert isinstance(load("faces", "liteavatar", settings), LiteAvatar)
