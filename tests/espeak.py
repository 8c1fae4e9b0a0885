"""The mark of tests that call espeak-ng, a program which is not part of this package."""

from __future__ import annotations

import ctypes.util
import os

import pytest

from visavis.stages.espeak_library import INSTALL

needs_espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None and not os.environ.get("CI"),
    reason=f"espeak-ng is not installed. {INSTALL} and run again.",
)
"""Left out, visibly, on a machine without it; never in continuous integration, which installs it."""
