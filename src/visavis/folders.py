"""Folders that are written to, and may have to be made."""

from __future__ import annotations

import os
from pathlib import Path


def obstacle(folder: Path) -> str:
    """Why nothing can be written into `folder`, which need not be there yet; "" when nothing speaks against
    it. Makes nothing."""
    whole = folder.absolute()
    nearest = next(path for path in (whole, *whole.parents) if os.path.exists(path))  # noqa: PTH110 - never raises
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} is not writable"
