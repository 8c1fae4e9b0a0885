"""The mouths of the six: closed lips hide what is inside, round lips keep it dark, a tongue comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.arkit import INDEX, Weights, neutral
from visavis.cast import built_in
from visavis.video.head import load_head
from visavis.video.head_motion import Pose
from visavis.video.raster import LIT, Kernel
from visavis.video.renderer import SoftwareRenderer

SIZE = (640, 480)
AH = {"jawOpen": 0.4, "mouthLowerDown": 0.3, "mouthUpperUp": 0.3}
OO = {"jawOpen": 0.05, "mouthFunnel": 0.32, "mouthPucker": 0.45}
TH = {"jawOpen": 0.05, "mouthLowerDown": 0.36}
CLOSED: tuple[dict[str, float], ...] = ({}, {"jawOpen": 0.4, "mouthClose": 0.4}, {"mouthSmile": 0.6})


class Mouth:
    """A head, and the same without teeth, gums and tongue."""

    def __init__(self, avatar: str, kernel: Kernel) -> None:
        head = load_head(built_in(avatar), kernel)
        toothless = tuple(part for part in head.parts if part.lighting != LIT or part.uv is not None)
        assert len(toothless) == len(head.parts) - 1
        self.full = SoftwareRenderer(kernel, head, SIZE, None)
        self.empty = SoftwareRenderer(kernel, replace(head, parts=toothless), SIZE, None)

    def inside(self, shapes: dict[str, float]) -> NDArray[np.uint8]:
        """uint8[n, 3]: the pixels that show teeth, gums or tongue."""
        weights: Weights = neutral(1)[0]
        for name, value in shapes.items():
            for end in ("",) if name in INDEX else ("Left", "Right"):
                weights[INDEX[name + end]] = value
        picture, without = (each.draw(weights, Pose()) for each in (self.full, self.empty))
        pixels: NDArray[np.uint8] = picture[np.abs(picture.astype(int) - without).max(2) > 8]
        return pixels


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture(scope="module", params=["mia", "daniel", "amara", "kenji", "elena", "pip"])
def mouth(request: pytest.FixtureRequest, kernel: Kernel) -> Mouth:
    return Mouth(request.param, kernel)


@pytest.mark.parametrize("closed", CLOSED, ids=["at rest", "jaw dropped", "smiling"])
def test_closed_lips_hide_what_is_inside(mouth: Mouth, closed: dict[str, float]) -> None:
    assert len(mouth.inside(closed)) < 0.005 * len(mouth.inside(AH))


def test_round_lips_keep_the_teeth_in_the_dark(mouth: Mouth) -> None:
    shown, whole = (int(mouth.inside(face).sum()) for face in (OO, AH))
    assert shown < 0.025 * whole


def test_the_tongue_comes_between_the_teeth(mouth: Mouth) -> None:
    behind, between = (mouth.inside(TH | {"tongueOut": out}).astype(int) for out in (0.0, 0.24))
    assert red(between) > red(behind) + 15


def red(pixels: NDArray[np.int_]) -> float:
    return float((pixels[:, 0] - pixels[:, 1]).mean())
