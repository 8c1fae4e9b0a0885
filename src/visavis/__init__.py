"""Visavis gives any conversational agent a face.

`visavis.animate(samples, rate)` is a recording's face, a `Track`; `visavis.FaceStream(rate)` is a face while
somebody speaks. The server is the command `visavis`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# The models have threads of their own; numpy's would only spin beside them. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    from visavis.animation import FaceStream, animate, animate_file, load_face
    from visavis.track import Track

__all__ = ["FaceStream", "Track", "animate", "animate_file", "load_face"]
__version__ = "0.1.0"

_HOMES = {
    "FaceStream": "visavis.animation",
    "Track": "visavis.track",
    "animate": "visavis.animation",
    "animate_file": "visavis.animation",
    "load_face": "visavis.animation",
}


def __getattr__(name: str) -> Any:
    # Looked up when asked for, so that importing the package imports no numerical library.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
