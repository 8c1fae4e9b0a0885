"""The one way an ONNX model is opened."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort


def session(model: Path | bytes) -> Any:
    """An `onnxruntime.InferenceSession` of a file, or of a model's bytes, on one thread of the CPU.

    Parallelism comes from many sessions at once, so a run must not start threads of its own nor spin while
    it waits. `run` may be called from several threads.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; its warnings are about graph optimisation
    source = str(model) if isinstance(model, Path) else model
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def release_memory() -> None:
    """Give memory that was only needed while loading back to the system.

    Un-packing int8 weights leaves hundreds of megabytes that glibc would keep; other systems need no help.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
