"""The live stream in a real Chromium: from a picture to its display, and whether sound and lips stay in step.

    python -m bench.display

A server with the scripted agent, and its page in the video view, in a browser without a GPU, all on this
machine. The time of a picture begins when it has been drawn, before it is encoded, and ends when Chromium
puts it on the screen; both clocks are the system's.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import uvicorn
from playwright.sync_api import Page, sync_playwright
from tests.e2e.conftest import FLAGS
from tests.e2e.test_video_live import FPS as TONES_FPS
from tests.e2e.test_video_live import browser_path, player, skews

from bench.report import Row, table
from visavis.server.app import create_app
from visavis.settings import Settings
from visavis.video import Picture, live
from visavis.video.webm import LiveWebM, Segment

NOTE = """() => {
  const video = document.querySelector('video.live');
  window.displayed = [];
  const note = (now, {mediaTime, expectedDisplayTime}) => {
    window.displayed.push([mediaTime, (performance.timeOrigin + expectedDisplayTime) / 1000]);
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}"""
"""Keep which moment of the stream is displayed when, in seconds since 1970."""


class Watched(LiveWebM):
    """A stream that keeps when it was given each of its pictures."""

    newest: Watched

    def __init__(self, fps: int, width: int, height: int, rate: int) -> None:
        super().__init__(fps, width, height, rate)
        self.fps = fps
        self.given: list[float] = []
        Watched.newest = self

    def feed(
        self, pcm: bytes, pictures: Sequence[Picture | None], *, keyframe: bool = False
    ) -> list[Segment]:
        self.given += [time.time()] * len(pictures)
        return super().feed(pcm, pictures, keyframe=keyframe)


@contextmanager
def serving() -> Iterator[str]:
    """A server in a thread of this process; its address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        app = create_app(Settings(agent="scripted"))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@contextmanager
def watching(address: str) -> Iterator[Page]:
    """The page in its video view, which has begun to play."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        page = browser.new_page(viewport={"width": 960, "height": 640}, bypass_csp=True)
        page.set_default_timeout(60_000)
        page.goto(f"{address}/?view=video")
        page.wait_for_function("(document.querySelector('video.live') || {}).currentTime > 3")
        yield page
        browser.close()


def measure(seconds: float) -> list[Row]:
    with serving() as address, watching(address) as page:
        page.evaluate(NOTE)
        page.get_by_role("textbox", name="Message").fill("Go on.")
        page.keyboard.press("Enter")
        page.wait_for_timeout(seconds * 1000)
        displayed = page.evaluate("window.displayed")
    stream = Watched.newest
    delays = [(at - stream.given[round(moment * stream.fps)]) * 1000 for moment, at in displayed]
    return [
        Row("picture -> display", "ms", delays),
        Row("pictures displayed", "a second", [len(delays) / seconds]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.display", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with patch.object(live, "LiveWebM", Watched):
        rows = measure(options.seconds)
    with player() as page:
        apart = [abs(skew) * 1000 for skew in skews(page)]
    rows.append(Row(f"sound beside picture (a frame is {1000 // TONES_FPS})", "ms", apart))
    print(table(f"Live WebM in Chromium, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores", rows))


if __name__ == "__main__":
    main()
