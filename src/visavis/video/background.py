"""What is behind the avatar: a gradient, a colour, or an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.errors import ConfigurationError
from visavis.video.images import read_image, scaled

Colour = tuple[float, float, float]
"""Red, green and blue as displays show them, each in 0..1."""
_HEX = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Gradient:
    """Round, from `centre` behind the face to `edge`; a plain colour when both are the same."""

    centre: Colour
    edge: Colour

    def paint(self, width: int, height: int) -> NDArray[np.uint8]:
        """uint8[height, width, 3], dithered against banding; the formula is the browser's."""
        x = (np.arange(width) + 0.5) / width
        y = (np.arange(height)[:, None] + 0.5) / height
        away = np.hypot((x - 0.5) * width / height * 0.68, (y - 0.40) * 0.95)
        t = np.clip(away / 0.82, 0, 1)
        share = (t * t * (3 - 2 * t))[..., None]
        colour = np.asarray(self.centre) * (1 - share) + np.asarray(self.edge) * share
        noise = 0.0 if self.centre == self.edge else _noise(height, width)
        return (np.clip(colour * 255 + noise, 0, 255) + 0.5).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Image:
    """An image file; it fills the picture, and what does not fit is cut at both sides."""

    path: Path

    def paint(self, width: int, height: int) -> NDArray[np.uint8]:
        """uint8[height, width, 3]. Raises `VisavisError` when the file is no image."""
        pixels = read_image(self.path.read_bytes(), str(self.path))[..., :3]
        rows, columns = pixels.shape[:2]
        scale = max(width / columns, height / rows)
        fitted = scaled(pixels, max(width, round(columns * scale)), max(height, round(rows * scale)))
        top, left = (fitted.shape[0] - height) // 2, (fitted.shape[1] - width) // 2
        return np.ascontiguousarray(fitted[top : top + height, left : left + width])


Background = Gradient | Image


def parse(text: str) -> Background | None:
    """`#dfe5ea` is a colour, `#dfe5ea #8c99a6` a gradient, anything else an image file; nothing is None.

    Raises `ConfigurationError` when it is none of them.
    """
    words = text.split()
    colours = [colour for word in words if (colour := _colour(word))]
    if not words:
        return None
    if len(colours) == len(words) <= 2:
        return Gradient(colours[0], colours[-1])
    path = Path(text).expanduser()
    if not path.is_file():
        raise ConfigurationError(
            f"The background {text!r} is neither a colour such as #dfe5ea, nor two of them with "
            "a space between, nor an image file that exists."
        )
    return Image(path)


def _colour(word: str) -> Colour | None:
    found = _HEX.fullmatch(word)
    if not found:
        return None
    red, green, blue = (int(part, 16) / 255 for part in found.groups())
    return red, green, blue


@cache
def _noise(height: int, width: int) -> NDArray[np.float64]:
    """Between -0.5 and 0.5, the same for every picture of this size."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (height, width, 1))
