"""Trains the net on the features on disk, in three courses.

python -m training.train CACHE SEED

Writes first-SEED.pt, second-SEED.pt, face-SEED.pt and, in face-SEED.score, how well that follows a held-out
voice (mean correlation).
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import features
from training.augment import Microphones
from training.labels import CLOSURE, OUTPUTS, SOUND, SOUNDS
from training.model import INPUTS, KNOWN, LOOK_AHEAD, STATE, FaceNet
from visavis.faces.mel import HOPS
from visavis.faces.viseme_table import CHANNELS

LANES, FRAMES = 32, 48
"""Voices heard at once and frames of one step; the state is carried from step to step."""
STEPS_OF_A_VOICE = 8
"""Steps for which a lane listens on average before it begins with another utterance."""
DECAY, DROPOUT, AVERAGING = 1e-3, 0.12, 0.998
"""Weight decay, dropout, and the factor of the moving average of the weights."""


class Course(NamedTuple):
    """A part of the training: its steps, the learning rate at its peak, how much more often a frame of an
    engine is heard, how much it counts to name the sound that is heard, too, how much more often a frame of a
    language is heard, and how much more an error counts where a sound is."""

    steps: int
    rate: float
    shares: dict[str, float]
    naming: float = 0.0
    languages: Mapping[str, float] = MappingProxyType({})
    sounds: Mapping[str, float] = MappingProxyType({})


NATURAL = {"espeak": 0.5, "flite": 0.8, "hibari": 0.6, "recorded": 1.2, "kokoro": 2.0}
ALL = {"espeak": 1.2, "flite": 0.6, "hibari": 1.2, "recorded": 0.6, "kokoro": 2.0}
FIRST = Course(6000, 3e-3, NATURAL)
SECOND = Course(6000, 2e-3, ALL, naming=0.3)
THIRD = Course(2000, 1e-3, ALL, 0.3, languages={"fr": 2.0, "ja": 3.0}, sounds={"y": 3.0, "w": 2.0, "b": 2.0})
"""At first natural voices more, formant voices less; then nearly alike, and their sounds are named, too; in
the end more of what is rare and hard: the y of "tu", which is taken for an i, w, and Japanese b of 40 ms."""
CHANNEL_WEIGHTS = {
    "jaw": 4.0, "lower": 3.0, "upper": 2.0, "smile": 1.6, "stretch": 1.2, "roll_lower": 1.5,
    "roll_upper": 1.0, "press": 1.4, "tongue": 0.3, "funnel": 3.0, "pucker": 4.5,
}  # fmt: skip
MOUTH_CLOSE_WEIGHT = 2.0
CLOSURE_WEIGHT, CLOSED_WEIGHT, SPEED_WEIGHT, ABSOLUTE_WEIGHT = 0.5, 3.0, 4.0, 0.3
"""Of the closure's cross-entropy, of closed frames in it, of velocities, and of absolute errors."""
VALIDATIONS = 20
CLIP = 1.0

Held = list[tuple[NDArray, NDArray]]
"""Features and labels of utterances that are not trained on."""


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

    def __init__(self, labels: NDArray, sounds: Mapping[str, float]) -> None:
        sample = labels[::7].astype(np.float32)
        seen = np.column_stack([sample[:, :CLOSURE], sample[:, 0] * sample[:, CLOSURE]])
        spread = np.maximum(seen.std(0), 0.01)
        wanted = np.array([*(CHANNEL_WEIGHTS[name] for name in CHANNELS), MOUTH_CLOSE_WEIGHT])
        self._weights = torch.from_numpy((wanted / wanted.sum() / spread**2).astype(np.float32))
        self._sounds = torch.tensor([1.0, *(sounds.get(sound, 1.0) for sound in SOUNDS), 1.0])

    def __call__(self, net: FaceNet, logits: Tensor, labels: Tensor) -> Tensor:
        closure = labels[..., CLOSURE:OUTPUTS]
        wanted = torch.cat([labels[..., :CLOSURE], labels[..., :1] * closure], -1)
        error = net.face(logits) - wanted
        speed = error[:, 1:] - error[:, :-1]
        counts = self._sounds[labels[..., SOUND:].long()]
        crossed = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[..., CLOSURE:], closure, weight=counts * (1 + (CLOSED_WEIGHT - 1) * closure)
        )
        squares = (counts * error**2 * self._weights).mean((0, 1)).sum()
        absolute = (counts * error.abs() * self._weights.sqrt()).mean((0, 1)).sum() / len(self._weights)
        speeds = (counts[:, 1:] * speed**2 * self._weights).mean((0, 1)).sum()
        return squares + SPEED_WEIGHT * speeds + ABSOLUTE_WEIGHT * absolute + CLOSURE_WEIGHT * crossed


def correlations(net: FaceNet, held: Held) -> dict[str, float]:
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


def validation(cache: Path) -> Held:
    """Features and labels of Kokoro's held-out voices (those of the tests lie in later files)."""
    import pickle

    held = []
    for shard in sorted((cache / "speech/kokoro-test").glob("*.pickle"))[:2]:
        for spoken in pickle.loads(shard.read_bytes()):
            held.append(features.clean(spoken, np.random.default_rng(0)))
    return held


def named(sounds: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of the sounds that are heard."""
    return nn.functional.cross_entropy(sounds.flatten(0, 1), labels[..., SOUND].flatten().long())


class Corpus:
    """All features and labels, and where each utterance begins in them."""

    def __init__(self, cache: Path) -> None:
        self._heard = features.read(sorted((cache / "features").glob("*/*.npz")))
        self.mel, self.labels = self._heard.mel, self._heard.labels
        self.starts = np.concatenate([[0], np.cumsum(self._heard.lengths)[:-1]])

    def odds(self, course: Course) -> NDArray[np.float64]:
        """How probably a lane begins with each utterance."""
        engines = np.array([course.shares[engine] for engine in self._heard.engines])
        languages = np.array([course.languages.get(language, 1.0) for language in self._heard.languages])
        weights = engines * languages * self._heard.lengths
        weights[(self.starts < LOOK_AHEAD) | (self.starts + FRAMES > len(self.mel))] = 0.0
        odds: NDArray[np.float64] = weights / weights.sum()
        return odds

    def net(self) -> FaceNet:
        """A new net that knows the means and deviations of the features."""
        columns = self.mel[::17].astype(np.float32).reshape(-1, INPUTS // HOPS)
        mean, deviation = (torch.from_numpy(np.tile(v, HOPS)) for v in (columns.mean(0), columns.std(0)))
        return FaceNet(mean, deviation, DROPOUT)


def train(corpus: Corpus, course: Course, seed: int, earlier: Path | None, held: Held, out: Path) -> None:
    """Writes the average of the weights, and beside it how well that follows the held-out voice."""
    torch.manual_seed(seed)
    net, namer = corpus.net(), nn.Linear(KNOWN, len(SOUNDS) + 2)  # which is not part of the net
    if earlier:
        net.load_state_dict(torch.load(earlier, weights_only=True))
    average = copy.deepcopy(net).requires_grad_(False)
    lanes = Lanes(corpus.mel, corpus.labels, corpus.starts, corpus.odds(course), seed)
    loss_of = Loss(corpus.labels, course.sounds)
    learned = [*net.parameters(), *namer.parameters()]
    optimizer = torch.optim.AdamW(learned, course.rate, weight_decay=DECAY)
    smooth = 0.0
    for step in range(1, course.steps + 1):
        done = step / course.steps
        for group in optimizer.param_groups:
            group["lr"] = course.rate * min(1, step / 100) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
        heard, wanted = lanes.step()
        known, state = net.known(heard, lanes.state)
        lanes.state = state.detach()
        loss = loss_of(net, net.drawn(known), wanted)
        smooth += (loss.item() - smooth) / min(step, 100)
        loss = loss + course.naming * named(namer(known), wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, CLIP)
        optimizer.step()
        with torch.no_grad():
            for one, other in zip(average.parameters(), net.parameters(), strict=True):
                one.lerp_(other, 1 - min(AVERAGING, step / (step + 10)))
        if step * VALIDATIONS // course.steps > (step - 1) * VALIDATIONS // course.steps:
            found = correlations(average, held)
            score = float(np.mean(list(found.values())))
            print(f"{done:.0%} loss {smooth:.3f} {score:.3f} {json.dumps(found)}", flush=True)
            torch.save(average.state_dict(), out)
            out.with_suffix(".score").write_text(f"{score:.5f}\n")


def main(cache: Path, seed: int) -> None:
    torch.set_num_threads(1)
    corpus, held = Corpus(cache), validation(cache)
    first, second = cache / f"first-{seed}.pt", cache / f"second-{seed}.pt"
    print(f"{len(corpus.mel) / 1800:.0f} minutes", flush=True)
    train(corpus, FIRST, seed, None, held, first)
    train(corpus, SECOND, seed, first, held, second)
    train(corpus, THIRD, seed, second, held, cache / f"face-{seed}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
