"""Distributions and Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HEAD = "| what | n | p50 | p95 | p99 | worst |\n|---|---:|---:|---:|---:|---:|"


@dataclass(frozen=True, slots=True)
class Row:
    """A distribution, or a single figure when it has one value. `low`: small values are the bad ones."""

    what: str
    unit: str
    values: Sequence[float]
    low: bool = False

    def markdown(self) -> str:
        """One line below `HEAD`; p95 and p99 are p5 and p1 where small values are the bad ones."""
        name = f"| {self.what}, {self.unit}" if self.unit else f"| {self.what}"
        if not len(self.values):
            return f"{name} | 0 | - | - | - | - |"
        if len(self.values) == 1:
            return f"{name} | 1 | {_figure(self.values[0])} | | | |"
        wanted = (50, 5, 1, 0) if self.low else (50, 95, 99, 100)
        figures = " | ".join(_figure(value) for value in np.percentile(self.values, wanted))
        return f"{name} | {len(self.values)} | {figures} |"


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1 and value != int(value) else f"{value:.4g}"


def table(title: str, rows: Sequence[Row]) -> str:
    return "\n".join([f"### {title}", "", HEAD, *(row.markdown() for row in rows), ""])
