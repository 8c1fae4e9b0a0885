"""The networks of LiteAvatar that need PyTorch: the recogniser's encoder, and two that see and paint a face.

The encoder is that of Paraformer-large: 50 layers of self-attention with memory (SAN-M, Gao et al. 2020),
with the names of FunASR's checkpoint, which is read as plain tensors. The two networks of an avatar are
TorchScript, programs over tensors that PyTorch interprets: they are no pickles and cannot run Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as nnf

from visavis.faces.liteavatar_sound import CHANNELS, INPUT, LAYERS, PARAMETERS, Floats, wrong
from visavis.video import Picture

Tensor: TypeAlias = torch.Tensor
Network: TypeAlias = Mapping[str, Tensor]

HEADS, INSIDE, MEMORY = 4, 2048, 11
SHOWN = 3
"""Names of wrong weights that an error lists."""


def layers() -> list[str]:
    return ["encoder.encoders0.0", *(f"encoder.encoders.{number}" for number in range(LAYERS - 1))]


def layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that are used; the checkpoint holds the rest of the recogniser too."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers():
        inputs = CHANNELS if shapes else INPUT
        shapes |= _affine(f"{layer}.norm1", inputs) | _affine(f"{layer}.norm2", CHANNELS)
        shapes |= _affine(f"{layer}.self_attn.linear_q_k_v", 3 * CHANNELS, inputs)
        shapes |= _affine(f"{layer}.self_attn.linear_out", CHANNELS, CHANNELS)
        shapes[f"{layer}.self_attn.fsmn_block.weight"] = (CHANNELS, 1, MEMORY)
        shapes |= _affine(f"{layer}.feed_forward.w_1", INSIDE, CHANNELS)
        shapes |= _affine(f"{layer}.feed_forward.w_2", CHANNELS, INSIDE)
    return shapes


def _affine(name: str, outputs: int, *inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


class Encoder:
    """The encoder with the weights in `file`; a `Hear`. May be called from several threads.

    Raises `ConfigurationError` when the file holds no such weights.
    """

    def __init__(self, file: Path, gpu: bool, threads: int) -> None:
        torch.set_num_threads(threads)  # many conversations share the machine
        self._device = _device(gpu)
        state = self._read(file)
        problems = list(_problems(state))
        if problems:
            more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            raise wrong(file, f"its weights do not fit: {'; '.join(problems[:SHOWN])}{more}")
        self._net = {name: state[name].to(self._device, torch.float32) for name in layout()}

    def __call__(self, features: Floats) -> Floats:
        """float32[n, 560] -> float32[n, 50, 512]: what each layer makes of it."""
        with torch.inference_mode():
            heard = encoded(self._net, torch.from_numpy(features)[None].to(self._device), layers())
            result: Floats = torch.stack(heard, 2)[0].cpu().numpy()
        return result

    def _read(self, file: Path) -> dict[str, Any]:
        """Tensors by name; nothing but tensors and plain values is ever unpickled, so no code can run."""
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever unpickling a broken file may raise
            reason = str(error).partition("\n")[0]
            raise wrong(file, f"PyTorch cannot read it as plain weights ({reason})") from error
        return state if isinstance(state, dict) else {}


def _problems(state: Mapping[str, Any]) -> Iterator[str]:
    for name, shape in layout().items():
        found = tuple(state[name].shape) if isinstance(state.get(name), torch.Tensor) else None
        if found != shape:
            has = "is missing" if found is None else f"has shape {list(found)}"
            yield f"{name} {has}, expected {list(shape)}"


def encoded(net: Network, x: Tensor, names: list[str]) -> list[Tensor]:
    """[1, n, 560] -> the outputs of the layers, [1, n, 512] each."""
    x = x * CHANNELS**0.5 + _positions(x)
    outputs = []
    for name in names:
        heard = _attention(net, f"{name}.self_attn", _norm(net, f"{name}.norm1", x))
        x = heard if x.shape != heard.shape else x + heard
        y = nnf.relu(_linear(net, f"{name}.feed_forward.w_1", _norm(net, f"{name}.norm2", x)))
        x = x + _linear(net, f"{name}.feed_forward.w_2", y)
        outputs.append(x)
    return outputs


def _positions(x: Tensor) -> Tensor:
    """Sines and cosines of the time, counted from 1: [n, channels]."""
    half = x.shape[2] // 2
    speed = torch.exp(torch.arange(half, device=x.device) * (-np.log(10_000) / (half - 1)))
    angle = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None] * speed
    return torch.cat([angle.sin(), angle.cos()], 1).to(x.dtype)


def _attention(net: Network, name: str, x: Tensor) -> Tensor:
    """Attention, and a memory of the values' neighbours beside it."""
    q, k, v = _linear(net, f"{name}.linear_q_k_v", x).chunk(3, 2)
    kernel = net[f"{name}.fsmn_block.weight"]
    memory = nnf.conv1d(v.transpose(1, 2), kernel, padding=MEMORY // 2, groups=CHANNELS).transpose(1, 2) + v
    heads = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
    heard = nnf.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    return _linear(net, f"{name}.linear_out", heard) + memory


def _linear(net: Network, name: str, x: Tensor) -> Tensor:
    return nnf.linear(x, net[f"{name}.weight"], net[f"{name}.bias"])


def _norm(net: Network, name: str, x: Tensor) -> Tensor:
    scale, shift = net[f"{name}.weight"], net[f"{name}.bias"]
    return nnf.layer_norm(x, scale.shape, scale, shift, eps=1e-12)


class TorchPainter:
    """The two networks of the avatar in `folder`; see `visavis.faces.liteavatar.Painter`.

    Raises `ConfigurationError`.
    """

    def __init__(self, folder: Path, gpu: bool) -> None:
        self._device = _device(gpu)
        self._encode, self._decode = (
            self._open(folder / name) for name in ("net_encode.pt", "net_decode.pt")
        )
        self._folder = folder

    def see(self, picture: Picture) -> Any:
        values = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            return self._run(self._encode, "net_encode.pt", (values / 127.5 - 1).to(self._device))

    def paint(self, seen: Any, parameters: Floats) -> Floats:
        with torch.inference_mode():
            values = torch.from_numpy(parameters)[None].to(self._device)
            face = self._run(self._decode, "net_decode.pt", seen, values)
            if not isinstance(face, torch.Tensor) or face.ndim != 4 or face.shape[:2] != (1, 3):
                shape = list(face.shape) if isinstance(face, torch.Tensor) else type(face).__name__
                raise wrong(
                    self._folder / "net_decode.pt", f"it gives {shape}, expected [1, 3, height, width]"
                )
            result: Floats = face[0].permute(1, 2, 0).float().cpu().numpy()
        return result

    def _run(self, network: Any, name: str, *inputs: Any) -> Any:
        try:
            return network(*inputs)
        except RuntimeError as error:
            expected = (
                f"what net_encode.pt gives and float32 [1, {PARAMETERS}]"
                if name == "net_decode.pt"
                else "float32 [1, 3, 384, 384]"
            )
            reason = str(error).strip().rpartition("\n")[2]
            raise wrong(self._folder / name, f"it fails on {expected} ({reason})") from error

    def _open(self, file: Path) -> Any:
        if not file.is_file():
            raise wrong(file, "there is no such file")
        try:
            return torch.jit.load(str(file), map_location=self._device).eval()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise wrong(file, f"PyTorch cannot read it as TorchScript ({reason})") from error


def _device(gpu: bool) -> str:
    return "cuda" if gpu and torch.cuda.is_available() else "cpu"
