"""Speech to text with Moonshine base (English): cost in proportion to the audio's length, text punctuated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models import ModelStore
from visavis.settings import Settings
from visavis.stages import LISTEN_RATE, Samples, Transcript
from visavis.stages.moonshine_graphs import ATTEND, ENCODER, STEP, VERSION, convert
from visavis.stages.onnx import release_memory, session

BEGIN, END = 1, 2
"""Token ids of the beginning and the end of a text; smaller ids and `BEGIN` have no text."""
LAYERS, HEADS, WIDTH = 8, 8, 52
TOKENS_PER_SECOND, LEAST_TOKENS = 6.5, 8
"""Bounds on the text of a piece: a network that starts to repeat itself is stopped there."""
SHORTEST_PIECE, LONGEST_PIECE = 8 * LISTEN_RATE, 15 * LISTEN_RATE
"""Samples: longer audio is cut between these at its quietest point, and heard in pieces."""
LEAD = LISTEN_RATE // 5
"""Samples of silence kept before the first sound: with more, the network may invent a word."""
SETTLE = 3 * LISTEN_RATE // 10
"""Zeros put after the audio. They keep the network from inventing or repeating words when speech is cut off
(at 0.32 s of 8 questions: 5 repetitions without, none with them) and cost finished speech nothing (0 errors
in 214 words either way, 5 % more time)."""
BLOCK = LISTEN_RATE // 100
"""Samples in one step of the loudness curve."""
SILENCE = 1e-3
"""Peak amplitude (-60 dB) below which there is nothing to hear."""


class Moonshine:
    """The engine; calls may run at once on several threads."""

    def __init__(self, graphs: Path, vocabulary: Path) -> None:
        self._encoder, self._attend, self._step = (session(graphs / name) for name in (ENCODER, ATTEND, STEP))
        self._memory = [output.name for output in self._attend.get_outputs()]
        self._results = [output.name for output in self._step.get_outputs()]
        self._tokens = _read_vocabulary(vocabulary.read_bytes())

    def __call__(self, audio: Samples) -> Transcript:
        """The words of `audio` (float32[n] at 16 kHz) with the mean log-probability of their tokens.

        Audio of more than 15 s is heard in pieces; empty or silent audio is Transcript("", 0).
        """
        texts: list[str] = []
        scores: list[float] = []
        for piece in pieces(without_lead(audio)):
            tokens, logs = self._hear(piece)
            texts.append(self._text(tokens))
            scores += logs
        text = " ".join(filter(None, texts))
        return Transcript(text, float(np.mean(scores)) if scores else 0.0)

    def _hear(self, audio: Samples) -> tuple[list[int], list[float]]:
        """The tokens of one piece, greedily, and the log-probability of each one and of the end."""
        padded = np.concatenate([audio, np.zeros(SETTLE, np.float32)])
        (heard,) = self._encoder.run(None, {"input_values": padded[np.newaxis]})
        memory = self._attend.run(None, {"encoder_hidden_states": heard})
        feed = {_past(name): value for name, value in zip(self._memory, memory, strict=True)}
        nothing = np.zeros((1, HEADS, 0, WIDTH), np.float32)
        feed |= {_past(name): nothing for name in self._results[1:]}
        token, tokens, logs = BEGIN, list[int](), list[float]()
        for _ in range(max(LEAST_TOKENS, int(len(audio) / LISTEN_RATE * TOKENS_PER_SECOND)) + 1):
            feed["input_ids"] = np.array([[token]], np.int64)
            logits, *state = self._step.run(self._results, feed)
            feed |= {_past(name): value for name, value in zip(self._results[1:], state, strict=True)}
            token, log = _likeliest(logits[0, -1, : len(self._tokens)])
            logs.append(log)
            if token == END:
                break
            tokens.append(token)
        return tokens, logs

    def _text(self, tokens: list[int]) -> str:
        """The text of `tokens`; words begin with U+2581 instead of a space."""
        raw = b"".join(self._tokens[token] for token in tokens if token > END)
        return raw.decode("utf-8", "replace").replace("\u2581", " ").strip()


def load(settings: Settings) -> Moonshine:
    store = ModelStore(settings.models)
    graphs = store.derived("moonshine-base-en", convert, VERSION)
    engine = Moonshine(graphs, store.path("moonshine-base-en") / "tokenizer.bin")
    engine(np.sin(np.arange(LISTEN_RATE, dtype=np.float32)))
    release_memory()
    return engine


def without_lead(audio: Samples) -> Samples:
    """`audio` from `LEAD` samples before its first sound (30 dB below its loudest 10 ms); empty if silent."""
    if not len(audio) or np.abs(audio).max() < SILENCE:
        return audio[:0]
    power = _power(audio)
    first = int(np.argmax(power >= power.max() * 1e-3)) * BLOCK
    return audio[max(0, first - LEAD) :]


def pieces(audio: Samples) -> Iterator[Samples]:
    """`audio` cut at its quietest points into pieces of at most `LONGEST_PIECE` samples."""
    while len(audio) > LONGEST_PIECE:
        power = np.convolve(_power(audio[SHORTEST_PIECE:LONGEST_PIECE]), np.ones(20), "valid")  # 0.2 s
        cut = SHORTEST_PIECE + (int(np.argmin(power)) + 10) * BLOCK
        yield audio[:cut]
        audio = audio[cut:]
    if len(audio):
        yield audio


def _power(audio: Samples) -> NDArray[np.floating]:
    """Mean square of each `BLOCK`; the last one may be short."""
    starts = np.arange(0, len(audio), BLOCK)
    power: NDArray[np.floating] = np.add.reduceat(audio * audio, starts) / BLOCK
    return power


def _past(name: str) -> str:
    """The input of the next step that an output "present.0.decoder.key.out" becomes."""
    return name.replace("present", "past_key_values").removesuffix(".out")


def _likeliest(logits: NDArray[np.float32]) -> tuple[int, float]:
    token = int(logits.argmax())
    return token, -float(np.log(np.exp(logits - logits[token]).sum()))


def _read_vocabulary(data: bytes) -> list[bytes]:
    """tokenizer.bin: for each token its length (7 bits, or 15 in two bytes, low ones first) and its bytes."""
    tokens: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += 128 * data[at] - 128
            at += 1
        tokens.append(data[at : at + length])
        at += length
    return tokens
