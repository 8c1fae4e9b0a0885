"""Trains the net on the features on disk and keeps the weights that follow a held-out voice best.

python -m training.train CACHE SEED STEPS

Writes face-SEED.pt and, in face-SEED.score, how well that follows the voice (mean correlation).
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training import features
from training.augment import Microphones
from training.labels import CLOSURE
from training.model import INPUTS, LOOK_AHEAD, STATE, FaceNet
from visavis.faces.viseme_table import CHANNELS

LANES, FRAMES = 32, 48
"""Voices heard at once and frames of one step; the state is carried from step to step."""
STEPS_OF_A_VOICE = 8
"""Steps for which a lane listens on average before it begins with another utterance."""
RATE, DECAY, DROPOUT, AVERAGING = 3e-3, 1e-3, 0.12, 0.998
"""Learning rate at its peak, weight decay, dropout, and the factor of the moving average of the weights."""
ENGINE_WEIGHTS = {"espeak": 0.5, "flite": 0.8, "hibari": 0.6, "recorded": 1.2, "kokoro": 3.0}
"""How much more often a frame of an engine is heard: natural voices more, formant voices less."""
CHANNEL_WEIGHTS = {
    "jaw": 4.0, "lower": 3.0, "upper": 2.0, "smile": 1.6, "stretch": 1.2, "roll_lower": 1.5,
    "roll_upper": 1.0, "press": 1.4, "tongue": 0.3, "funnel": 3.0, "pucker": 4.5,
}  # fmt: skip
MOUTH_CLOSE_WEIGHT = 2.0
CLOSURE_WEIGHT, CLOSED_WEIGHT, SPEED_WEIGHT, ABSOLUTE_WEIGHT = 0.5, 3.0, 4.0, 0.3
"""Of the closure's cross-entropy, of closed frames in it, of velocities, and of absolute errors."""
VALIDATIONS = 20
CLIP = 1.0


class Lanes:
    """An endless batch: each lane walks through the corpus and jumps to another utterance now and then."""

    def __init__(self, mel: NDArray, labels: NDArray, starts: NDArray, odds: NDArray, seed: int) -> None:
        self._mel, self._labels, self._starts, self._odds = mel, labels, starts, odds
        self._random = np.random.default_rng(seed)
        self._at = np.zeros(LANES, np.intp)
        self._microphones = Microphones(LANES, self._random)
        self.state = torch.zeros(LANES, STATE)
        self._jump(np.arange(LANES))

    def _jump(self, lanes: NDArray[np.intp]) -> None:
        self._at[lanes] = self._random.choice(self._starts, len(lanes), p=self._odds)
        self.state[lanes] = 0.0
        self._microphones.change(lanes)

    def step(self) -> tuple[Tensor, Tensor]:
        """Features, and labels that are `LOOK_AHEAD` frames behind them."""
        tired = self._random.random(LANES) < 1 / STEPS_OF_A_VOICE
        self._jump(np.flatnonzero(tired | (self._at + FRAMES > len(self._mel))))
        index = self._at[:, None] + np.arange(FRAMES)
        self._at += FRAMES
        mel = self._microphones(self._mel[index].astype(np.float32))
        labels = self._labels[index - LOOK_AHEAD].astype(np.float32)  # before the first frame lies silence
        return torch.from_numpy(mel), torch.from_numpy(labels)


class Loss:
    """Errors of what is seen, in units of each channel's spread, and of the closure that is meant."""

    def __init__(self, labels: NDArray) -> None:
        sample = labels[::7].astype(np.float32)
        seen = np.column_stack([sample[:, :CLOSURE], sample[:, 0] * sample[:, CLOSURE]])
        spread = np.maximum(seen.std(0), 0.01)
        wanted = np.array([*(CHANNEL_WEIGHTS[name] for name in CHANNELS), MOUTH_CLOSE_WEIGHT])
        self._weights = torch.from_numpy((wanted / wanted.sum() / spread**2).astype(np.float32))

    def __call__(self, net: FaceNet, logits: Tensor, labels: Tensor) -> Tensor:
        closure = labels[..., CLOSURE:]
        wanted = torch.cat([labels[..., :CLOSURE], labels[..., :1] * closure], -1)
        error = net.face(logits) - wanted
        speed = error[:, 1:] - error[:, :-1]
        crossed = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[..., CLOSURE:], closure, weight=1 + (CLOSED_WEIGHT - 1) * closure
        )
        squares = (error**2 * self._weights).mean((0, 1)).sum()
        absolute = (error.abs() * self._weights.sqrt()).mean((0, 1)).sum() / len(self._weights)
        speeds = (speed**2 * self._weights).mean((0, 1)).sum()
        return squares + SPEED_WEIGHT * speeds + ABSOLUTE_WEIGHT * absolute + CLOSURE_WEIGHT * crossed


def correlations(net: FaceNet, held: list[tuple[NDArray, NDArray]]) -> dict[str, float]:
    """How well the net follows the labels of voices it has never heard, by channel."""
    net.eval()
    predicted, wanted = [], []
    with torch.no_grad():
        for mel, labels in held:
            longer = np.concatenate([mel, np.repeat(mel[-1:], LOOK_AHEAD, 0)])
            logits, _ = net(torch.from_numpy(longer)[None], torch.zeros(1, STATE))
            values = torch.cat([net.face(logits)[..., :CLOSURE], torch.sigmoid(logits[..., CLOSURE:])], -1)
            predicted.append(values[0, LOOK_AHEAD:].numpy())
            wanted.append(labels)
    net.train()
    one, other = np.concatenate(predicted), np.concatenate(wanted)
    names = [*CHANNELS, "closure"]
    return {
        name: round(float(np.corrcoef(one[:, i], other[:, i])[0, 1]), 3)
        for i, name in enumerate(names)
        if name in ("jaw", "lower", "smile", "funnel", "pucker", "closure")
    }


def validation(cache: Path) -> list[tuple[NDArray, NDArray]]:
    """Features and labels of Kokoro's held-out voices (those of the tests lie in later files)."""
    import pickle

    held = []
    for shard in sorted((cache / "speech/kokoro-test").glob("*.pickle"))[:2]:
        for spoken in pickle.loads(shard.read_bytes()):
            held.append(features.clean(spoken, np.random.default_rng(0)))
    return held


def main(cache: Path, seed: int, steps: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    files = sorted((cache / "features").glob("*/*.npz"))
    mel, labels, lengths, owners = features.read(files)
    engines = [file.parent.name.removesuffix("-train") for file in files]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    weights = np.array([ENGINE_WEIGHTS[engine] for engine in engines])[owners] * lengths
    weights[(starts < LOOK_AHEAD) | (starts + FRAMES > len(mel))] = 0.0
    columns = mel[::17].astype(np.float32).reshape(-1, INPUTS // 4)
    mean, deviation = (torch.from_numpy(np.tile(v, 4)) for v in (columns.mean(0), columns.std(0)))
    net = FaceNet(mean, deviation, DROPOUT)
    average = copy.deepcopy(net).requires_grad_(False)
    lanes = Lanes(mel, labels, starts, weights / weights.sum(), seed)
    loss_of, held = Loss(labels), validation(cache)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    print(f"{len(mel) / 1800:.0f} minutes, {sum(p.numel() for p in net.parameters())} parameters", flush=True)
    best, smooth = 0.0, 0.0
    for step in range(1, steps + 1):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / 100) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
        heard, wanted = lanes.step()
        logits, state = net(heard, lanes.state)
        lanes.state = state.detach()
        loss = loss_of(net, logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        smooth += (loss.item() - smooth) / min(step, 100)
        with torch.no_grad():
            for one, other in zip(average.parameters(), net.parameters(), strict=True):
                one.lerp_(other, 1 - min(AVERAGING, step / (step + 10)))
        if step * VALIDATIONS // steps > (step - 1) * VALIDATIONS // steps:
            found = correlations(average, held)
            score = float(np.mean(list(found.values())))
            print(f"{done:.0%} loss {smooth:.3f} {score:.3f} {json.dumps(found)}", flush=True)
            if score > best:
                best = score
                torch.save(average.state_dict(), cache / f"face-{seed}.pt")
                (cache / f"face-{seed}.score").write_text(f"{score:.5f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
