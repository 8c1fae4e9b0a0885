"""The `lam` engine: the published streaming checkpoint of LAM Audio2Expression, run by PyTorch."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from visavis.arkit import COUNT, Weights
from visavis.errors import ConfigurationError, ExtraMissing
from visavis.faces.context import NATIVE, ContextEngine
from visavis.faces.framing import Samples
from visavis.settings import Settings

Shape = tuple[int, ...]

IDENTITIES = 12
PREFIXES = ("module.", "backbone.")
"""What training on several cards and its wrapper put before every name."""
NEEDS = "The face engine lam needs PyTorch"
SHOWN = 3
"""Names of wrong weights that an error lists."""
KERNELS = (10, 3, 3, 3, 3, 2, 2)
"""Of the convolutions that turn 16 kHz into 50 features a second."""


def layout() -> dict[str, Shape]:
    """Names and shapes of the weights that the network uses.

    The checkpoint holds a few more, which the published network does not use either: `masked_spec_embed` and
    `lm_head` of the audio encoder, `grus` of the identity encoder.
    """
    return dict(_audio_encoder()) | dict(_decoder())


def _audio_encoder() -> Iterator[tuple[str, Shape]]:
    """wav2vec 2.0 base, with the names of the `transformers` package."""
    features = "audio_encoder.feature_extractor.conv_layers"
    for index, kernel in enumerate(KERNELS):
        yield f"{features}.{index}.conv.weight", (512, 512 if index else 1, kernel)
    yield from _affine(f"{features}.0.layer_norm", 512)
    yield from _affine("audio_encoder.feature_projection.layer_norm", 512)
    yield from _affine("audio_encoder.feature_projection.projection", 768, 512)
    encoder = "audio_encoder.encoder"
    yield f"{encoder}.pos_conv_embed.conv.weight_g", (1, 1, 128)
    yield f"{encoder}.pos_conv_embed.conv.weight_v", (768, 48, 128)
    yield f"{encoder}.pos_conv_embed.conv.bias", (768,)
    yield from _affine(f"{encoder}.layer_norm", 768)
    for index in range(12):
        layer = f"{encoder}.layers.{index}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _affine(f"{layer}.attention.{part}", 768, 768)
        yield from _affine(f"{layer}.layer_norm", 768)
        yield from _affine(f"{layer}.feed_forward.intermediate_dense", 3072, 768)
        yield from _affine(f"{layer}.feed_forward.output_dense", 768, 3072)
        yield from _affine(f"{layer}.final_layer_norm", 768)


def _decoder() -> Iterator[tuple[str, Shape]]:
    yield from _affine("feature_projection", 512, 768)
    yield from _affine("identity_encoder.id_mlp", 64, IDENTITIES, 1)
    first = "identity_encoder.first_net.conv_layers"
    for index, channels in enumerate((512 + 64, 512, 512)):
        yield from _affine(f"{first}.{index}.conv", 512, channels, 3)
        yield from _affine(f"{first}.{index}.norm", 512)
    yield from _affine(f"{first}.0.residual_layer.0", 512, 512 + 64, 3)
    for index in range(3):
        yield from _affine(f"decoder.0.{index}.conv", 512, 512, 3)
        yield from _affine(f"decoder.0.{index}.norm", 512)
    yield from _affine("output_proj", COUNT, 512)


def _affine(name: str, outputs: int, *inputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (outputs, *inputs)
    yield f"{name}.bias", (outputs,)


def select(state: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The weights of `layout` out of a checkpoint's, by their bare names.

    Raises `ConfigurationError` with the first names that are missing or have another shape.
    """
    bare = {_bare(name): weight for name, weight in state.items()}
    problems = []
    for name, shape in layout().items():
        found = tuple(bare[name].shape) if name in bare else None
        if found != shape:
            has = "is missing" if found is None else f"has shape {list(found)}"
            problems.append(f"{name} {has}, expected {list(shape)}")
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise _wrong(
            file,
            f"{len(problems)} of {len(layout())} weights do not fit: {'; '.join(problems[:SHOWN])}{more}",
        )
    return {name: bare[name] for name in layout()}


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    # Newer versions of PyTorch keep normalised weights under other names.
    return name.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


def unpacked(file: Path) -> Path | io.BytesIO:
    """The checkpoint in `file`, which is one itself or a tar archive (compressed or not) that holds one.

    Raises `ConfigurationError` when there is no such file, or no checkpoint in the archive.
    """
    _there(file)
    if not tarfile.is_tarfile(file):
        return file
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None and member.name.endswith((".tar", ".pth", ".pt")):
                    return io.BytesIO(content.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise _wrong(file, f"the archive is damaged ({error})") from error
    raise _wrong(file, "the archive holds no checkpoint (.tar, .pth or .pt)")


class Lam:
    """The network with the weights in `file`, warmed up; may be called from several threads.

    Raises `ConfigurationError` when PyTorch is not installed, or the file holds no such weights.
    """

    def __init__(self, file: Path, identity: int, gpu: bool) -> None:
        try:
            import torch  # only this engine needs it

            from visavis.faces import lam_net
        except ModuleNotFoundError as missing:
            raise ExtraMissing(NEEDS, "lam") from missing
        self._torch, self._net, self._identity = torch, lam_net, identity
        self._device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
        if self._device == "cpu":
            torch.set_num_threads(1)  # many conversations share the machine: one must not take it all
        weights = select(self._read(file), file)
        self._weights = lam_net.prepared(weights, self._device)
        if not np.isfinite(self(np.zeros(NATIVE.edge(64), np.float32))).all():
            raise _wrong(file, "its weights are not finite numbers")

    def __call__(self, samples: Samples) -> Weights:
        """float32[n] at 16 kHz in -1..1 -> float32[ceil(30 n / 16000), 52] in 0..1."""
        with self._torch.inference_mode():
            sound = self._torch.from_numpy(samples)[None].to(self._device)
            frames = NATIVE.covering(len(samples))
            result = self._net.expressions(self._weights, sound, frames, self._identity)
            weights: Weights = result[0].cpu().numpy()
        return weights

    def _read(self, file: Path) -> dict[str, Any]:
        """Tensors by name; nothing but tensors and plain values is ever unpickled, so no code can run."""
        source, safe = unpacked(file), self._torch.serialization.safe_globals(_numbers())
        try:
            with safe:
                checkpoint = self._torch.load(source, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever unpickling a broken file may raise
            reason = str(error).partition("\n")[0]
            raise _wrong(file, f"PyTorch cannot read it as plain weights ({reason})") from error
        state = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, dict) else {}
        return {name: weight for name, weight in state.items() if isinstance(weight, self._torch.Tensor)}


def _numbers() -> list[Any]:
    """NumPy's scalars, the one thing besides tensors and plain values that training writes down (its best
    score); under both names, that of NumPy 1 and 2."""
    scalar = np.float64(0).__reduce__()[0]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*names, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))]


def _wrong(file: Path, found: str, advice: str = "") -> ConfigurationError:
    advice = advice or "Expected is lam_audio2exp_streaming.tar as it was published; download it again."
    return ConfigurationError(f"The LAM checkpoint {file}: {found}. {advice}")


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when PyTorch is not installed or the file is not there."""
    file = _file(settings)
    if find_spec("torch") is None:
        raise ExtraMissing(NEEDS, "lam")
    _there(file)


def load(settings: Settings) -> ContextEngine:
    face = settings.face
    return ContextEngine("lam", Lam(_file(settings), face.identity, face.gpu), face)


def _file(settings: Settings) -> Path:
    if settings.face.model_path is None:
        raise ConfigurationError(
            "The face engine lam needs a checkpoint: set face.model_path (MODEL_PATH) to your "
            "lam_audio2exp_streaming.tar."
        )
    return settings.models.own(settings.face.model_path).absolute()


def _there(file: Path) -> None:
    if not file.is_file():
        raise _wrong(file, "there is no such file", "Set face.model_path (MODEL_PATH) to the file.")
