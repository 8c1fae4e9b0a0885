"""The WebRTC example in a real Chromium: its microphone is answered, its video is the avatar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.e2e.conftest import FLAGS, PATIENCE
from tests.e2e.test_video_live import browser_path
from tests.process import Server, server

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "webrtc.html"
HEARD = """async () => {
    const context = new AudioContext()
    const stream = document.querySelector("video").srcObject
    const analyser = context.createAnalyser()
    context.createMediaStreamSource(stream).connect(analyser)
    const wave = new Float32Array(analyser.fftSize)
    window.loudness = () => {
        analyser.getFloatTimeDomainData(wave)
        return Math.max(...wave.map(Math.abs))
    }
}"""


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "AGENT_TYPE": "tests.server.listening_agent:load",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with server(tmp_path_factory.mktemp("webrtc"), **settings) as started:
        yield started


def test_a_browser_holds_a_conversation_over_webrtc(listening: Server, spoken: Callable[..., Path]) -> None:
    microphone = spoken(0.5, "Good morning, how are you today?", 2.0)
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=browser_path(), headless=True, args=flags)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        # A page from this machine: only a secure address has a microphone.
        page.route(
            lambda url: "/webrtc.html" in url,
            lambda route: route.fulfill(path=EXAMPLE, content_type="text/html"),
        )
        page.goto(f"{listening.http}/webrtc.html?server=http://127.0.0.1:9")
        page.get_by_role("button", name="Talk").click()
        page.get_by_text("http://127.0.0.1:9 cannot be reached: is it running").wait_for()
        page.goto(f"{listening.http}/webrtc.html?server={listening.http}&token=mine")
        with page.expect_request("**/webrtc") as offer:
            page.get_by_role("button", name="Talk").click()
        assert offer.value.headers["authorization"] == "Bearer mine"
        page.wait_for_function("document.querySelector('video').currentTime > 0.5")
        size = page.evaluate(
            "(video => [video.videoWidth, video.videoHeight])(document.querySelector('video'))"
        )
        assert size == [640, 480]
        page.evaluate(HEARD)
        page.wait_for_function("window.loudness() > 0.02")
        seen = "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames"
        page.wait_for_function(f"before => {seen} > before + 25", arg=page.evaluate(seen))
        browser.close()
