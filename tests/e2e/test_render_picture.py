"""The browser's head and the server's are the same picture: one formula, written down twice.

They differ by how textures are filtered and lines are rounded: 0.6 to 1.6 of 255 on average, up to 2.1 in the
face.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page
from tests.e2e.conftest import Open
from tests.process import Server

from visavis.arkit import INDEX, neutral
from visavis.video.head_motion import Pose
from visavis.video.images import read_image
from visavis.video.renderer import Software

pytestmark = [pytest.mark.browser, pytest.mark.models]

SIZE = (640, 480)
FACE = (slice(100, 400), slice(220, 420))
DRAW = """async ([avatar, weights, pose, width, height]) => {
  const view = window.visavis.avatar;
  view.stop();
  const place = {position: 'fixed', left: 0, top: 0, width: width + 'px', height: height + 'px'};
  Object.assign(view.canvas.style, place);
  await view.load(`avatars/${avatar}/${avatar}.glb`);
  view.budget.pixelRatio = 1;
  view.resize();
  view.head.show(Float32Array.from(weights), pose);
  view.curtain.opacity = 0;
  view.renderer.render(view.scene, view.camera);
  return view.canvas.toDataURL('image/png').split(',')[1];
}"""
"""Exactly this face, without the life that the page adds."""
FACES: dict[str, tuple[str, dict[str, float], Pose]] = {
    "at rest": ("mia", {}, Pose()),
    "ah": ("mia", {"jawOpen": 0.7, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3}, Pose()),
    "smiling, turned": (
        "elena",
        {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "browInnerUp": 0.5},
        Pose(0.04, -0.05, 0.03, 1.0),
    ),
    "blinking": ("kenji", {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, Pose(breath=0.5)),
    "pursed": ("amara", {"mouthPucker": 0.8, "mouthFunnel": 0.3, "jawOpen": 0.1}, Pose(0.0, 0.05, 0.0)),
}


@pytest.fixture(scope="module")
def page(talker: Server, browse: Open) -> Iterator[Page]:
    with browse(talker.http) as opened:
        opened.wait_for_function("window.visavis.avatar && window.visavis.avatar.head")
        yield opened


@pytest.mark.parametrize("name", FACES)
def test_the_server_draws_what_the_browser_draws(page: Page, name: str) -> None:
    avatar, shapes, pose = FACES[name]
    weights = neutral(1)[0]
    for shape, value in shapes.items():
        weights[INDEX[shape]] = value
    held = {"pitch": pose.pitch, "yaw": pose.yaw, "roll": pose.roll, "breath": pose.breath}
    png = base64.b64decode(page.evaluate(DRAW, [avatar, weights.tolist(), held, *SIZE]))
    theirs = read_image(png, "the browser's picture")[..., :3]
    # Software WebGL draws without anti-aliasing, so outlines differ a little.
    ours = Software().renderer(avatar, SIZE).draw(weights, pose)
    assert apart(ours, theirs) < 2.5, "the whole picture"
    assert apart(ours[FACE], theirs[FACE]) < 3.0, "the face"
    shifts = {
        (down, right): apart(np.roll(ours, (down, right), (0, 1))[FACE], theirs[FACE])
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    }
    assert min(shifts, key=shifts.__getitem__) == (0, 0), "eyes, nose and mouth lie on the same pixels"


def apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean difference, of 255."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())
