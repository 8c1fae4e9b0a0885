"""Takes the README's picture of the page: asks a running server for a story and looks while it is told.

.venv/bin/visavis --no-open & .venv/bin/python tools/picture.py docs/picture.jpg
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

FULL_QUALITY = """
const name = WebGL2RenderingContext.prototype.getParameter;
WebGL2RenderingContext.prototype.getParameter = function (key) {
  const value = name.call(this, key);
  return typeof value === 'string' && /swiftshader/i.test(value) ? 'patient renderer' : value;
};
"""
"""Without a GPU the page shows a video instead; a picture has the time."""
SPARING = """() => {
  const view = window.visavis.avatar;
  Object.assign(view.budget, { pixelRatio: 0.2, interval: 1000 / 10 });
  view.resize();
}"""
"""Until then few pixels, or the voice would wait for them."""
MOMENT = """() => {
  const position = window.visavis.player.position();
  return position && position.ms > 5200 && window.visavis.avatar.weights[24] > 0.12;
}"""

SHARP = """() => {
  const figures = document.getElementById('status');
  figures.replaceWith(figures.cloneNode(true));
  const view = window.visavis.avatar;
  view.stop();
  view.budget.pixelRatio = 1;
  view.resize();
  view.render(performance.now());
}"""
"""The figures stay those of the moment: drawing it this well takes longer than the sound that is there."""


def main(out: str, url: str = "http://localhost:8080/") -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--autoplay-policy=no-user-gesture-required",
                "--enable-unsafe-swiftshader",
            ],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 760}, bypass_csp=True)
        page.add_init_script(FULL_QUALITY)
        page.goto(url)
        page.wait_for_function("window.visavis && window.visavis.ready", timeout=60_000)
        page.evaluate(SPARING)
        page.get_by_role("textbox", name="Message").fill("Hello, who are you?")
        page.keyboard.press("Enter")
        page.wait_for_function("window.visavis.log.some(e => e.type === 'heard')", timeout=60_000)
        page.get_by_role("textbox", name="Message").fill("Tell me a story.")
        page.keyboard.press("Enter")
        page.wait_for_function(MOMENT, timeout=60_000)
        page.evaluate(SHARP)
        page.screenshot(path=out, type="jpeg", quality=82)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
