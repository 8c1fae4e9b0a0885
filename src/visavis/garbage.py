"""How a process that serves for long collects its garbage."""

from __future__ import annotations

import gc

THRESHOLD = (20_000, 20, 50)
"""How many more objects there are before the interpreter looks for cycles among the new ones, and how many
such looks before one at older ones. Conversations leave next to none; with Python's defaults a tenth of the
event loop's time went into looking."""


def settle() -> None:
    """All that the process needs is loaded: nothing that lives as long as it has to be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLD)


def unsettle() -> None:
    """It ends: native libraries see their objects go before they go themselves."""
    gc.unfreeze()
    gc.collect()
