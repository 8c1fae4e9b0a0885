"""The net: two convolutions and a recurrent layer, causal, its memory carried in one flat state.

Everything is channels-last, so that the exported graph (see `export`) is a few matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.labels import CLOSURE, OUTPUTS
from visavis.faces.mel import BANDS, HOPS
from visavis.faces.viseme_table import CHANNELS

INPUTS = HOPS * BANDS
CONVOLVED, HIDDEN, TAPS = 128, 224, 3
KNOWN = HIDDEN + CONVOLVED
STATE = (TAPS - 1) * (INPUTS + CONVOLVED) + HIDDEN
LOOK_AHEAD = 2
"""Frames heard before the face is drawn: output t is the face of frame t - 2."""
RESTING = -3.0
"""The outputs begin near sigmoid(-3): a mouth at rest."""

_CHANNEL = {name: index for index, name in enumerate(CHANNELS)}
SHUT = {"lower": 1.0, "upper": 1.0, "funnel": 0.7, "stretch": 0.7, "jaw": 0.35}
"""How much of a channel a closure of the lips takes away, as in `visavis.faces.visemes`. Drawn sharper than
learned, a closure is longer, and takes nothing from the jaw: it would flatten a short vowel beside it."""
SHARPENING, OPEN_BELOW = 4.0, 0.05
"""A closure c that the net is not sure of is drawn as SHARPENING * (c - OPEN_BELOW): lips meet or do not. Of
the bilabials of held-out voices it closes 92 % (87 % when drawn as c), of other consonants 12 % (8 %)."""


class FaceNet(nn.Module):
    def __init__(self, mean: Tensor, deviation: Tensor, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", 1 / deviation)
        self.near = nn.Linear(TAPS * INPUTS, CONVOLVED)
        self.wide = nn.Linear(TAPS * CONVOLVED, CONVOLVED)
        self.memory = nn.GRU(CONVOLVED, HIDDEN, batch_first=True)
        self.out = nn.Linear(KNOWN, OUTPUTS)
        self.dropout = nn.Dropout(dropout)
        shut = torch.zeros(CLOSURE)
        for name, part in SHUT.items():
            shut[_CHANNEL[name]] = part
        self.register_buffer("shut", shut)

    def forward(self, mel: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [lanes, frames, OUTPUTS] of features [lanes, frames, INPUTS], and the new state."""
        known, state = self.known(mel, state)
        return self.drawn(known), state

    def known(self, mel: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What is known of the sound [lanes, frames, KNOWN], and the new state."""
        first, second, hidden = state.split([(TAPS - 1) * INPUTS, (TAPS - 1) * CONVOLVED, HIDDEN], dim=1)
        heard = torch.cat([first.unflatten(1, (TAPS - 1, INPUTS)), (mel - self.mean) * self.scale], 1)
        near = torch.relu(self.near(_taps(heard)))
        seen = torch.cat([second.unflatten(1, (TAPS - 1, CONVOLVED)), near], 1)
        wide = self.dropout(near + torch.relu(self.wide(_taps(seen))))
        remembered, last = self.memory(wide, hidden.unsqueeze(0).contiguous())
        ends = [heard[:, 1 - TAPS :].flatten(1), seen[:, 1 - TAPS :].flatten(1), last[0]]
        return torch.cat([self.dropout(remembered), wide], 2), torch.cat(ends, 1)

    def drawn(self, known: Tensor) -> Tensor:
        """The logits of what is known."""
        logits: Tensor = self.out(known) + RESTING
        return logits

    def face(self, logits: Tensor, sharp: bool = False) -> Tensor:
        """The channels as they are seen, and mouthClose: lips that close take their shapes with them.
        `sharp`: as they are drawn, not as they are learned."""
        values = torch.sigmoid(logits)
        channels, closure = values[..., :CLOSURE], values[..., CLOSURE:]
        shut = self.shut
        if sharp:
            closure = torch.clamp(SHARPENING * (closure - OPEN_BELOW), 0, 1)
            shut = torch.cat([torch.zeros(1), shut[1:]])
        seen = channels * (1 - closure * shut)
        return torch.cat([seen, seen[..., :1] * closure], -1)


def _taps(values: Tensor) -> Tensor:
    """Every frame with the `TAPS` - 1 before it, side by side."""
    frames = values.shape[1] - TAPS + 1
    return torch.cat([values[:, tap : tap + frames] for tap in range(TAPS)], 2)
