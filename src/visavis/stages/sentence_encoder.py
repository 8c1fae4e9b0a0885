"""all-MiniLM-L6-v2: sentences as vectors, near each other when they mean the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from visavis.stages.onnx import session

_LONGEST = 64
"""Tokens of a sentence that are looked at."""


class SentenceEncoder:
    """Sentence -> float32[384] of length 1; thread-safe, a few milliseconds a call."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        self._session = session(model)
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LONGEST)

    def __call__(self, text: str) -> NDArray[np.float32]:
        """Mean of the token vectors, normalised, as the model was trained (Reimers and Gurevych, 2019)."""
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        (tokens,) = self._session.run(None, inputs)
        mean: NDArray[np.float32] = tokens[0].mean(axis=0)
        return mean / np.linalg.norm(mean)
