"""The `wav2arkit` engine: the user's own `wav2arkit_cpu.onnx`, streamed with context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from visavis.arkit import COUNT, Weights
from visavis.errors import ConfigurationError
from visavis.faces.context import NATIVE, ContextEngine
from visavis.faces.framing import Samples
from visavis.settings import Settings
from visavis.stages.onnx import release_memory, session

INPUT, OUTPUT = "audio_waveform", "blendshapes"
CONTRACT = (
    f"one input {INPUT} float32 [batch, samples] and one output {OUTPUT} float32 [batch, frames, {COUNT}]"
)
TRIALS = (NATIVE.edge(64), NATIVE.edge(15) + 1)
"""Samples of the trial runs, which warm the model up as well: a whole window, and one sample more than a
frame's edge, because a frame begun counts."""
SLACK = 1e-3
"""How far from 0..1 rounding may take a weight."""


class Wav2Arkit:
    """The model in `file`, checked and warmed up; may be called from several threads.

    Raises `ConfigurationError` when the file is not there, or is not such a model.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        _check_files(self._file)
        try:
            self._session = session(self._file)
        except Exception as error:  # onnxruntime's have no common base
            raise _wrong(self._file, f"onnxruntime cannot load it: {error}") from error
        self._check_interface()
        for samples in TRIALS:
            self._try(samples)
        release_memory()

    def __call__(self, samples: Samples) -> Weights:
        """float32[n] at 16 kHz in -1..1 -> float32[ceil(30 n / 16000), 52] in 0..1."""
        weights: Weights = self._session.run([OUTPUT], {INPUT: samples[None]})[0][0]
        return weights

    def _check_interface(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or not _fits(inputs[0], INPUT, (1, None)):
            raise _wrong(self._file, f"its inputs are {_described(inputs)}")
        if len(outputs) != 1 or not _fits(outputs[0], OUTPUT, (1, None, COUNT)):
            raise _wrong(self._file, f"its outputs are {_described(outputs)}")

    def _try(self, samples: int) -> None:
        noise = np.random.default_rng(0).normal(0, 0.05, samples).astype(np.float32)
        expected = NATIVE.covering(samples)
        try:
            result = self._session.run([OUTPUT], {INPUT: noise[None]})[0]
        except Exception as error:  # as above
            raise _wrong(self._file, f"it fails on {samples} samples: {error}") from error
        if result.shape != (1, expected, COUNT):
            raise _wrong(
                self._file,
                f"{samples} samples of sound give {OUTPUT} of shape {list(result.shape)} "
                f"instead of [1, {expected}, {COUNT}] (30 frames a second)",
            )
        low, high = float(result.min()), float(result.max())
        if not -SLACK <= low <= high <= 1 + SLACK:  # false for NaN as well
            raise _wrong(self._file, f"its weights are between {low:.3g} and {high:.3g} instead of 0 and 1")


def check(settings: Settings) -> None:
    """Raises `ConfigurationError` when the file is not there, or is no whole model."""
    _check_files(_file(settings))


def load(settings: Settings) -> ContextEngine:
    return ContextEngine("wav2arkit", Wav2Arkit(_file(settings)), settings.face)


def _file(settings: Settings) -> Path:
    if settings.face.model_path is None:
        raise ConfigurationError(
            "The face engine wav2arkit needs a model: set face.model_path (ONNX_MODEL_PATH) to your "
            "wav2arkit_cpu.onnx, with wav2arkit_cpu.onnx.data beside it."
        )
    return settings.models.own(settings.face.model_path).absolute()


def _check_files(file: Path) -> None:
    """Whether they are there, and as large as they have to be; the weights are not read."""
    if not file.is_file():
        found = "a folder" if file.is_dir() else "nothing"
        raise _wrong(file, f"there is {found}", "Set face.model_path (ONNX_MODEL_PATH) to the file.")
    try:
        model = onnx.load(file, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, which has no types
        raise _wrong(file, f"{_contents(file)}, not a whole ONNX model") from error
    for tensor in model.graph.initializer:
        if uses_external_data(tensor):
            _check_data(file, ExternalDataInfo(tensor), tensor.name)


def _check_data(model: Path, data: Any, name: str) -> None:
    file = model.parent / data.location
    if not file.is_file():
        raise _wrong(
            model,
            f"its weights are in {data.location}, which is not beside it",
            f"Put {data.location} into {model.parent}.",
        )
    end, size = (data.offset or 0) + (data.length or 0), file.stat().st_size
    if size < end:
        found = f"{data.location} beside it has {size} bytes, but {name} ends at byte {end}"
        raise _wrong(model, found, f"Download {data.location} again: it is cut short or another version.")


def _contents(file: Path) -> str:
    with file.open("rb") as stream:
        begin = stream.read(40)
    size = file.stat().st_size
    if begin.startswith(b"version https://git-lfs"):
        return f"it is a Git LFS pointer of {size} bytes (run: git lfs pull)"
    return f"it has {size} bytes, the first of which are {begin[:8]!r}"


def _wrong(file: Path, found: str, advice: str = "") -> ConfigurationError:
    advice = advice or f"Expected is a model with {CONTRACT}, such as wav2arkit_cpu.onnx; download it again."
    return ConfigurationError(f"The wav2arkit model {file}: {found}. {advice}")


def _fits(node: Any, name: str, sizes: tuple[int | None, ...]) -> bool:
    """Whether a node has this name, holds floats and allows these sizes; None must be free."""
    if node.name != name or node.type != "tensor(float)" or len(node.shape) != len(sizes):
        return False
    return all(not isinstance(has, int) or has == size for has, size in zip(node.shape, sizes, strict=True))


def _described(nodes: list[Any]) -> str:
    kinds = (f"{node.name} {node.type.removeprefix('tensor').strip('()')} {node.shape}" for node in nodes)
    return ", ".join(kinds) or "none"
