"""Speech to text with Moonshine base (English): cost in proportion to the audio's length, text punctuated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models import ModelStore
from visavis.settings import Settings
from visavis.stages import LISTEN_RATE, Samples, Transcript
from visavis.stages.moonshine_graphs import ATTEND, ENCODER, STEP, VERSION, convert
from visavis.stages.onnx import release_memory, session
from visavis.stages.pieces import pieces, without_lead

BEGIN, END = 1, 2
"""Token ids of the beginning and the end of a text; smaller ids and `BEGIN` have no text."""
LAYERS, HEADS, WIDTH = 8, 8, 52
TOKENS_PER_SECOND, LEAST_TOKENS = 6.5, 8
"""Bounds on the text of a piece: a network that starts to repeat itself is stopped there."""
SETTLE = 3 * LISTEN_RATE // 10
"""Zeros put after the audio. They keep the network from inventing or repeating words when speech is cut off
(at 0.32 s of 8 questions: 5 repetitions without, none with them) and cost finished speech nothing (0 errors
in 214 words either way, 5 % more time)."""


class Moonshine:
    """The engine; calls may run at once on several threads."""

    languages = frozenset({"en"})
    detects = False
    model, device = "moonshine-base-en", "cpu"

    def __init__(self, graphs: Path, vocabulary: Path) -> None:
        self._encoder, self._attend, self._step = (session(graphs / name) for name in (ENCODER, ATTEND, STEP))
        self._memory = [output.name for output in self._attend.get_outputs()]
        self._results = [output.name for output in self._step.get_outputs()]
        self._tokens = _read_vocabulary(vocabulary.read_bytes())

    def __call__(self, audio: Samples, language: str | None = None) -> Transcript:
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
