"""Sessions as files: what came into one and what went out, to be replayed on another day (docs/replay.md).

A recording is gzipped JSON lines: a header, then each input with its time, then the outputs that came of
it in the same moment. The core and the codecs are pure, so the inputs alone decide the outputs.
"""

from __future__ import annotations

FORMAT = 1
ENDING = ".visavis.gz"
INPUTS = frozenset({"join", "left", "in", "say", "config", "attach", "detach", "feed", "told", "live", "end"})
OUTPUTS = frozenset({"out", "sent", "drop", "asked"})
"""Kinds of lines."""
