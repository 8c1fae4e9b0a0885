"""The network of LAM Audio2Expression as functions of its weights (PyTorch).

wav2vec 2.0 base (Baevski et al. 2020) whose features are interpolated to 30 frames a second before the
transformer, an identity, and a stack of convolutions; the architecture published by aigc3d
(github.com/aigc3d/LAM_Audio2Expression, Apache-2.0). Names and shapes of the weights: `visavis.faces.lam`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as nnf

Tensor: TypeAlias = torch.Tensor
Network: TypeAlias = Mapping[str, Tensor]

STRIDES = (5, 2, 2, 2, 2, 2, 2)
LAYERS, HEADS = 12, 12
POSITIONS, POSITION_GROUPS = "audio_encoder.encoder.pos_conv_embed.conv", 16


def prepared(weights: Network, device: str) -> Network:
    """The weights on `device`, with the kernel that is kept as direction and length put together."""
    net = {name: weight.to(device, torch.float32) for name, weight in weights.items()}
    length, direction = net.pop(f"{POSITIONS}.weight_g"), net.pop(f"{POSITIONS}.weight_v")
    net[f"{POSITIONS}.weight"] = direction * (length / direction.norm(dim=(0, 1), keepdim=True))
    return net


def expressions(net: Network, sound: Tensor, frames: int, identity: int) -> Tensor:
    """Sound float32[1, n] at 16 kHz in -1..1 -> weights float32[1, frames, 52] in 0..1."""
    heard = _linear(net, "feature_projection", _wav2vec(net, sound, frames)).transpose(1, 2)
    # A convolution over a constant one-hot vector picks one of its columns.
    who = net["identity_encoder.id_mlp.weight"][:, identity] + net["identity_encoder.id_mlp.bias"][:, None]
    moved = torch.cat([heard, who[None].expand(len(heard), -1, frames)], dim=1)
    first = "identity_encoder.first_net.conv_layers.{}"
    moved = _block(net, first.format(0), moved, _conv(net, first.format(0) + ".residual_layer.0", moved))
    for layer in (1, 2):
        moved = _block(net, first.format(layer), moved, moved)
    for layer in range(3):
        moved = _block(net, f"decoder.0.{layer}", moved, None)
    return torch.sigmoid(_linear(net, "output_proj", moved.transpose(1, 2)))


def _block(net: Network, name: str, x: Tensor, shortcut: Tensor | None) -> Tensor:
    """Convolution, normalisation over channels, a shortcut around them, rectifier: [1, channels, frames]."""
    y = _norm(net, f"{name}.norm", _conv(net, f"{name}.conv", x).transpose(1, 2)).transpose(1, 2)
    return nnf.relu(y if shortcut is None else y + shortcut)


def _wav2vec(net: Network, sound: Tensor, frames: int) -> Tensor:
    """[1, n] -> [1, frames, 768]."""
    x, features = sound[:, None], "audio_encoder.feature_extractor.conv_layers.{}"
    for layer, stride in enumerate(STRIDES):
        name = features.format(layer)
        x = nnf.conv1d(x, net[f"{name}.conv.weight"], stride=stride)
        if layer == 0:
            scale, shift = net[f"{name}.layer_norm.weight"], net[f"{name}.layer_norm.bias"]
            x = nnf.group_norm(x, len(scale), scale, shift)  # each channel by itself
        x = nnf.gelu(x)
    x = nnf.interpolate(x, size=frames, mode="linear", align_corners=True).transpose(1, 2)
    projection = "audio_encoder.feature_projection"
    x = _linear(net, f"{projection}.projection", _norm(net, f"{projection}.layer_norm", x))
    x = _norm(net, "audio_encoder.encoder.layer_norm", x + _positions(net, x))
    for layer in range(LAYERS):
        x = _layer(net, f"audio_encoder.encoder.layers.{layer}", x)
    return x


def _positions(net: Network, x: Tensor) -> Tensor:
    """Where each frame is among its neighbours, from a convolution over 128 of them."""
    kernel, bias = net[f"{POSITIONS}.weight"], net[f"{POSITIONS}.bias"]
    y = nnf.conv1d(x.transpose(1, 2), kernel, bias, padding=kernel.shape[2] // 2, groups=POSITION_GROUPS)
    return nnf.gelu(y[..., : x.shape[1]]).transpose(1, 2)  # an even kernel makes one too many


def _layer(net: Network, name: str, x: Tensor) -> Tensor:
    """One layer of the transformer, normalised after each half."""
    q, k, v = (_heads(_linear(net, f"{name}.attention.{part}_proj", x)) for part in "qkv")
    heard = nnf.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = _norm(net, f"{name}.layer_norm", x + _linear(net, f"{name}.attention.out_proj", heard))
    y = nnf.gelu(_linear(net, f"{name}.feed_forward.intermediate_dense", x))
    y = _linear(net, f"{name}.feed_forward.output_dense", y)
    return _norm(net, f"{name}.final_layer_norm", x + y)


def _heads(x: Tensor) -> Tensor:
    """[1, frames, 768] -> [1, heads, frames, 64]."""
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


def _linear(net: Network, name: str, x: Tensor) -> Tensor:
    return nnf.linear(x, net[f"{name}.weight"], net[f"{name}.bias"])


def _conv(net: Network, name: str, x: Tensor) -> Tensor:
    """Kernel 3, one frame of padding at both ends."""
    return nnf.conv1d(x, net[f"{name}.weight"], net[f"{name}.bias"], padding=1)


def _norm(net: Network, name: str, x: Tensor) -> Tensor:
    scale, shift = net[f"{name}.weight"], net[f"{name}.bias"]
    return nnf.layer_norm(x, scale.shape, scale, shift)
