"""Predicted against real curves as one HTML file that needs nothing else: inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np

from bench.lipsync.scores import FPS, Curve
from visavis.events import Phoneme

SECONDS = 20.0
"""Of each clip, from its beginning."""
WIDTH, HEIGHT, MARGIN = 60, 110, 8
"""Pixels a second; pixels of one chart; above and below its curves."""
COLOURS = ("#0a7d5a", "#c2410c", "#4f46e5", "#a21caf", "#0369a1", "#b45309", "#be123c", "#4d7c0f")
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1c1917; background: #fff }
figure { margin: 0 0 1.5rem; overflow-x: auto } figcaption { position: sticky; left: 0 }
svg { display: block } polyline { fill: none; stroke-width: 1.4 }
.truth { stroke: #1c1917; stroke-width: 2.2; opacity: .45 } .grid { stroke: #e7e5e4 }
text { font-size: 10px; text-anchor: middle; fill: #78716c }
b { font-weight: 600; margin-right: 1em }
"""


@dataclass(frozen=True, slots=True)
class Chart:
    """One curve of one clip: as it is and as the engines drew it, all at `FPS`."""

    title: str
    truth: Curve
    told: Mapping[str, Curve]
    phonemes: tuple[Phoneme, ...] = field(default=())


def page(charts: Iterable[Chart]) -> str:
    """The HTML of all charts."""
    body = "\n".join(map(_figure, charts))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Lip-sync curves</title>\n'
        f"<style>{STYLE}</style>\n<h1>Predicted against real curves</h1>\n"
        "<p>Every curve is shown in its own standard deviations around its mean, at its engine's lag.</p>\n"
        f"{body}\n</html>\n"
    )


def _figure(chart: Chart) -> str:
    count = min(len(chart.truth), int(SECONDS * FPS))
    width = round(count / FPS * WIDTH)
    curves = [_line(chart.truth[:count], 'class="truth"')]
    legend = ["<b>real</b>"]
    for (name, curve), colour in zip(chart.told.items(), _colours(), strict=False):
        curves.append(_line(curve[:count], f'stroke="{colour}"'))
        legend.append(f'<b style="color:{colour}">{escape(name)}</b>')
    seconds = range(int(count / FPS) + 1)
    grid = "".join(f'<line class="grid" x1="{s * WIDTH}" x2="{s * WIDTH}" y2="{HEIGHT}"/>' for s in seconds)
    known = [p for p in chart.phonemes if p.symbol != "sil" and p.end < count / FPS]
    signs = "".join(f'<text x="{_middle(p)}" y="{HEIGHT - 1}">{escape(p.symbol)}</text>' for p in known)
    return (
        f"<figure><figcaption>{escape(chart.title)}: {''.join(legend)}</figcaption>"
        f'<svg width="{width}" height="{HEIGHT}" role="img">{grid}{"".join(curves)}{signs}</svg></figure>'
    )


def _middle(phoneme: Phoneme) -> int:
    return round((phoneme.start + phoneme.end) / 2 * WIDTH)


def _line(curve: Curve, style: str) -> str:
    """A curve from -1.5 to 4 standard deviations."""
    level = np.clip((curve - curve.mean()) / (curve.std() + 1e-9), -1.5, 4.0)
    heights = HEIGHT - MARGIN - (level + 1.5) / 5.5 * (HEIGHT - 2 * MARGIN)
    points = " ".join(f"{(i + 0.5) / FPS * WIDTH:.1f},{y:.1f}" for i, y in enumerate(heights))
    return f'<polyline {style} points="{points}"/>'


def _colours() -> Iterable[str]:
    while True:
        yield from COLOURS
